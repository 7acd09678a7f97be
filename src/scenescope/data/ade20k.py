"""ADE20K for scene parsing: rooms, streets and landscapes, 150 classes; 20,210 train, 2000 val, 3352 test.

Layout ``ADEChallengeData2016/{images,annotations}/{training,validation}``; the root may be that folder or the one
above. Masks hold 1 to 150 for the classes and 0, other or unlabeled, which is not scored. The images of test, which
have no masks, are in ``release_test/testing`` in or beside that folder, or in its ``images/testing``.

Zhou et al., "Scene parsing through ADE20K dataset", CVPR 2017. A class has the first of its official names.
"""

from __future__ import annotations

import os
from pathlib import Path

from scenescope.data.class_names import read_names
from scenescope.data.dataset import FileDataset, Pair
from scenescope.data.file_pairs import find_directory, format_names, images_by_stem, pair_directories, require_directory
from scenescope.data.masks import LabelTable
from scenescope.errors import SplitError
from scenescope.labels import Classes

CLASSES = Classes.named(read_names("ade20k"))
UNLABELED = 0
DIRECTORIES = {"train": "training", "val": "validation"}
"""Split to the directory that holds it."""
COUNTS = {"train": 20_210, "val": 2000, "test": 3352}
"""Number of scenes in each split as published."""
TEST_PLACES = (
    "release_test/testing",
    "images/testing",
    "ADEChallengeData2016/release_test/testing",
    "ADEChallengeData2016/images/testing",
    "../release_test/testing",
)
"""Where, from the root on, the images of test may be."""


def open_ade20k(root: str, split: str) -> FileDataset:
    """Open a split (train, val or test) of ADE20K; in test every label is ignored.

    Raises:
        DataError: no such folder, or images and masks do not match.
        SplitError: no such split.
    """
    table = LabelTable.of_values([[value] for value in range(1, len(CLASSES) + 1)], [UNLABELED])
    if split == "test":
        remarks = ("The labels of ADE20K's test split are not public: it can be predicted.",)
        return FileDataset(CLASSES, split, root, _test(root), table, published=(COUNTS[split],), remarks=remarks)
    folder = find_directory(root, ("", "ADEChallengeData2016"), "images", "ADE20K for scene parsing")
    images, masks = folder / "images", folder / "annotations"
    if split not in DIRECTORIES or not (images / DIRECTORIES[split]).is_dir():
        held = format_names(entry.name for entry in images.iterdir())
        raise SplitError(
            f"No split {split!r} of ADE20K in {folder}; train is images/training, val is images/validation, and "
            f"images holds {held}."
        )
    pairs = pair_directories(images / DIRECTORIES[split], masks / DIRECTORIES[split])
    return FileDataset(CLASSES, split, root, pairs, table, published=(COUNTS[split],))


def _test(root: str) -> tuple[Pair, ...]:
    folder = require_directory(Path(os.path.expanduser(root)))
    for place in TEST_PLACES:
        if (folder / place).is_dir():
            return tuple((image, None) for image in images_by_stem(folder / place).values())
    raise SplitError(f"No split 'test' of ADE20K: {folder / TEST_PLACES[0]} does not exist; unpack release_test.zip.")
