"""COCO-Stuff: everyday photographs with every pixel labeled, 80 things and 91 kinds of stuff, 171 classes.

Two editions, told apart by their folders:

    images/*.jpg, annotations/*.mat, imageLists/{train,test,all}.txt    10k v1.1: 9000 train, 1000 test
    {images,annotations}/{train,val}2017/*.{jpg,png}                    164k: 118,287 train, 5000 val

The original ids run from 1 to 182, eleven of them unused; the train id is the rank among those used. The 10k edition
stores the id and 0 for unlabeled, the 164k edition the id less 1 and 255. Unlabeled pixels are not scored.

With ``classes="voc"`` the labels are those of PASCAL VOC, in its order: its 20 classes are among the things, and all
else, unlabeled pixels too, is background. That is what networks for VOC are trained on beforehand.

Caesar, Uijlings, Ferrari, "COCO-Stuff: thing and stuff classes in context", CVPR 2018.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from scenescope.data.class_names import read_numbered_names
from scenescope.data.dataset import FileDataset, Pair
from scenescope.data.file_pairs import format_names, pair_directories, pair_listed, require_directory, require_list
from scenescope.data.masks import LabelTable
from scenescope.data.voc2012 import CLASSES as VOC_CLASSES
from scenescope.errors import DataError, SplitError
from scenescope.labels import Classes

IDS = read_numbered_names("coco_stuff")
"""Original id to name of the 171 classes, in the order of the train ids."""
CLASSES = Classes.named(tuple(IDS.values()))
CHOICES = ("171", "voc")
VOC_IDS = (5, 2, 16, 9, 44, 6, 3, 17, 62, 21, 67, 18, 19, 4, 1, 64, 20, 63, 7, 72)
"""Original id of VOC's classes 1 to 20."""
COUNTS_10K = {"train": 9000, "test": 1000, "all": 10_000}
COUNTS_164K = {"train": 118_287, "val": 5000}
"""Number of scenes in each split as published."""


def open_coco_stuff(root: str, split: str, *, classes: str = "171") -> FileDataset:
    """Open a split of COCO-Stuff: train, test or all of the 10k edition, train or val of the 164k edition.

    Args:
        root: the folder that holds ``images`` and ``annotations``.
        split: see above.
        classes: ``171``, or ``voc`` for the 21 of PASCAL VOC.

    Raises:
        DataError: no such folder or choice, or images and masks do not match.
        SplitError: no such split.
    """
    if classes not in CHOICES:
        raise DataError(f"classes={classes} is not a choice of coco_stuff:; choose {' or '.join(CHOICES)}.")
    folder = require_directory(Path(os.path.expanduser(root)))
    images, masks = require_directory(folder / "images"), require_directory(folder / "annotations")
    if (folder / "imageLists").is_dir():
        pairs = _pairs_10k(folder, split)
        published = COUNTS_10K.get(split)
        table = _table(classes, stored=lambda number: number, unlabeled=0)
    else:
        if not (images / f"{split}2017").is_dir():
            held = format_names(entry.name for entry in images.iterdir())
            raise SplitError(
                f"No split {split!r} of COCO-Stuff: neither {images / f'{split}2017'} (164k) nor "
                f"{folder / 'imageLists'} (10k) exists; {images} holds {held}."
            )
        pairs = pair_directories(images / f"{split}2017", masks / f"{split}2017")
        published = COUNTS_164K.get(split)
        table = _table(classes, stored=lambda number: number - 1, unlabeled=255)
    return FileDataset(
        VOC_CLASSES if classes == "voc" else CLASSES,
        split,
        root,
        pairs,
        table,
        published=(published,) if published is not None else (),
    )


def _pairs_10k(folder: Path, split: str) -> tuple[Pair, ...]:
    return pair_listed(
        require_list(folder / "imageLists", split, "COCO-Stuff"),
        lambda stem: folder / "images" / f"{stem}.jpg",
        lambda stem: folder / "annotations" / f"{stem}.mat",
    )


def _table(classes: str, stored: Callable[[int], int], unlabeled: int) -> LabelTable:
    if classes == "171":
        return LabelTable.of_values([[stored(number)] for number in IDS], [unlabeled])
    background = [stored(number) for number in IDS if number not in VOC_IDS]
    return LabelTable.of_values([[*background, unlabeled], *([stored(number)] for number in VOC_IDS)])
