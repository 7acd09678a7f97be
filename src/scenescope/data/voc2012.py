"""PASCAL VOC 2012 segmentation: photographs of 20 kinds of objects and background; 1464 train, 1449 val.

Layout ``VOCdevkit/VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation}``; the root may be any of the first two
or the folder above. Masks are palette PNGs, 0 to 20 for the classes and 255, object borders, which is not scored.

Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010 and 2015.
"""

from __future__ import annotations

import os
from pathlib import Path

from scenescope.data.dataset import FileDataset
from scenescope.data.masks import LabelTable
from scenescope.data.pairs import require_directory
from scenescope.errors import DataError
from scenescope.labels import Classes, voc_colour

NAMES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
CLASSES = Classes.named(NAMES, [voc_colour(index) for index in range(len(NAMES))])
BORDER = 255


def open_voc2012(root: str, split: str) -> FileDataset:
    """Open a split (train, val or trainval) of PASCAL VOC 2012.

    Raises:
        DataError: no such folder or split, or a listed image or mask is missing.
    """
    folder = _find(Path(os.path.expanduser(root)))
    lists = require_directory(folder / "ImageSets" / "Segmentation")
    list_file = lists / f"{split}.txt"
    if not list_file.is_file():
        known = ", ".join(sorted(path.stem for path in lists.glob("*.txt"))) or "none"
        raise DataError(f"No split {split!r} of VOC 2012: {list_file} does not exist; splits there: {known}.")
    stems = list_file.read_text(encoding="utf-8", errors="replace").split()
    images, masks = require_directory(folder / "JPEGImages"), require_directory(folder / "SegmentationClass")
    pairs = tuple((images / f"{stem}.jpg", masks / f"{stem}.png") for stem in stems)
    missing = [path for pair in pairs for path in pair if not path.is_file()]
    if missing:
        raise DataError(
            f"{missing[0]} does not exist, but {list_file} lists it ({len(missing)} files missing); "
            "unpack the archive again."
        )
    table = LabelTable.of_values([[index] for index in range(len(CLASSES))], [BORDER])
    return FileDataset(CLASSES, split, root, pairs, table)


def _find(root: Path) -> Path:
    """The folder VOC2012 at, below or two below the root."""
    require_directory(root)
    for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (folder / "JPEGImages").is_dir():
            return folder
    raise DataError(f"No VOC 2012 in {root}; give the folder that holds VOCdevkit/VOC2012/JPEGImages.")
