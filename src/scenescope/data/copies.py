"""Pictures that are copies of one frame by their names, as tools that augment a data set write them."""

from __future__ import annotations

import re
from pathlib import Path

from scenescope.data.dataset import SceneDataset

_COPY = re.compile(r"(\.rf\.[0-9a-zA-Z]+|[._ -]aug(mented)?[._ -]?\d*|[._ -]+copy[._ -]?\d*)$", re.IGNORECASE)
"""Roboflow's ``frame_jpg.rf.0123abcd``, ``frame_aug3`` and ``frame - Copy``."""


def frame_of(stem: str) -> str:
    """Return the stem of the frame that a picture is a copy of by its name, or its own."""
    return _COPY.sub("", stem) or stem


def count_copies(train: SceneDataset, val: SceneDataset) -> int:
    """Count the scenes to score that are copies, by their names, of frames that are trained on."""
    frames = {frame_of(_stem(train, index)) for index in range(len(train)) if _is_copy(_stem(train, index))}
    originals = {_stem(train, index) for index in range(len(train))}
    scored = [_stem(val, index) for index in range(len(val))]
    return sum(frame_of(stem) in frames or (_is_copy(stem) and frame_of(stem) in originals) for stem in scored)


def _stem(dataset: SceneDataset, index: int) -> str:
    files = dataset.files(index)
    return Path(files[0]).stem if files else dataset.name(index)


def _is_copy(stem: str) -> bool:
    return frame_of(stem) != stem
