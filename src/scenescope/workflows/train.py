"""A training run, from settings to a run directory."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from scenescope.attention.compact_position import CompactPositionAttention
from scenescope.attention.position import PositionAttention
from scenescope.attention.squeeze import SqueezeAttention
from scenescope.bands import BandRule
from scenescope.checkpoints.start import compare_start, init_from
from scenescope.config import Config, DataSettings, LossSettings, ModelSettings
from scenescope.data.catalog import open_dataset
from scenescope.data.dataset import SegmentationDataset, rule_of_images
from scenescope.data.fingerprint import fingerprint
from scenescope.data.label_counts import count_pixels
from scenescope.device import resolve_precision
from scenescope.drawing.charts import draw_curves
from scenescope.errors import RecipeError
from scenescope.files import held_directory, output_directory
from scenescope.losses import SegmentationLoss, median_frequency_weights
from scenescope.models.catalog import build_network
from scenescope.models.network import SegmentationNetwork
from scenescope.models.options import recipe_options
from scenescope.training.distributed import join_processes
from scenescope.training.log import read_log
from scenescope.training.loop import Training, TrainingResult, require_divisible
from scenescope.training.memory import MemoryEstimate, estimate_memory
from scenescope.training.progress import Progress
from scenescope.workflows.readiness import require_ready
from scenescope.workflows.run_directory import LOG, agreed_checkpoint, checkpoint_to_resume, own_files, refuse_foreign


def run_training(
    config: Config,
    directory: Path,
    *,
    device: torch.device,
    progress: Progress,
    resume: bool = False,
) -> TrainingResult:
    """Train as a recipe says and leave log, curves, checkpoints and models in the run directory.

    Args:
        directory: gets ``recipe.yaml``, ``log.jsonl``, ``curves.png``, ``checkpoints/``, ``best/`` and ``last/``.
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
        torch.manual_seed(config.train.seed)
        train_set, val_set = open_sets(config.data)
        processes = join_processes(device)
        for remark in find_problems(config, train_set, val_set, processes.world_size):
            progress.note(remark)
        data = fingerprint(train_set, val_set) if is_first else None
        checkpoint = None
        if data is not None and resume:
            checkpoint = checkpoint_to_resume(directory, config=config, data=data, progress=progress)
        checkpoint = agreed_checkpoint(checkpoint)
        network = _first_network(config, train_set, checkpoint, progress)
        training = Training(
            network=network,
            loss=create_loss(config.loss, network, train_set),
            train_set=train_set,
            val_set=val_set,
            config=config,
            directory=directory,
            processes=processes,
            progress=progress,
            data=data,
        )
        if checkpoint is not None:
            training.resume(checkpoint)
        if is_first:
            stack.enter_context(own_files(directory, config.to_yaml(), progress))
        processes.wait()
        result = training.run()
        if is_first:
            draw_curves(read_log(directory / LOG), directory / "curves.png")
        return result


def _first_network(
    config: Config, train_set: SegmentationDataset, checkpoint: Path | None, progress: Progress
) -> SegmentationNetwork:
    """Build the network of step 0; of one whose weights a checkpoint replaces, none are fetched."""
    start = config.train.init_from if checkpoint is None else None
    replaced = checkpoint is not None or start is not None
    network = create_network(
        config.model, len(train_set.classes), rule_of_images(train_set), pretrained=False if replaced else None
    )
    if start is not None:
        for note in init_from(network, start, train_set.classes, config.train.take):
            progress.note(note)
    return network


def open_sets(data: DataSettings) -> tuple[SegmentationDataset, SegmentationDataset]:
    """Open the scenes to learn from and the scenes to score."""
    train_set, val_set = (
        open_dataset(
            data.kind,
            data.root,
            split,
            val_fraction=data.val_fraction,
            val_seed=data.val_seed,
            classes=data.classes,
            rule=data.rule,
        )
        for split in (data.train_split, data.val_split)
    )
    return train_set, val_set


