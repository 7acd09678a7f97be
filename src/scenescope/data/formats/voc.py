"""The layout of PASCAL VOC as other tools write it: CVAT, labelme2voc, datumaro, ...

    JPEGImages/a.jpg, SegmentationClass/a.png, ImageSets/Segmentation/train.txt
    labelmap.txt        name:r,g,b:parts:actions, a class a line (CVAT, datumaro)
    class_names.txt     a class a line, the first of which is ``__ignore__`` (labelme2voc)

Without either file the 21 classes are VOC's own. Colors of labelmap.txt count through a palette as well. VOC's border
color and 255 are ignored. The real VOC 2012 is read as ``voc2012:``, without an import.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from scenescope.data.formats.annotations import (
    IGNORED,
    UNLABELED,
    AnnotatedImage,
    Annotations,
    Fault,
    Labels,
    Unlabeled,
    is_background,
)
from scenescope.data.formats.image_finder import MAX_GLANCED, ImageFinder, walk
from scenescope.data.formats.labelme import IGNORE_NAME
from scenescope.data.formats.mask_labels import color_labels, value_labels
from scenescope.data.formats.name_files import names_listed
from scenescope.data.formats.splits import SPLITS
from scenescope.data.images import SUFFIXES
from scenescope.data.voc2012 import CLASSES
from scenescope.errors import DataError
from scenescope.labels import Color

BORDER = (224, 224, 192)
_MASKS = ("SegmentationClass", "SegmentationClassPNG")


def recognize(path: Path) -> str | None:
    """Return the format's name for a folder that holds one of SegmentationClass."""
    masks = _mask_folder(path) if path.is_dir() else None
    return _format(masks) if masks is not None else None


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read the layout.

    Raises:
        DataError: a labelmap.txt that cannot be read, or that gives two classes one color.
    """
    masks = _mask_folder(path)
    assert masks is not None
    names, colors, notes = _classes(masks.parent)
    splits = _splits(masks.parent / "ImageSets")
    below = finder.below
    finder = finder.without(lambda image: any(part.startswith("Segmentation") for part in below(image).split("/")[:-1]))
    images, faults, used, with_mask = [], [], set(), set()
    for mask in (file for file in walk(masks) if file.suffix.lower() in SUFFIXES):
        stem = mask.relative_to(masks).with_suffix("").as_posix()
        try:
            image = finder.find(stem)
        except DataError as error:
            faults.append(Fault(str(mask), "", str(error), 0))
            continue
        used.add(image)
        with_mask.add(stem)
        labels = partial(_labels, mask, names, colors)
        images.append(AnnotatedImage(f"{stem}{image.suffix}", image, labels, str(mask), tuple(splits.get(stem, ()))))
    listed = [stem for stem in splits if stem not in with_mask]
    # CVAT writes no mask for images without shapes.
    dropped = [Fault(str(masks), stem, "is listed in ImageSets, but has no mask", 0) for stem in listed]
    told = {Path(stem).name for stem in listed}
    left = (image for image in finder.images if image not in used and image.stem not in told)
    dropped += [Fault(str(image), "", "an image without a mask", 0) for image in left]
    unlabeled: Unlabeled = "background" if colors else "ignore"
    return Annotations(_format(masks), names, images, colors, faults, dropped, notes, unlabeled=unlabeled)


def _format(masks: Path) -> str:
    return "CVAT segmentation mask 1.1" if (masks.parent / "labelmap.txt").is_file() else "Pascal VOC masks"


def read_labelmap(path: Path) -> dict[str, Color]:
    """Return the colors of a labelmap.txt, by class, in its order.

    Raises:
        DataError: a line that is not name:r,g,b:parts:actions, or a class twice.
    """
    colors: dict[str, Color] = {}
    for number, line in enumerate(path.read_text("utf-8-sig", "replace").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        parts = rest.partition(":")[0].split(",")
        if (
            not name.strip()
            or len(parts) != 3
            or not all(part.strip().isdecimal() and int(part) < 256 for part in parts)
        ):
            raise DataError(f"{path}, line {number}: {line[:60]!r} is no class; expected name:r,g,b:parts:actions.")
        if name.strip() in colors:
            raise DataError(f"{path}, line {number}: the class {name.strip()!r} stands there twice; remove one.")
        colors[name.strip()] = (int(parts[0]), int(parts[1]), int(parts[2]))
    return colors


def _mask_folder(path: Path) -> Path | None:
    found = (file.parent for file in walk(path, MAX_GLANCED) if file.parent.name in _MASKS)
    return next(found, None)


def _classes(root: Path) -> tuple[tuple[str, ...], tuple[Color, ...], list[str]]:
    """The classes, their colors where masks mean colors, and what is to be told."""
    labelmap, listed = root / "labelmap.txt", root / "class_names.txt"
    if labelmap.is_file():
        colors = read_labelmap(labelmap)
        if len(set(colors.values())) < max(len(colors), 1):
            raise DataError(f"{labelmap} has {len(set(colors.values()))} colors for {len(colors)} classes.")
        return tuple(colors), tuple(colors.values()), []
    if listed.is_file():
        return tuple(name for name in names_listed(listed) if name != IGNORE_NAME), (), []
    told = "No labelmap.txt or class_names.txt names the classes: they are taken for the 21 of PASCAL VOC."
    return CLASSES.names, (), [told]


def _labels(mask: Path, names: tuple[str, ...], colors: tuple[Color, ...]) -> Labels:
    if not colors:
        return value_labels(mask, {**{index: index for index in range(len(names))}, 255: IGNORED})
    indices = (UNLABELED if is_background(name) else index for index, name in enumerate(names))
    meanings = {BORDER: IGNORED} | dict(zip(colors, indices, strict=True))
    return color_labels(mask, meanings)


def _splits(folder: Path) -> dict[str, list[str]]:
    """The lists that name each stem; train and val are splits already, so trainval is none, nor is CVAT's default."""
    lists = folder / "Segmentation" if (folder / "Segmentation").is_dir() else folder
    splits: dict[str, list[str]] = {}
    for file in sorted(lists.glob("*.txt")):
        if file.stem in ("trainval", "default"):
            continue
        for line in file.read_text("utf-8-sig", "replace").splitlines():
            # Names with spaces are in quotes.
            if stem := line.strip().strip('"'):
                splits.setdefault(stem, []).append(SPLITS.get(file.stem.lower(), file.stem))
    return splits
