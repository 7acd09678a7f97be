"""Masks that a tool keeps as image files: what their values or colors mean, and which image a mask belongs to."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scenescope.data.formats.annotations import IGNORED, UNLABELED, Labels
from scenescope.data.masks import LabelTable, decode
from scenescope.labels import IGNORE


def read_mask(path: Path, table: LabelTable, names: tuple[str, ...]) -> Labels:
    """Read the labels of a mask file; what it calls background is without label.

    Raises:
        ImageError, DataError: the file cannot be read, or holds a value or color that has no meaning.
    """
    labels = decode(path, table).astype(np.int16)
    background = background_of(names)
    ignored = labels == IGNORE
    if background is not None:
        labels[labels == background] = UNLABELED
    labels[ignored] = IGNORED
    return Labels(pixels=labels)


def background_of(names: tuple[str, ...]) -> int | None:
    """Return which class is called background, or None."""
    return next((place for place, name in enumerate(names) if name.strip("_").casefold() == "background"), None)
