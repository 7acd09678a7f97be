"""Cityscapes, fine annotation: street scenes of 50 cities, 2048 x 1024, 19 classes; 2975 train, 500 val, 1525 test.

Layout ``leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png`` with ``gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png``. Masks hold
the 34 original ids, of which 19 are scored. The labels of test are not public: its mask files, where there are any,
hold ignored ids only.

Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016.
"""

from __future__ import annotations

import os
from pathlib import Path

from scenescope.data.dataset import FileDataset, Pair
from scenescope.data.file_pairs import format_names, require_directory
from scenescope.data.masks import LabelTable
from scenescope.errors import DataError, SplitError
from scenescope.labels import Classes, Color

_CLASSES: dict[str, tuple[int, Color]] = {
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}
CLASSES = Classes.named(tuple(_CLASSES), [color for _, color in _CLASSES.values()])
ORIGINAL_IDS = tuple(number for number, _ in _CLASSES.values())
"""Train id to original id: what the server of the benchmark expects in a submission."""
# 255 is -1, a license plate, in 8 bit.
IGNORED_IDS = tuple(number for number in (*range(34), 255) if number not in ORIGINAL_IDS)
COUNTS = {"train": 2975, "val": 500, "test": 1525}
"""Number of scenes in each split as published."""
_IMAGE, _MASK = "_leftImg8bit.png", "_gtFine_labelIds.png"


def open_cityscapes(root: str, split: str) -> FileDataset:
    """Open a split (train, val or test) of Cityscapes; in test every label is ignored.

    Raises:
        DataError: no such folder, or images and masks do not match.
        SplitError: no such split.
    """
    folder = require_directory(Path(os.path.expanduser(root)))
    images = require_directory(folder / "leftImg8bit")
    if not (images / split).is_dir():
        known = format_names(entry.name for entry in images.iterdir())
        raise SplitError(f"No split {split!r} of Cityscapes: {images / split} does not exist; {images} holds {known}.")
    table = LabelTable.of_values([[number] for number in ORIGINAL_IDS], IGNORED_IDS)
    remarks = () if split != "test" else ("The labels of Cityscapes' test split are not public: it can be predicted.",)
    published = (COUNTS[split],) if split in COUNTS else ()
    pairs = _pairs(images / split, folder / "gtFine" / split, labeled=split != "test")
    return FileDataset(CLASSES, split, root, pairs, table, published=published, remarks=remarks)


def _pairs(images: Path, masks: Path, labeled: bool) -> tuple[Pair, ...]:
    """The pairs of all cities, sorted by city and name."""
    if labeled:
        require_directory(masks)
    found = sorted(images.glob(f"*/*{_IMAGE}"))
    expected = [masks / path.parent.name / (path.name.removesuffix(_IMAGE) + _MASK) for path in found]
    missing = [path for path in expected if not path.is_file()]
    if labeled and missing:
        raise DataError(
            f"{missing[0]} does not exist, but its image does ({len(found)} images, {len(missing)} without mask); "
            "unpack gtFine_trainvaltest.zip again."
        )
    unused = set(masks.glob(f"*/*{_MASK}")) - set(expected)
    if labeled and unused:
        raise DataError(
            f"{min(unused)} has no image in {images} ({len(unused)} masks without image); unpack "
            "leftImg8bit_trainvaltest.zip again."
        )
    there = set(expected) - set(missing)
    return tuple((image, mask if mask in there else None) for image, mask in zip(found, expected, strict=True))
