"""CVAT's "Segmentation mask 1.1": masks in colors, and a list of what the colors mean.

labelmap.txt    name:red,green,blue:parts:actions
SegmentationClass/x.png    one mask for each image with shapes
ImageSets/Segmentation/train.txt, ...    the splits; default.txt is none
JPEGImages/x.jpg    only if exported with images; else --image-dir
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from scenescope.data.formats.annotations import UNLABELED, AnnotatedImage, Annotations, Fault, is_background
from scenescope.data.formats.image_finder import ImageFinder
from scenescope.data.formats.mask_labels import color_labels
from scenescope.data.formats.splits import split_of
from scenescope.data.formats.voc import read_labelmap
from scenescope.errors import DataError

FORMAT = "CVAT segmentation mask 1.1"

_MAX_BYTES = 2**26
"""Of a list of names."""

_MASKS = ("SegmentationClass", "SegmentationObject")


def recognize(path: Path) -> str | None:
    """Return the format's name for a folder with ``labelmap.txt`` and ``SegmentationClass``."""
    return FORMAT if (path / "labelmap.txt").is_file() and (path / _MASKS[0]).is_dir() else None


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read an export.

    Raises:
        DataError: ``labelmap.txt`` cannot be read, or a color in it has two meanings.
    """
    colors = read_labelmap(path / "labelmap.txt")
    names = tuple(colors)
    if len(set(colors.values())) < len(names) or not names:
        raise DataError(f"{path / 'labelmap.txt'} gives {len(names)} classes {len(set(colors.values()))} colors.")
    meanings = {color: UNLABELED if is_background(name) else names.index(name) for name, color in colors.items()}
    finder = finder.without(lambda image: any(folder in _MASKS for folder in image.parts))
    images, faults, dropped = [], [], []
    for entry, splits in _entries(path).items():
        mask = path / _MASKS[0] / f"{entry}.png"
        if not mask.is_file():
            reason = "has no mask: CVAT writes none for images without shapes"
            dropped.append(Fault(str(path), entry, reason, regions=0))
            continue
        try:
            image = finder.find(entry)
        except DataError as error:
            faults.append(Fault(str(mask), "", str(error), regions=0))
            continue
        name = Path(entry).parent / image.name
        labels = partial(color_labels, mask, meanings)
        images.append(AnnotatedImage(name.as_posix(), image, labels, str(mask), splits))
    return Annotations(FORMAT, names, images, tuple(colors.values()), faults, dropped)


def _entries(path: Path) -> dict[str, tuple[str, ...]]:
    """The names of images without their endings, with their splits: those of the lists, then those in none."""
    found: dict[str, tuple[str, ...]] = {}
    for file in sorted((path / "ImageSets" / "Segmentation").glob("*.txt")):
        split = split_of(file.stem)
        for line in _lines(file):
            # Names with spaces are in quotes.
            if entry := line.strip('"').replace("\\", "/"):
                known = found.get(entry, ())
                found[entry] = known if split in known or not split else (*known, split)
    masks = path / _MASKS[0]
    for mask in sorted(masks.rglob("*.png")):
        found.setdefault(mask.relative_to(masks).with_suffix("").as_posix(), ())
    return found


def _lines(file: Path) -> list[str]:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise DataError(f"{file} has more than {_MAX_BYTES:,} bytes; export it again.")
        return [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read {file}: {error}; it must be a UTF-8 text file.") from error
