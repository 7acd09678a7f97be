"""Roboflow's "Semantic Segmentation Masks": the mask beside its image.

    train/_classes.csv    Pixel Value, Class
    train/x_jpg.rf.HASH.jpg, train/x_jpg.rf.HASH_mask.png    and the same in valid and test

Images keep their names, so that the copies of a frame that Roboflow has made are known as such and stay together where
train and val are drawn. ``valid`` becomes ``val``.
"""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

from scenescope.data.copies import frame_of
from scenescope.data.formats.annotations import UNLABELED, AnnotatedImage, Annotations, Fault, is_background
from scenescope.data.formats.image_finder import ImageFinder
from scenescope.data.formats.mask_labels import value_labels
from scenescope.data.formats.splits import split_of
from scenescope.data.images import SUFFIXES
from scenescope.errors import DataError

FORMAT = "Roboflow semantic segmentation masks"

_CLASSES, _MASK = "_classes.csv", "_mask.png"
_MAX_BYTES = 2**20


def recognize(path: Path) -> str | None:
    """Return the format's name for a folder with ``_classes.csv``, or with splits that have one."""
    return FORMAT if _folders(path) else None


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read an export.

    Raises:
        DataError: ``_classes.csv`` cannot be read, or the splits give a value two meanings.
    """
    folders = _folders(path)
    meanings: dict[int, str] = {}
    for folder in folders:
        for value, name in _read_classes(folder / _CLASSES).items():
            if meanings.setdefault(value, name) != name:
                raise DataError(f"{folder / _CLASSES}: {value} is {name!r}, but {meanings[value]!r} in another split.")
    names = tuple(dict.fromkeys(meanings.values()))
    labels_of = {value: UNLABELED if is_background(name) else names.index(name) for value, name in meanings.items()}
    images: list[AnnotatedImage] = []
    faults: list[Fault] = []
    splits = len(folders) > 1
    for folder in folders:
        split = split_of(folder.name) or folder.name if splits else ""
        for image, mask in _pairs(folder, faults):
            name = f"{split}/{image.name}" if split else image.name
            labels = partial(value_labels, mask, labels_of)
            images.append(AnnotatedImage(name, image, labels, str(mask), (split,) if split else ()))
    return Annotations(FORMAT, names, images, faults=faults, notes=_notes(images, splits))


def _folders(path: Path) -> list[Path]:
    """The folders with images: train, valid and test, in this order, or the source itself."""
    try:
        found = [file.parent for file in (path / _CLASSES, *sorted(path.glob(f"*/{_CLASSES}"))) if _is_list(file)]
    except OSError:
        return []
    order = ("train", "valid", "test")
    return sorted(
        found, key=lambda folder: (folder.name not in order, order.index(folder.name) if folder.name in order else 0)
    )


def _is_list(file: Path) -> bool:
    """Whether a file says what values mean; Roboflow's classification has a ``_classes.csv`` of another kind."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(64).lower().lstrip(b"\xef\xbb\xbf").startswith(b"pixel value")


def _read_classes(file: Path) -> dict[int, str]:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise DataError(f"{file} has more than {_MAX_BYTES:,} bytes; export it again.")
        rows = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines(), skipinitialspace=True))[1:]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Cannot read {file}: {error}; it must be a CSV in UTF-8.") from error
    found: dict[int, str] = {}
    for number, row in enumerate(rows, start=2):
        if not any(row):
            continue
        if len(row) != 2 or not row[0].strip().isdecimal() or not row[1].strip():
            raise DataError(f"{file}, line {number}: {','.join(row)!r} is not a pixel value and a class.")
        if found.setdefault(int(row[0]), row[1].strip()) != row[1].strip():
            raise DataError(f"{file}, line {number}: the value {row[0]} is given twice.")
    if not found:
        raise DataError(f"{file} names no class; export it again.")
    return found


def _pairs(folder: Path, faults: list[Fault]) -> list[tuple[Path, Path]]:
    """Each image with its mask; one without the other is at fault."""
    files = sorted(
        file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )
    masks = {file.name.removesuffix(_MASK): file for file in files if file.name.endswith(_MASK)}
    pairs = []
    for image in (file for file in files if not file.name.endswith(_MASK)):
        mask = masks.pop(image.stem, None)
        if mask is None:
            faults.append(Fault(str(image), "", f"has no mask {image.stem}{_MASK}", regions=0))
        else:
            pairs.append((image, mask))
    faults += [Fault(str(mask), "", f"there is no image {stem}", regions=0) for stem, mask in masks.items()]
    return pairs


def _notes(images: list[AnnotatedImage], splits: bool) -> list[str]:
    frames: dict[str, set[str]] = {}
    for image in images:
        frames.setdefault(frame_of(Path(image.name).stem), set()).update(image.splits)
    notes = []
    if len(frames) < len(images):
        notes.append(f"{len(images)} images are copies of {len(frames)} frames, as Roboflow makes them.")
    if not splits:
        notes.append(
            "There is one split only; draw train and val with data.val_fraction=0.2, which keeps copies together."
        )
    if torn := sum(len(where) > 1 for where in frames.values()):
        notes.append(f"{torn} frames have copies in several splits: scores on them are too good.")
    return notes
