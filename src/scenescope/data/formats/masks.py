"""Folders of images and masks: of ultralytics and lightly-train, and any whose masks have other names.

    images/train/a.jpg, masks/train/a.png, data.yaml       ``names``; 255 is ignored (ultralytics)
    train/images/a.jpg, train/masks/a.png, classes.json    ``classes``: {0: road, 1: {name: car, values: [1, 3]}},
                                                           ``ignore_classes``: [0] (lightly-train)
    a.jpg, a_mask.png or a_L.png, gt_a.png, a.jpg.png      found by what the names have in common, and told

A ``classes.yaml`` means what it means in a ``folder:`` data set. Where no file names the classes, all masks are looked
at: two values or colors are background and foreground, more are classes called by their value, and 255 is ignored.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from scenescope.data.formats.annotations import AnnotatedImage, Annotations, Fault, Labels
from scenescope.data.formats.image_finder import MAX_GLANCED, ImageFinder, walk
from scenescope.data.formats.mask_classes import MaskClasses, classes_in, of_values
from scenescope.data.formats.mask_labels import color_labels, value_labels
from scenescope.data.formats.mask_pairs import find_pairs, shared_beginning
from scenescope.data.formats.splits import SPLITS, split_of_path
from scenescope.data.masks import read_raw
from scenescope.errors import DataError, ScenescopeError


def recognize(path: Path) -> str | None:
    """Return "images and masks" for a folder with pairs of them."""
    if not path.is_dir():
        return None
    return "images and masks" if find_pairs(path, walk(path, MAX_GLANCED)) else None


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read a folder of images and masks.

    Raises:
        DataError: a file of names that cannot be read, or masks that hold no labels.
    """
    pairs = find_pairs(path, finder.images)
    masks = set(pairs.values())
    classes, notes = _classes(path, finder, sorted(masks))
    images = []
    for image, mask in pairs.items():
        name = finder.below(image)
        split = split_of_path(Path(name))
        splits = (split,) if split else ()
        images.append(AnnotatedImage(_without_images(name), image, partial(_labels, mask, classes), str(mask), splits))
    left = [file for file in finder.images if file not in pairs and file not in masks]
    dropped = [Fault(str(file), "", "an image without a mask, or a mask without an image", 0) for file in left]
    return Annotations(
        "images and masks",
        classes.names,
        images,
        classes.colors,
        dropped=dropped,
        notes=[*_told(path, pairs), *notes],
        unlabeled="ignore",
    )


def _labels(mask: Path, classes: MaskClasses) -> Labels:
    if classes.of_colors:
        return color_labels(mask, classes.of_colors)
    return value_labels(mask, classes.of_values)


def _classes(root: Path, finder: ImageFinder, masks: list[Path]) -> tuple[MaskClasses, list[str]]:
    for file in finder.files(".yaml", ".yml", ".json"):
        if len(file.relative_to(root).parts) <= 2 and (found := classes_in(file)):
            return found, [f"Classes are those of {file.relative_to(root)}."]
    return _seen_classes(masks)


def _seen_classes(masks: list[Path]) -> tuple[MaskClasses, list[str]]:
    """Classes called by what the masks hold."""
    values: set[int] = set()
    colors: set[int] = set()
    for mask in masks:
        try:
            raw = read_raw(mask, colors=False)
            values.update(np.unique(raw).tolist())
        except ScenescopeError:
            try:
                raw = read_raw(mask, colors=True).astype(np.int64)
            except ScenescopeError:
                continue  # it is told when it is its turn
            colors.update(np.unique(raw[:, :, 0] << 16 | raw[:, :, 1] << 8 | raw[:, :, 2]).tolist())
        if len(values) + len(colors) > 256:
            raise DataError(
                f"{mask} and the masks before hold more than 256 values, as no labels do; they are stored with losses, "
                "or are not masks."
            )
    if values and colors:
        raise DataError(f"Of the masks, such as {masks[0]}, some hold numbers and some colors; make them alike.")
    if not values and not colors:
        raise DataError(f"None of {len(masks)} masks, such as {masks[0]}, can be read.")
    return of_values(values, colors)


def _told(root: Path, pairs: dict[Path, Path]) -> list[str]:
    """What masks are called, as most of them are."""
    ways = Counter(_way(image.relative_to(root), mask.relative_to(root)) for image, mask in pairs.items())
    (way, count), *others = ways.most_common()
    rest = f" ({count:,}; {sum(c for _, c in others):,} in other ways)" if others else ""
    return [f"The mask of {way[0]} is {way[1]}{rest}."]


def _way(image: Path, mask: Path) -> tuple[str, str]:
    """The names of a pair with NAME for what they have in common, and SPLIT for the folder of one."""
    common = image.stem
    if common not in mask.name:
        common = image.stem[: shared_beginning([image.stem, mask.stem])] or image.stem

    def shown(path: Path) -> str:
        folders = ["SPLIT" if part.lower() in SPLITS else part for part in path.parent.parts]
        return "/".join([*folders, path.name.replace(common, "NAME", 1)])

    return shown(image), shown(mask)


def _without_images(name: str) -> str:
    """The path of an image without the folder that only says that it holds images."""
    *folders, file = name.split("/")
    return "/".join([*(folder for folder in folders if folder not in ("images", "img_dir", "imgs")), file])
