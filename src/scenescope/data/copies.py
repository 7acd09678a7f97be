"""Images that are copies of one frame by their names, as tools that augment a data set write them."""

from __future__ import annotations

import re
from pathlib import Path

from scenescope.data.dataset import SegmentationDataset

_COPY = re.compile(r"(\.rf\.[0-9a-zA-Z]+|[._ -]aug(mented)?[._ -]?\d*|[._ -]+copy[._ -]?\d*)$", re.IGNORECASE)
"""Roboflow's ``frame_jpg.rf.0123abcd``, ``frame_aug3`` and ``frame - Copy``."""


def frame_of(stem: str) -> str:
    """Return the stem of the frame that an image is a copy of by its name, or its own."""
    return _COPY.sub("", stem) or stem


def copies_remark(train: SegmentationDataset, val: SegmentationDataset) -> str | None:
    """Say how many scenes to score are copies, by their names, of frames that are trained on; None if none is."""
    learned = [_stem(train, index) for index in range(len(train))]
    scored = [_stem(val, index) for index in range(len(val))]
    stems, frames = {*learned}, {frame_of(stem) for stem in learned if frame_of(stem) != stem}
    number = sum(frame_of(stem) in frames or (frame_of(stem) != stem and frame_of(stem) in stems) for stem in scored)
    if not number:
        return None
    return (
        f"{number} of {len(val)} scenes of {val.split} are copies of frames of {train.split} by their names "
        "(frame.rf.HASH, frame_aug1): scores on them are too good. Keep the copies of a frame in one split; a draw by "
        "val_fraction does."
    )


def _stem(dataset: SegmentationDataset, index: int) -> str:
    files = dataset.files(index)
    return Path(files[0]).stem if files else dataset.name(index)
