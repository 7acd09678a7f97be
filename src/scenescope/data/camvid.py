"""CamVid in the SegNet split: road scenes of Cambridge, 480 x 360, 11 classes; 367 train, 101 val, 233 test.

Two layouts are read: ``SPLIT/images`` with ``SPLIT/masks``, and SegNet's own ``SPLIT`` with ``SPLITannot``. Masks hold
0 to 10 for the classes and 11 for unlabeled, which is not scored.

Brostow, Fauqueur, Cipolla, "Semantic object classes in video", Pattern Recognition Letters 30(2), 2009;
Badrinarayanan, Kendall, Cipolla, "SegNet", PAMI 2017 (the split).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from scenescope.data.dataset import FileDataset, Pair
from scenescope.data.file_pairs import format_names, pair_directories, require_directory
from scenescope.data.masks import LabelTable
from scenescope.errors import SplitError, nearest
from scenescope.labels import Classes, Color

_CLASSES: dict[str, Color] = {
    "Sky": (128, 128, 128),
    "Building": (128, 0, 0),
    "Pole": (192, 192, 128),
    "Road": (128, 64, 128),
    "Pavement": (60, 40, 222),
    "Tree": (128, 128, 0),
    "SignSymbol": (192, 128, 128),
    "Fence": (64, 64, 128),
    "Car": (64, 0, 128),
    "Pedestrian": (64, 64, 0),
    "Bicyclist": (0, 128, 192),
}
CLASSES = Classes(tuple(_CLASSES), tuple(_CLASSES.values()))
UNLABELED = 11
COUNTS = {"train": 367, "val": 101, "trainval": 468, "test": 233}
"""Number of scenes in each split as published."""
_FOLD = re.compile(r"(?P<whole>.+)-(?P<side>only|without)-(?P<sequence>[^-]+)")


def open_camvid(root: str, split: str) -> FileDataset:
    """Open a split of CamVid: train, val, test, or trainval, the first two one after the other.

    ``train-only-0006R0`` is one sequence of train and ``train-without-0006R0`` all others: folds for choices that
    should hold on another street. A file is named after its sequence up to the first "_".

    Raises:
        DataError: no such folder, or images and masks do not match.
        SplitError: no such split, or no such sequence in it.
    """
    folder = require_directory(Path(os.path.expanduser(root)))
    layouts = _layouts(folder)
    fold = None if split in layouts else _FOLD.fullmatch(split)
    whole = fold["whole"] if fold else split
    parts = ["train", "val"] if whole == "trainval" else [whole]
    if not layouts.keys() >= set(parts):
        found = f"it has {', '.join(sorted(layouts))}" if layouts else f"it holds {format_names(_names(folder))}"
        raise SplitError(
            f"No split {whole!r} of CamVid in {folder}; {found}. A split is SPLIT/images with SPLIT/masks, "
            "or SPLIT with SPLITannot."
        )
    table = LabelTable.of_values([[index] for index in range(len(CLASSES))], [UNLABELED])
    published = (COUNTS[split],) if split in COUNTS else ()
    pairs = tuple(pair for part in parts for pair in pair_directories(*layouts[part]))
    if fold:
        pairs = _of_sequence(pairs, fold["sequence"], fold["side"] == "only", split)
    return FileDataset(CLASSES, split, root, pairs, table, published=published)


def _of_sequence(pairs: tuple[Pair, ...], sequence: str, only: bool, split: str) -> tuple[Pair, ...]:
    """The pairs of one sequence, or those of all others."""
    sequences = [image.name.partition("_")[0] for image, _ in pairs]
    if sequence not in sequences:
        raise SplitError(
            f"No sequence {sequence!r} for the split {split!r} of CamVid; it has {format_names(set(sequences))}."
            f"{nearest(sequence, set(sequences))} A sequence is what stands before the first _ of a file's name."
        )
    return tuple(pair for pair, of in zip(pairs, sequences, strict=True) if (of == sequence) == only)


def _layouts(folder: Path) -> dict[str, tuple[Path, Path]]:
    """The directories of images and masks of each split that is there."""
    found = {}
    for name in _names(folder):
        if (folder / name / "images").is_dir():
            found[name] = (folder / name / "images", folder / name / "masks")
        elif (folder / f"{name}annot").is_dir() and (folder / name).is_dir():
            found[name] = (folder / name, folder / f"{name}annot")
    return found


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]
