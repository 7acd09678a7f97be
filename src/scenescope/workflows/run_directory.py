"""The directory of a run: whose it is, and what a run that is resumed goes on from.

A run marks its directory with a file ``.run``, which holds the checksum of the ``recipe.yaml`` that it has written.
What lies in a directory without that mark, or is not as it was written, is somebody else's and left as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scenescope.config import FREE_ON_RESUME, Config, TrainSettings
from scenescope.data.fingerprint import difference
from scenescope.errors import DataError, RecipeError, TrainingError
from scenescope.files import CHECKSUMS, recover_directory, remove_partial, sha256, write_text
from scenescope.training.checkpoint import find_checkpoint, is_checkpoint, read_state
from scenescope.training.distributed import gather_objects, share_object
from scenescope.training.loop import CHECKPOINTS
from scenescope.training.progress import Progress
from scenescope.training.schedule import learning_rate

MARK = ".run"
RECIPE = "recipe.yaml"
LOG = "log.jsonl"
MODELS = ("best", "last")


def refuse_foreign(directory: Path, resume: bool) -> None:
    """Refuse a directory with files that no training has put there, such as one of images, or a training to resume.

    Raises:
        TrainingError: it holds something else, or a training where none is to go on.
    """
    entries = [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
    foreign = sorted(name for name in entries if not name.startswith("."))
    if not foreign:
        return
    if not (directory / MARK).is_file() and not _has_checkpoint(directory):
        raise TrainingError(
            f"{directory} holds other files than those of a training ({foreign[0]}); choose a new --output."
        )
    if not resume and _holds_training(directory):
        raise TrainingError(
            f"{directory} holds a training already; go on with it by --resume or choose another --output."
        )


@contextlib.contextmanager
def own_files(directory: Path, recipe_text: str, progress: Progress) -> Iterator[None]:
    """Mark a directory as a run's and write its recipe; take back what was made if the block fails with nothing kept.

    With neither checkpoint nor model there is nothing to go on from, and nothing may be in the way of a new try.
    """
    before = {entry.name for entry in directory.iterdir()}
    remove_partial(directory)
    for model in MODELS:
        recover_directory(directory / model)
    _write_recipe(directory, recipe_text, progress)
    try:
        yield
    except BaseException:
        if not _holds_training(directory):
            _remove_made(directory, before)
        raise


def checkpoint_to_resume(
    directory: Path,
    *,
    config: Config,
    data: Mapping[str, Any],
    progress: Progress,
) -> Path | None:
    """Return the newest whole checkpoint of a run, which these settings and these data go on with; None before step 1.

    Args:
        config: all settings; those that are younger than the run had their defaults' behavior then.
        data: the fingerprint of the data.

    Raises:
        TrainingError: a run that has ended, and its checkpoints are gone.
        RecipeError: it was done with other settings, or more steps than are asked for.
        DataError: it has learned from other data.
        CheckpointError: all checkpoints are damaged.
    """
    checkpoint, notes = find_checkpoint(directory / CHECKPOINTS)
    for note in notes:
        progress.note(note)
    anew = f"train to another --output with train.init_from={directory / 'last'}"
    if checkpoint is None:
        if _holds_training(directory):
            raise TrainingError(
                f"{directory} holds the models of a training and no checkpoint to go on from; put {CHECKPOINTS}/ back,"
                f" or {anew}."
            )
        progress.note(f"There is no checkpoint in {directory} yet; starting at step 0.")
        return None
    state = read_state(checkpoint)
    train = config.train
    if state["step"] > train.steps:
        raise RecipeError(
            f"{directory} has done {state['step']} steps, more than train.steps={train.steps};"
            " give a larger number, or train to another --output."
        )
    old = Config.from_dict(state["recipe"], f"The recipe in {checkpoint}")
    changed = config.changed(old) - FREE_ON_RESUME
    if changed:
        raise RecipeError(
            f"The recipe has changed since {checkpoint} in {', '.join(sorted(changed))}; resume with the settings in"
            f" {directory / RECIPE}, or {anew}."
        )
    other = difference(state["data"], data) if state.get("data") else None
    if other is not None:
        raise DataError(f"The data have changed since {checkpoint}: {other}; put them back, or {anew}.")
    _tell_of_lr(state["step"], old.train.steps, train, progress)
    return checkpoint


def agreed_checkpoint(checkpoint: Path | None) -> Path | None:
    """Return the checkpoint that the first process goes on from, which all must have.

    Args:
        checkpoint: of the first process; the others know none yet.

    Raises:
        TrainingError: a process does not have it, such as one on another machine without a common disk.
    """
    checkpoint = share_object(checkpoint)
    if checkpoint is None:
        return None
    sums = checkpoint / CHECKSUMS
    seals = gather_objects(sha256(sums) if sums.is_file() else None)
    without = [str(rank) for rank, seal in enumerate(seals) if seal != seals[0]]
    if without:
        raise TrainingError(
            f"Process 0 goes on from {checkpoint}, which process {', '.join(without)} does not have, or has another of"
            " that name; give all machines one --output on a common disk, or copy the checkpoint to each."
        )
    return checkpoint


def _tell_of_lr(step: int, old_steps: int, train: TrainSettings, progress: Progress) -> None:
    if train.steps == old_steps or step == train.steps:
        return
    before, after = learning_rate(step - 1, replace(train, steps=old_steps)), learning_rate(step, train)
    progress.note(
        f"train.steps was {old_steps} and is {train.steps}: the learning rate of step {step} was {before:.3g}, that of"
        f" step {step + 1} is {after:.3g}."
    )


def _write_recipe(directory: Path, text: str, progress: Progress) -> None:
    """Write the recipe and the mark that tells it for the run's own; one that somebody has edited stays."""
    recipe, mark = directory / RECIPE, directory / MARK
    own = not recipe.exists() or (mark.is_file() and mark.read_text(encoding="utf-8") == _seal(recipe))
    if own:
        write_text(recipe, text)
        write_text(mark, _seal(recipe))
    elif recipe.read_text(encoding="utf-8", errors="replace") != text:
        progress.note(f"{recipe} is not as the run wrote it and stays so; each checkpoint holds the settings.")
    if not mark.is_file():
        write_text(mark, "")


def _seal(recipe: Path) -> str:
    return f"{sha256(recipe)}  {RECIPE}\n"


def _remove_made(directory: Path, before: set[str]) -> None:
    """Remove what a training makes and was not there before; of folders only what nobody else has put in."""
    for name in {RECIPE, LOG, MARK} - before:
        (directory / name).unlink(missing_ok=True)
    for name in {CHECKPOINTS, "tensorboard"} - before:
        remove_partial(directory / name)
        for events in (directory / name).glob("events.out.tfevents.*"):
            events.unlink()
        with contextlib.suppress(OSError):  # not empty, or not there
            (directory / name).rmdir()


def _holds_training(directory: Path) -> bool:
    return _has_checkpoint(directory) or any((directory / name).exists() for name in MODELS)


def _has_checkpoint(directory: Path) -> bool:
    return any(is_checkpoint(path) for path in (directory / CHECKPOINTS).glob("*"))
