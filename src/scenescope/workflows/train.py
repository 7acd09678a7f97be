"""A training run, from settings to a run directory."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import torch

from scenescope.checkpoints.start import compare_start, start_from
from scenescope.data.catalog import open_dataset
from scenescope.data.dataset import SceneDataset
from scenescope.data.fingerprint import fingerprint
from scenescope.data.label_counts import count_pixels
from scenescope.data.settings import AugmentSettings, DataSettings
from scenescope.device import resolve_precision
from scenescope.drawing.charts import draw_curves
from scenescope.errors import RecipeError
from scenescope.files import held_directory, output_directory
from scenescope.losses import SegmentationLoss, median_frequency_weights
from scenescope.models.catalog import create_model
from scenescope.models.network import SegmentationNetwork
from scenescope.models.settings import ModelSettings
from scenescope.training.log import read_log
from scenescope.training.loop import Training, TrainingResult, require_divisible
from scenescope.training.memory import MemoryEstimate, estimate_memory
from scenescope.training.processes import join_processes
from scenescope.training.progress import Progress
from scenescope.training.settings import LossSettings, TrainSettings
from scenescope.workflows.readiness import require_ready
from scenescope.workflows.run_directory import LOG, agreed_checkpoint, checkpoint_to_resume, own_files, refuse_foreign


@dataclass(frozen=True)
class RunSettings:
    """All settings of a run; a Recipe gives them."""

    model: ModelSettings
    data: DataSettings
    augment: AugmentSettings
    loss: LossSettings
    train: TrainSettings


def run_training(
    settings: RunSettings,
    directory: Path,
    *,
    recipe: Mapping[str, Any],
    recipe_text: str,
    device: torch.device,
    progress: Progress,
    resume: bool = False,
) -> TrainingResult:
    """Train as the settings say and leave log, curves, checkpoints and models in the run directory.

    Args:
        directory: gets ``recipe.yaml``, ``log.jsonl``, ``curves.png``, ``checkpoints/``, ``best/`` and ``last/``.
        recipe: the same settings as plain values; kept with checkpoints and compared on resume.
        recipe_text: the same as text, for ``recipe.yaml``.
        resume: go on from the newest whole checkpoint; with none, start at step 0.

    Raises:
        TrainingError: the directory holds a training already or files of somebody else, or the training cannot go on.
        RecipeError: resumed with another recipe, or class weights that do not fit.
        DataError: resumed with other data.
        ScenescopeError: data, model or storage cannot be used.
    """
    # Of several processes the first keeps the directory for all.
    is_first = os.environ.get("RANK", "0") == "0"
    if is_first:
        refuse_foreign(directory, resume)
    with output_directory(directory), contextlib.ExitStack() as stack:
        if is_first and not stack.enter_context(held_directory(directory)):
            progress.note(f"The disk of {directory} has no locks: see to it that no other training writes there.")
        if is_first:  # once more: another training may have ended in it before it was kept
            refuse_foreign(directory, resume)
        torch.manual_seed(settings.train.seed)
        train_set, val_set = open_sets(settings.data)
        processes = join_processes(device)
        for remark in find_problems(settings, train_set, val_set, processes.world_size):
            progress.note(remark)
        data = fingerprint(train_set, val_set) if is_first else None
        checkpoint = None
        if data is not None and resume:
            checkpoint = checkpoint_to_resume(
                directory,
                recipe=recipe,
                defaults=default_settings(),
                train=settings.train,
                data=data,
                progress=progress,
            )
        checkpoint = agreed_checkpoint(checkpoint)
        network = _first_network(settings, train_set, checkpoint, progress)
        training = Training(
            network=network,
            loss=create_loss(settings.loss, network, train_set),
            train_set=train_set,
            val_set=val_set,
            settings=settings.train,
            augment=settings.augment,
            directory=directory,
            recipe=dict(recipe),
            processes=processes,
            progress=progress,
            data=data,
        )
        if checkpoint is not None:
            training.resume(checkpoint)
        if is_first:
            stack.enter_context(own_files(directory, recipe_text, progress))
        processes.wait()
        result = training.run()
        if is_first:
            draw_curves(read_log(directory / LOG), directory / "curves.png")
        return result


def _first_network(
    settings: RunSettings, train_set: SceneDataset, checkpoint: Path | None, progress: Progress
) -> SegmentationNetwork:
    """Build the network of step 0; of one whose weights a checkpoint replaces, none are fetched."""
    start = settings.train.start_from if checkpoint is None else None
    replaced = checkpoint is not None or start is not None
    network = create_network(settings.model, len(train_set.classes), pretrained=False if replaced else None)
    if start is not None:
        for note in start_from(network, start, train_set.classes, settings.train.take):
            progress.note(note)
    return network


def open_sets(data: DataSettings) -> tuple[SceneDataset, SceneDataset]:
    """Open the scenes to learn from and the scenes to score."""
    train_set, val_set = (
        open_dataset(
            data.kind,
            data.root,
            split,
            val_fraction=data.val_fraction,
            val_seed=data.val_seed,
            classes=data.classes,
        )
        for split in (data.train_split, data.val_split)
    )
    return train_set, val_set


def create_network(model: ModelSettings, num_classes: int, *, pretrained: bool | None = None) -> SegmentationNetwork:
    """Build the network of a recipe; ``pretrained`` replaces the recipe's choice."""
    taken = sorted(model.options.keys() & ({field.name for field in fields(model)} | {"num_classes"}))
    if taken:
        raise RecipeError(f"model.options.{taken[0]} is not an option of the head; set model.{taken[0]} in its place.")
    return create_model(
        model.name,
        num_classes=num_classes,
        backbone=model.backbone,
        pretrained=model.pretrained if pretrained is None else pretrained,
        output_stride=model.output_stride,
        multi_grid=model.multi_grid,
        align_corners=model.align_corners,
        magnify=model.magnify,
        refine=model.refine,
        remainder=model.remainder if any(model.remainder) else None,
        **model.options,
    )


