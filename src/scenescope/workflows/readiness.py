"""What would stop a training later, found before its first step: unread scenes, no labels, sizes, the output."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from scenescope.config import AugmentSettings, TrainSettings
from scenescope.data.copies import copies_remark
from scenescope.data.dataset import SegmentationDataset, notes
from scenescope.data.label_counts import require_labels
from scenescope.errors import ModelError, StorageError
from scenescope.models.complexity import without_memory
from scenescope.models.network import SegmentationNetwork
from scenescope.training.norms import freeze_norms, one_value_error

FIRST = 2
"""Scenes of each split that are read as a whole."""


def require_ready(
    create: Callable[[], SegmentationNetwork],
    train_set: SegmentationDataset,
    val_set: SegmentationDataset,
    augment: AugmentSettings,
    train: TrainSettings,
    num_processes: int = 1,
) -> list[str]:
    """Try what a training does at its start and at its first validation, as far as that takes no time.

    Args:
        create: builds the network; it is given no memory.

    Returns:
        What a user should know of the data, a sentence each.

    Raises:
        ImageError, DataError: one of the first scenes cannot be read, or a split has no labeled pixel at all.
        TrainingError: a batch norm would see one value per channel.
        ModelError: the network fails at the size of an image to score.
    """
    for dataset in (train_set, val_set):
        sizes = {dataset[index].labels.shape for index in range(min(FIRST, len(dataset)))}
        require_labels(dataset)
    images = max(train.batch_size // (train.grad_accum_steps * num_processes), 1)
    with without_memory(create) as network, _quiet():
        _try_training(network, images, *augment.crop, frozen=train.norm == "frozen")
        for height, width in sizes:
            _try_validation(network, height, width)
    remarks = [*notes(train_set), *notes(val_set), copies_remark(train_set, val_set)]
    return [remark for remark in dict.fromkeys(remarks) if remark is not None]


def require_writable(directory: Path) -> None:
    """Refuse an output directory that could not be made, and make nothing.

    Raises:
        StorageError: a file is in the way, or the folder above may not be written.
    """
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not there.is_dir():
        raise StorageError(f"Cannot write {directory}: {there} is a file; choose another --output.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise StorageError(f"Cannot write {directory}: {there} may not be written; choose another --output.")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave to the error that is raised what torch would print of it besides."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _try_training(network: SegmentationNetwork, images: int, height: int, width: int, frozen: bool) -> None:
    network.train()
    if frozen:
        freeze_norms(network)
    try:
        network(torch.empty(images, network.in_channels, height, width))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise one_value_error(images, height, width) from error


def _try_validation(network: SegmentationNetwork, height: int, width: int) -> None:
    try:
        network.eval()(torch.empty(1, network.in_channels, height, width))
    except (RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0][:160]
        raise ModelError(
            f"{network.config['name']} with {network.config['backbone']} cannot look at the images of {width} x "
            f"{height} pixels to score ({reason}); choose another model.backbone, or bring the images to sides that "
            "are multiples of 32."
        ) from error
