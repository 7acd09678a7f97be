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

from scenescope.data.formats.annotations import IGNORED, AnnotatedImage, Annotations, Fault, Labels
from scenescope.data.formats.image_finder import MAX_GLANCED, ImageFinder, walk
from scenescope.data.formats.labelme import IGNORE_NAME
from scenescope.data.formats.mask_labels import color_labels, value_labels
from scenescope.data.formats.splits import SPLITS
from scenescope.data.images import SUFFIXES
from scenescope.data.voc2012 import CLASSES
from scenescope.errors import DataError
from scenescope.labels import Color

BORDER = (224, 224, 192)
_MASKS = ("SegmentationClass", "SegmentationClassPNG")


def recognize(path: Path) -> str | None:
    """Return "Pascal VOC masks" for a folder that holds one of SegmentationClass."""
    return "Pascal VOC masks" if path.is_dir() and _mask_folder(path) else None


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read the layout.

    Raises:
        DataError: a labelmap.txt that cannot be read.
    """
    masks = _mask_folder(path)
    assert masks is not None
    names, colors, notes = _classes(masks.parent)
    splits = _splits(masks.parent / "ImageSets")
    images, faults, used = [], [], set()
    files = [file for file in walk(masks) if file.suffix.lower() in SUFFIXES]
    candidates = [image for image in finder.images if not image.is_relative_to(masks) and not _is_mask(image)]
    by_stem: dict[str, list[Path]] = {}
    for image in candidates:
        by_stem.setdefault(image.stem, []).append(image)
    for mask in files:
        found = by_stem.get(mask.stem, [])
        if len(found) != 1:
            reason = "its image is not there; --image-dir says where images are" if not found else (
                f"its image may be {found[0]} or {found[1]}"
            )  # fmt: skip
            faults.append(Fault(str(mask), "", reason, 0))
            continue
        used.add(mask.stem)
        stem = mask.relative_to(masks).with_suffix("").as_posix()
        name = f"{stem}{found[0].suffix}"
        labels = partial(_labels, mask, names, colors)
        images.append(AnnotatedImage(name, found[0], labels, str(mask), tuple(splits.get(stem, ()))))
    listed = [stem for stem in splits if Path(stem).name not in used]
    dropped = [Fault(str(masks), stem, "is listed in ImageSets, but has no mask", 0) for stem in listed]
    left = sorted(stem for stem in by_stem if stem not in used and stem not in listed)
    dropped += [Fault(str(by_stem[stem][0]), "", "an image without a mask", 0) for stem in left]
    return Annotations("Pascal VOC masks", names, images, colors, faults, dropped, notes, unlabeled="ignore")


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


def _is_mask(image: Path) -> bool:
    return image.parent.name.startswith("Segmentation")


def _classes(root: Path) -> tuple[tuple[str, ...], tuple[Color, ...], list[str]]:
    """The classes, their colors where masks mean colors, and what is to be told."""
    labelmap, listed = root / "labelmap.txt", root / "class_names.txt"
    if labelmap.is_file():
        colors = read_labelmap(labelmap)
        return tuple(colors), tuple(colors.values()), []
    if listed.is_file():
        lines = [line.strip() for line in listed.read_text("utf-8", "replace").splitlines()]
        return tuple(name for name in lines if name and name != IGNORE_NAME), (), []
    told = "No labelmap.txt or class_names.txt names the classes: they are taken for the 21 of PASCAL VOC."
    return CLASSES.names, (), [told]


def _labels(mask: Path, names: tuple[str, ...], colors: tuple[Color, ...]) -> Labels:
    if not colors:
        return value_labels(mask, {**{index: index for index in range(len(names))}, 255: IGNORED})
    meanings = {BORDER: IGNORED} | {color: index for index, color in enumerate(colors)}
    return color_labels(mask, meanings)


def _splits(folder: Path) -> dict[str, list[str]]:
    """The lists that name each stem; train and val are splits already, so trainval is none."""
    lists = folder / "Segmentation" if (folder / "Segmentation").is_dir() else folder
    splits: dict[str, list[str]] = {}
    for file in sorted(lists.glob("*.txt")):
        if file.stem == "trainval":
            continue
        for line in file.read_text("utf-8-sig", "replace").splitlines():
            if line.strip():
                splits.setdefault(line.strip(), []).append(SPLITS.get(file.stem.lower(), file.stem))
    return splits
