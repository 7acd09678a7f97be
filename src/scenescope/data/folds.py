"""Folds of a split for cross-validation: the scenes are dealt to N parts, of which one is left out of a training.

``train-without-1of3`` is what the first of three models learns from, ``train-only-1of3`` what it has not seen then.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable

from scenescope.data.copies import frame_of
from scenescope.data.dataset import FileDataset, SegmentationDataset
from scenescope.errors import DataError, SplitError

_FOLD = re.compile(r"(?P<whole>.+)-(?P<side>only|without)-(?P<number>\d{1,3})of(?P<folds>\d{1,3})")


def open_fold(split: str, open_split: Callable[[str], SegmentationDataset]) -> SegmentationDataset:
    """Open a split; where there is none of that name and it names a fold of one, the scenes of the fold.

    Which fold a scene is in depends on its name alone, and copies of one frame are in the same.

    Args:
        split: such as ``train``, ``train-only-2of5`` or ``train-without-2of5``.
        open_split: opens a split that a data set has.

    Raises:
        SplitError: there is no such split, or no such fold.
        DataError: the data are not fit to use, or a fold is empty.
    """
    try:
        return open_split(split)
    except SplitError:
        found = _FOLD.fullmatch(split)
        if found is None:
            raise
    number, folds = int(found["number"]), int(found["folds"])
    if not (1 <= number <= folds and folds > 1):
        raise SplitError(f"{split!r} is no fold: write the first of two as {found['whole']}-{found['side']}-1of2.")
    whole = open_split(found["whole"])
    if not isinstance(whole, FileDataset):
        raise SplitError(f"Folds are made of files; {whole.root or 'scenes:'} draws its scenes, so use another seed.")
    frames = [frame_of(image.stem) for image, _ in whole.pairs]
    ranked = sorted(set(frames), key=lambda frame: hashlib.sha256(f"fold:{frame}".encode()).digest())
    if len(ranked) < folds:
        raise DataError(f"Split {found['whole']!r} has {len(ranked)} frames, too few for {folds} folds; make fewer.")
    chosen = set(ranked[number - 1 :: folds])
    inside = found["side"] == "only"
    pairs = tuple(pair for pair, frame in zip(whole.pairs, frames, strict=True) if (frame in chosen) == inside)
    return dataclasses.replace(whole, split=split, pairs=pairs, published=())