def create_loss(loss: LossSettings, network: SegmentationNetwork, train_set: SceneDataset) -> SegmentationLoss:
    """Build the loss of a recipe.

    Raises:
        RecipeError: weights for another number of classes, or for an output that does not exist.
    """
    known = {"main": 1.0} | network.loss_weights
    unknown = sorted(loss.weights.keys() - known.keys())
    if unknown:
        raise RecipeError(
            f"loss.weights.{unknown[0]} is given and {network.config['name']} has no such output;"
            f" it has {', '.join(known)}."
        )
    return SegmentationLoss(
        class_weights=_class_weights(loss, train_set),
        hard_fraction=loss.hard_fraction,
        weights=known | loss.weights,
        picture_target=loss.picture_target,
        dice=loss.dice,
        lovasz=loss.lovasz,
    )


def find_problems(
    settings: RunSettings, train_set: SceneDataset, val_set: SceneDataset, num_processes: int = 1
) -> list[str]:
    """Refuse what would stop a training later; return what a user should know of the data (see ``require_ready``)."""
    create = partial(create_network, settings.model, len(train_set.classes), pretrained=False)
    return require_ready(create, train_set, val_set, settings.augment, settings.train, num_processes)


def check_run(settings: RunSettings, train_set: SceneDataset) -> None:
    """Refuse settings that would stop a training at its start, without building anything large.

    Raises:
        RecipeError, ModelError, TrainingError, CheckpointError: as the training itself would.
    """
    with torch.device("meta"):
        network = create_network(settings.model, len(train_set.classes), pretrained=False)
    create_loss(replace(settings.loss, class_weights="none"), network, train_set)
    _refuse_other_count(settings.loss, train_set)
    require_divisible(settings.train, num_processes=1)
    if settings.train.start_from is not None:
        compare_start(network, settings.train.start_from, train_set.classes, settings.train.take)


def estimate_run_memory(
    settings: RunSettings, num_classes: int, device: torch.device, num_processes: int = 1
) -> MemoryEstimate:
    """Count the memory of one process of a run without building it."""
    height, width = settings.augment.crop
    train = settings.train
    return estimate_memory(
        lambda: create_network(settings.model, num_classes, pretrained=False),
        pictures=max(train.batch_size // (train.accumulation * num_processes), 1),
        height=height,
        width=width,
        moments=2 if train.optimiser == "adamw" else 1,
        average=train.average_decay is not None,
        mixed_precision=resolve_precision(train.precision, device, scaled=True) != "float32",
        # Both keep probabilities, Lovász also a weight for each.
        copies=2 if settings.loss.lovasz else int(settings.loss.dice > 0),
        frozen_norms=train.norm == "frozen",
    )


def default_settings() -> dict[str, dict[str, Any]]:
    """Return the default of every setting that has one, by section, as JSON holds it."""
    defaults: dict[str, dict[str, Any]] = {}
    for section, settings in get_type_hints(RunSettings).items():
        values = {
            field.name: field.default if field.default_factory is MISSING else field.default_factory()
            for field in fields(settings)
        }
        defaults[section] = json.loads(
            json.dumps({key: value for key, value in values.items() if value is not MISSING})
        )
    return defaults


def _refuse_other_count(loss: LossSettings, train_set: SceneDataset) -> None:
    if isinstance(loss.class_weights, tuple) and len(loss.class_weights) != len(train_set.classes):
        raise RecipeError(
            f"loss.class_weights has {len(loss.class_weights)} numbers and the data {len(train_set.classes)}"
            " classes; give one number per class."
        )


def _class_weights(loss: LossSettings, train_set: SceneDataset) -> torch.Tensor | None:
    _refuse_other_count(loss, train_set)
    if isinstance(loss.class_weights, tuple):
        return torch.tensor(loss.class_weights)
    if loss.class_weights == "none":
        return None
    power = 1.0 if loss.class_weights == "median_frequency" else 0.5
    return median_frequency_weights(torch.from_numpy(count_pixels(train_set)), power)
