"""ADE20K for scene parsing: rooms, streets and landscapes, 150 classes; 20,210 train, 2000 val.

Layout ``ADEChallengeData2016/{images,annotations}/{training,validation}``; the root may be that folder or the one
above. Masks hold 1 to 150 for the classes and 0, other or unlabelled, which is not scored.

Zhou et al., "Scene parsing through ADE20K dataset", CVPR 2017. A class has the first of its official names.
"""

from __future__ import annotations

from scenescope.data.dataset import FileDataset
from scenescope.data.masks import LabelTable
from scenescope.data.names import read_names
from scenescope.data.pairs import find_directory, listed, pair_directories
from scenescope.errors import SplitError
from scenescope.labels import Classes

CLASSES = Classes.named(read_names("ade20k"))
UNLABELLED = 0
DIRECTORIES = {"train": "training", "val": "validation"}
"""Split to the directory that holds it."""
COUNTS = {"train": 20_210, "val": 2000}
"""Number of scenes in each split as published."""


def open_ade20k(root: str, split: str) -> FileDataset:
    """Open a split (train or val) of ADE20K.

    Raises:
        DataError: no such folder, or images and masks do not match.
        SplitError: no such split.
    """
    folder = find_directory(root, ("", "ADEChallengeData2016"), "images", "ADE20K for scene parsing")
    images, masks = folder / "images", folder / "annotations"
    if split not in DIRECTORIES or not (images / DIRECTORIES[split]).is_dir():
        held = listed(entry.name for entry in images.iterdir())
        raise SplitError(
            f"No split {split!r} of ADE20K in {folder}; train is images/training, val is images/validation, and "
            f"images holds {held}."
        )
    pairs = pair_directories(images / DIRECTORIES[split], masks / DIRECTORIES[split])
    table = LabelTable.of_values([[value] for value in range(1, len(CLASSES) + 1)], [UNLABELLED])
    return FileDataset(CLASSES, split, root, pairs, table, published=(COUNTS[split],))
