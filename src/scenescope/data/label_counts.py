"""The labels of a data set without its images: how many there are, and whether there is one."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from scenescope.data.dataset import SegmentationDataset, read_labels
from scenescope.errors import DataError

AT_ONCE = 256
"""Masks that are waited for together; those of the next follow."""


def count_pixels(dataset: SegmentationDataset) -> np.ndarray:
    """Return the number of pixels of each of the K classes in all scenes, int64, from the masks alone.

    Raises:
        ImageError, DataError: a mask cannot be read.
    """
    pixels = np.zeros(256, dtype=np.int64)
    # Decoding leaves Python's lock to others, so threads share it.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(dataset), AT_ONCE):
            part = range(start, min(start + AT_ONCE, len(dataset)))
            pixels += sum(pool.map(partial(_count, dataset), part))
    return pixels[: len(dataset.classes)]


def require_labels(dataset: SegmentationDataset) -> None:
    """Refuse a split without a scored pixel; masks are read until one has it.

    Raises:
        DataError: no mask has a pixel of a class.
        ImageError: a mask cannot be read.
    """
    num_classes = len(dataset.classes)
    if not any(_count(dataset, index)[:num_classes].any() for index in range(len(dataset))):
        raise DataError(
            f"No pixel of the {len(dataset)} scenes of split {dataset.split!r} of {dataset.root} has a class, so there "
            "is nothing to learn or to score; check its masks and what is ignored (scenescope check)."
        )


def _count(dataset: SegmentationDataset, index: int) -> np.ndarray:
    """The number of pixels of each label in a scene."""
    counts: np.ndarray = np.bincount(read_labels(dataset, index).ravel(), minlength=256)
    return counts
