"""An ablation: the same training with parts switched on and off, over several seeds, and its table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from scenescope.checkpoints.model_directory import load_model
from scenescope.config import FREE_ON_RESUME, Config, DataSettings
from scenescope.data.fingerprint import fingerprint
from scenescope.errors import TrainingError
from scenescope.evaluation.evaluator import evaluate
from scenescope.evaluation.scores import Scores
from scenescope.files import output_directory, write_text
from scenescope.inference.settings import InferenceSettings
from scenescope.training.log import read_log
from scenescope.training.loop import CHECKPOINTS
from scenescope.training.progress import Progress
from scenescope.workflows.train import check_run, open_sets, run_training

RUNS = "runs"


@dataclass(frozen=True)
class PlannedRun:
    """One training of an ablation."""

    seed: int
    config: Config


@dataclass(frozen=True)
class AblationRow:
    """A row of the table: one training for each seed, and how its model is tested.

    Attributes:
        settings: what it changes, by dotted key.
        published: the mIoU of the published table's row, in percent.
    """

    name: str
    settings: Mapping[str, Any]
    runs: tuple[PlannedRun, ...]
    inference: InferenceSettings
    published: float | None = None


@dataclass(frozen=True)
class Ablation:
    """Rows to compare with the first of them.

    Attributes:
        name: names the files of the result.
        published: which published table it is that the numbers beside ours come from.
        sweep: the setting whose values the rows are, for a curve.
    """

    name: str
    title: str
    rows: tuple[AblationRow, ...]
    published: str | None = None
    sweep: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What the runs of an ablation gave.

    Attributes:
        scores: by row, then by seed; those that failed or are still to do are missing.
        failures: row, seed and reason of trainings that could not go on, such as one that diverged.
        signal: number of the signal that interrupted it, or None.
    """

    scores: dict[str, dict[int, dict[str, Any]]]
    failures: list[str]
    signal: int | None = None


def run_ablation(ablation: Ablation, directory: Path, *, device: torch.device, progress: Progress) -> Outcome:
    """Train and score what is not done yet; called again, it goes on where it stopped.

    Runs are known by their settings and their data, so that tables in one directory share those that they have in
    common, and no table mixes scores of data that have changed meanwhile.

    Args:
        directory: gets ``runs/``, each a run directory with its scores.

    Raises:
        ScenescopeError: settings, data, model or storage cannot be used; nothing is trained if any row's cannot.
    """
    data: dict[DataSettings, str] = {}
    for row in ablation.rows:
        config = row.runs[0].config
        sets = open_sets(config.data)
        check_run(config, sets[0])
        if config.data not in data:
            data[config.data] = _digest(fingerprint(*sets))
    scores: dict[str, dict[int, dict[str, Any]]] = {row.name: {} for row in ablation.rows}
    failures: list[str] = []
    # Seeds outside, rows inside: the first half of the time gives a whole table, with one seed.
    by_seed = zip(*([(row, run) for run in row.runs] for row in ablation.rows), strict=True)
    planned = [pair for pairs in by_seed for pair in pairs]
    with output_directory(directory):
        for number, (row, run) in enumerate(planned, start=1):
            progress.note(f"{row.name}, seed {run.seed} ({number} of {len(planned)})")
            place = _place(directory, row, run, data[row.runs[0].config.data])
            try:
                score = _score(row, run, place, device, progress)
            except TrainingError as error:
                failures.append(f"{row.name}, seed {run.seed}: {error}")
                progress.note(failures[-1])
                continue
            if isinstance(score, int):
                return Outcome(scores, failures, signal=score)
            scores[row.name][run.seed] = score
    return Outcome(scores, failures)


def _place(directory: Path, row: AblationRow, run: PlannedRun, data: str) -> Path:
    """Return the run directory: an existing one with these settings and data, or a new one that also tells its row."""
    digest = _digest(_own_settings(run.config) | {"": data})
    name = "".join(letter if letter.isalnum() else "-" for letter in row.name.lower())[:40]
    found = sorted((directory / RUNS).glob(f"*-{digest}"))
    return found[0] if found else directory / RUNS / f"{name}-seed{run.seed}-{digest}"


def _score(
    row: AblationRow, run: PlannedRun, place: Path, device: torch.device, progress: Progress
) -> dict[str, Any] | int:
    """Return the scores of a run, trained where it has to be, or the number of the signal that interrupted it."""
    kept = place / f"scores-{_digest(asdict(row.inference))}.json"
    if kept.is_file():
        score: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return score
    result = run_training(
        run.config,
        place,
        device=device,
        progress=progress,
        resume=(place / CHECKPOINTS).is_dir(),
    )
    if result.signal is not None:
        return result.signal
    if row.inference == InferenceSettings() and result.last is not None:
        score = {key.removeprefix("val/"): value for key, value in result.last.items()}
    else:
        _, val_set = open_sets(run.config.data)
        network = load_model(str(place / "last"), device=device).network
        counts = evaluate(network, val_set, row.inference, num_workers=run.config.train.num_workers or 0)
        scores = Scores.from_matrix(counts, val_set.classes.names)
        score = {"miou": scores.mean_iou, "pixel_accuracy": scores.pixel_accuracy, "iou": scores.iou_by_class()}
    score |= _learned_scales(place)
    write_text(kept, json.dumps(score, indent=2) + "\n")
    return score


def _learned_scales(place: Path) -> dict[str, float]:
    """Return the last logged alpha and beta of a run that has them."""
    scales: dict[str, float] = {}
    for logged in read_log(place / "log.jsonl"):
        scales |= {key: logged[key] for key in ("alpha", "beta") if key in logged}
    return scales


def _own_settings(config: Config) -> dict[str, Any]:
    """Return what makes a recipe's run another one, by dotted key: neither defaults nor what may change on resume."""
    free = FREE_ON_RESUME - {"train.steps"}
    return {key: value for key, value in config.chosen().items() if key not in free}


def _digest(settings: Mapping[str, Any]) -> str:
    """Return eight hexadecimal digits that stand for settings, or for data."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
