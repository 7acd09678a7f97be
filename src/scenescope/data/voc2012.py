"""PASCAL VOC 2012 segmentation: photographs of 20 kinds of objects and background; 1464 train, 1449 val, 1456 test.

Layout ``VOCdevkit/VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation}``; the root may be any of the first two
or the folder above. Masks are palette PNGs, 0 to 20 for the classes and 255, object borders, which is not scored.

The split ``trainaug`` is VOC's train with the masks of SBD added: (VOC train + SBD train + SBD val) without VOC val,
10,582 in all. SBD is read from ``benchmark_RELEASE`` in, beside or one above VOC2012, or, converted, from the PNGs in
``SegmentationClassAug``. SBD knows no borders; the images of VOC's train keep their own masks.

The images of ``test`` and their list come in an archive of their own, without masks.

Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010 and 2015;
Hariharan et al., "Semantic contours from inverse detectors", ICCV 2011 (SBD).
"""

from __future__ import annotations

from pathlib import Path

from scenescope.data.dataset import FileDataset, Pair
from scenescope.data.file_pairs import (
    find_directory,
    images_by_stem,
    listed_stems,
    pair_listed,
    require_directory,
    require_files,
    require_list,
)
from scenescope.data.masks import LabelTable
from scenescope.errors import DataError, SplitError
from scenescope.labels import Classes, voc_color

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
CLASSES = Classes.named(NAMES, [voc_color(index) for index in range(len(NAMES))])
BORDER = 255
COUNTS = {"train": 1464, "val": 1449, "trainval": 2913, "trainaug": 10_582, "test": 1456}
"""Number of scenes in each split as published."""
PLACES = ("", "VOC2012", "VOCdevkit/VOC2012")
"""Where, from the root on, the data set may be."""


def open_voc2012(root: str, split: str) -> FileDataset:
    """Open a split (train, val, trainval, trainaug or test) of PASCAL VOC 2012; in test every label is ignored.

    Raises:
        DataError: no such folder, a listed image or mask is missing, or ``trainaug`` without SBD.
        SplitError: no such split.
    """
    folder = find_directory(root, PLACES, "JPEGImages", "VOC 2012")
    lists = folder / "ImageSets" / "Segmentation"
    if split == "trainaug":
        pairs = _augmented(folder)
    elif split == "test":
        pairs = _unlabeled(folder, lists / "test.txt")
    else:
        pairs = _own(folder, require_list(lists, split, "VOC 2012"))
    table = LabelTable.of_values([[index] for index in range(len(CLASSES))], [BORDER])
    remarks = () if split != "test" else ("The labels of VOC 2012's test split are not public: it can be predicted.",)
    published = (COUNTS[split],) if split in COUNTS else ()
    return FileDataset(CLASSES, split, root, pairs, table, published=published, remarks=remarks)


def _own(folder: Path, list_file: Path) -> tuple[Pair, ...]:
    images, masks = require_directory(folder / "JPEGImages"), require_directory(folder / "SegmentationClass")
    return pair_listed(list_file, lambda stem: images / f"{stem}.jpg", lambda stem: masks / f"{stem}.png")


def _unlabeled(folder: Path, list_file: Path) -> tuple[Pair, ...]:
    """The images of test."""
    if not list_file.is_file():
        raise SplitError(
            f"No split 'test' of VOC 2012: {list_file} does not exist; the list and the images come in "
            f"VOC2012test.tar, from the evaluation server after registration; unpack it in {folder.parent.parent}."
        )
    return pair_listed(list_file, lambda stem: folder / "JPEGImages" / f"{stem}.jpg", lambda stem: None)


def _augmented(folder: Path) -> tuple[Pair, ...]:
    """The pairs of trainaug, sorted by stem."""
    lists = folder / "ImageSets" / "Segmentation"
    own = {image.stem: (image, mask) for image, mask in _own(folder, require_list(lists, "train", "VOC 2012"))}
    scored = set(listed_stems(require_list(lists, "val", "VOC 2012")))
    added = {stem: pair for stem, pair in _added(folder).items() if stem not in scored}
    return tuple(pair for _, pair in sorted((added | own).items()))


def _added(folder: Path) -> dict[str, Pair]:
    """The pairs of SBD by stem, those of VOC's val among them."""
    converted = folder / "SegmentationClassAug"
    if converted.is_dir():
        masks = images_by_stem(converted)
        pairs = [(folder / "JPEGImages" / f"{stem}.jpg", mask) for stem, mask in masks.items()]
        return {image.stem: (image, mask) for image, mask in require_files(pairs, converted)}
    for place in (folder, folder.parent, folder.parent.parent):
        sbd = place / "benchmark_RELEASE" / "dataset"
        if sbd.is_dir():
            break
    else:
        raise DataError(
            f"trainaug needs SBD, and neither benchmark_RELEASE/dataset nor {converted} is there; unpack SBD's "
            f"benchmark.tgz in {folder.parent.parent}, or train on train."
        )
    found: dict[str, Pair] = {}
    for split in ("train", "val"):
        list_file = require_list(sbd, split, "SBD")
        listed = pair_listed(
            list_file, lambda stem: sbd / "img" / f"{stem}.jpg", lambda stem: sbd / "cls" / f"{stem}.mat"
        )
        found |= {image.stem: (image, mask) for image, mask in listed}
    return found
