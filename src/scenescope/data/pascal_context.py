"""PASCAL Context: the photographs of VOC 2010 with every pixel labeled, 59 classes; 4998 train, 5105 val.

Layout ``VOCdevkit/VOC2010/JPEGImages``, with masks of one of two kinds and lists of stems:

    VOC2010/SegmentationClassContext/*.png, ImageSets/SegmentationContext/{train,val}.txt    0 to 59
    VOC2010/trainval/*.mat (or beside VOC2010), ImageSets/Main/{train,val}.txt    ``LabelMap``: the original 459 ids

The root may be VOC2010, VOCdevkit or the folder above. Classes come in the alphabetical order of their names, as in all
published weights. PNGs count them in that order or in the one of the data set's own file ``59_labels.txt``, VOC's 20
first; the files do not tell which, so the user has to.

Mottaghi et al., "The role of context for object detection and semantic segmentation in the wild", CVPR 2014.
"""

from __future__ import annotations

from pathlib import Path

from scenescope.data.class_names import read_names, read_numbered_names
from scenescope.data.dataset import FileDataset
from scenescope.data.file_pairs import find_directory, pair_listed, require_list
from scenescope.data.masks import LabelTable
from scenescope.errors import DataError
from scenescope.labels import Classes, voc_color

IDS = read_numbered_names("pascal_context")
"""Original id to name of the 59 classes, in alphabetical order, which is also that of the ids."""
LISTED_NAMES = read_names("pascal_context_59_labels")
"""The 59 names in the order of the data set's own file ``59_labels.txt``."""
NUM_ORIGINAL_IDS = 459
CLASSES_59 = Classes.named(tuple(IDS.values()))
CLASSES_60 = Classes.named(("background", *IDS.values()), [voc_color(index) for index in range(60)])

CHOICES = ("59", "60", "59_labels", "60_labels")
"""59 classes with the background ignored, or 60 with the background first; the ending: PNGs as in 59_labels.txt."""
COUNTS = {"train": (4998, 4996), "val": (5105, 5104)}
"""Number of scenes in each split as published, and as converted by the Detail API."""


def open_pascal_context(root: str, split: str, *, classes: str = "59") -> FileDataset:
    """Open a split (train or val) of PASCAL Context.

    Args:
        root: the folder that holds VOCdevkit/VOC2010, or one of these two.
        split: train or val.
        classes: one of ``CHOICES``.

    Raises:
        DataError: no such folder or choice, no masks, or a listed image or mask is missing.
        SplitError: no such split.
    """
    if classes not in CHOICES:
        raise DataError(f"classes={classes} is not a choice of pascal_context:; choose {' or '.join(CHOICES)}.")
    folder = find_directory(root, ("", "VOC2010", "VOCdevkit/VOC2010"), "JPEGImages", "PASCAL Context")
    with_background, listed_order = classes.startswith("60"), classes.endswith("_labels")
    masks, suffix = _masks(folder)
    lists = folder / "ImageSets" / "SegmentationContext"
    if not lists.is_dir():
        lists = folder / "ImageSets" / "Main"
    pairs = pair_listed(
        require_list(lists, split, "PASCAL Context"),
        lambda stem: folder / "JPEGImages" / f"{stem}.jpg",
        lambda stem: masks / f"{stem}{suffix}",
    )
    values = _original_values() if suffix == ".mat" else _index_values(listed_order)
    table = LabelTable.of_values(values) if with_background else LabelTable.of_values(values[1:], values[0])
    return FileDataset(
        CLASSES_60 if with_background else CLASSES_59,
        split,
        root,
        pairs,
        table,
        published=COUNTS.get(split, ()),
        remarks=() if suffix == ".mat" else (_order_remark(masks, classes, listed_order),),
    )


def _masks(folder: Path) -> tuple[Path, str]:
    """The directory of the masks and the ending of their names."""
    converted = folder / "SegmentationClassContext"
    if converted.is_dir():
        return converted, ".png"
    for place in (folder, folder.parent, folder.parent.parent):
        # The archive unpacks to a folder of this name, with the list of the 459 names in or beside it.
        if next((place / "trainval").glob("*.mat"), None) is not None:
            return place / "trainval", ".mat"
    raise DataError(
        f"No masks of PASCAL Context: {converted} does not exist and no trainval/*.mat is in, beside or one above "
        f"{folder}; unpack the archive trainval.tar.gz of the data set there."
    )


def _original_values() -> list[list[int]]:
    """The original ids of background and of each class."""
    background = [number for number in range(NUM_ORIGINAL_IDS + 1) if number not in IDS]
    return [background, *([number] for number in IDS)]


def _index_values(listed_order: bool) -> list[list[int]]:
    """The values of background and of each class in a PNG."""
    order = LISTED_NAMES if listed_order else tuple(IDS.values())
    return [[0], *([order.index(name) + 1] for name in IDS.values())]


def _order_remark(masks: Path, classes: str, listed_order: bool) -> str:
    read, other = "in alphabetical order", "in the order of 59_labels.txt"
    if listed_order:
        read, other = other, read
    choice = classes.removesuffix("_labels") if listed_order else f"{classes}_labels"
    return (
        f"The masks in {masks} are read {read}; if the names do not fit the images, they are {other}: "
        f"choose classes={choice}."
    )
