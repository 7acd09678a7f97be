"""The baseline that sees no shapes: a classifier of single pixels by their color."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scenescope.data.dataset import LabeledImage
from scenescope.labels import IGNORE

BITS = 4
"""Bits of each color channel that are looked at: 16 x 16 x 16 bins."""


def fit_colors(scenes: Iterable[LabeledImage], num_classes: int) -> np.ndarray:
    """Return the most frequent class of every color bin, uint8, argmax over k of P(class k | color).

    A color that never occurs in a scored pixel gets the most frequent class of all.
    """
    counts = np.zeros((1 << 3 * BITS) * num_classes, np.int64)
    for scene in scenes:
        scored = scene.labels != IGNORE
        keys = _bins(scene.image)[scored] * num_classes + scene.labels[scored]
        counts += np.bincount(keys, minlength=len(counts))
    table = counts.reshape(-1, num_classes)
    most_frequent: np.ndarray = np.where(table.any(axis=1), table.argmax(axis=1), table.sum(axis=0).argmax())
    return most_frequent.astype(np.uint8)


def predict_colors(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return H x W uint8 train ids for an H x W x 3 uint8 image, by the table of ``fit_colors``."""
    labels: np.ndarray = table[_bins(image)]
    return labels


def _bins(image: np.ndarray) -> np.ndarray:
    """Return the bin of each pixel's color, H x W, 0 to 4095."""
    red, green, blue = np.moveaxis(image.astype(np.int64) >> (8 - BITS), -1, 0)
    bins: np.ndarray = (red << 2 * BITS) | (green << BITS) | blue
    return bins