def create_network(
    model: ModelSettings, num_classes: int, rule: BandRule | None = None, *, pretrained: bool | None = None
) -> SegmentationNetwork:
    """Build the network of a recipe.

    Args:
        rule: how the images of its data are seen; None for 8-bit RGB.
        pretrained: replaces the recipe's choice.

    Raises:
        RecipeError: the recipe asks for another number of bands than the data have.
    """
    options = recipe_options(model, "The recipe")
    bands = 3 if rule is None else rule.in_channels
    if model.in_channels not in (3, bands):
        raise RecipeError(
            f"model.in_channels is {model.in_channels}, but the data give {rule or '8-bit RGB'}; leave it out, or set"
            " data.bands."
        )
    network = build_network(
        replace(options, in_channels=bands),
        num_classes,
        pretrained=model.pretrained if pretrained is None else pretrained,
    )
    network.band_rule = rule
    return network


def create_loss(loss: LossSettings, network: SegmentationNetwork, train_set: SegmentationDataset) -> SegmentationLoss:
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
    taught = (PositionAttention, CompactPositionAttention, SqueezeAttention)
    if loss.attention and not any(isinstance(each, taught) for each in network.modules()):
        raise RecipeError(
            f"loss.attention={loss.attention:g} teaches attention whom to attend to, and this"
            f" {network.config['name']} has none that it can; leave it out, or train danet with"
            " position=true, dranet or sanet."
        )
    return SegmentationLoss(
        class_weights=_class_weights(loss, train_set),
        ohem_fraction=loss.ohem_fraction,
        weights=known | loss.weights,
        image_label_target=loss.image_label_target,
        dice=loss.dice,
        lovasz=loss.lovasz,
        attention=loss.attention,
        grid=network.grid,
    )


def find_problems(
    config: Config, train_set: SegmentationDataset, val_set: SegmentationDataset, num_processes: int = 1
) -> list[str]:
    """Refuse what would stop a training later; return what a user should know of the data (see ``require_ready``)."""
    rule = rule_of_images(train_set)
    create = partial(create_network, config.model, len(train_set.classes), rule, pretrained=False)
    return require_ready(create, train_set, val_set, config.augment, config.train, num_processes)


def check_run(config: Config, train_set: SegmentationDataset) -> None:
    """Refuse settings that would stop a training at its start, without building anything large.

    Raises:
        RecipeError, ModelError, TrainingError, CheckpointError: as the training itself would.
    """
    with torch.device("meta"):
        network = create_network(config.model, len(train_set.classes), rule_of_images(train_set), pretrained=False)
    create_loss(replace(config.loss, class_weights="none"), network, train_set)
    _refuse_other_count(config.loss, train_set)
    require_divisible(config.train, num_processes=1)
    if config.train.init_from is not None:
        compare_start(network, config.train.init_from, train_set.classes, config.train.take)


def estimate_run_memory(
    config: Config, train_set: SegmentationDataset, device: torch.device, num_processes: int = 1
) -> MemoryEstimate:
    """Count the memory of one process of a run without building it."""
    height, width = config.augment.crop
    train = config.train
    return estimate_memory(
        lambda: create_network(config.model, len(train_set.classes), rule_of_images(train_set), pretrained=False),
        batch_size=max(train.batch_size // (train.grad_accum_steps * num_processes), 1),
        height=height,
        width=width,
        moments=2 if train.optimizer == "adamw" else 1,
        ema=train.ema_decay is not None,
        mixed_precision=resolve_precision(train.precision, device, scaled=True) != "float32",
        # Both keep probabilities, Lovász also a weight for each.
        copies=2 if config.loss.lovasz else int(config.loss.dice > 0),
        frozen_norms=train.norm == "frozen",
    )


def _refuse_other_count(loss: LossSettings, train_set: SegmentationDataset) -> None:
    if isinstance(loss.class_weights, tuple) and len(loss.class_weights) != len(train_set.classes):
        raise RecipeError(
            f"loss.class_weights has {len(loss.class_weights)} numbers and the data {len(train_set.classes)}"
            " classes; give one number per class."
        )


def _class_weights(loss: LossSettings, train_set: SegmentationDataset) -> torch.Tensor | None:
    _refuse_other_count(loss, train_set)
    if isinstance(loss.class_weights, tuple):
        return torch.tensor(loss.class_weights)
    if loss.class_weights == "none":
        return None
    power = 1.0 if loss.class_weights == "median_frequency" else 0.5
    return median_frequency_weights(torch.from_numpy(count_pixels(train_set)), power)
