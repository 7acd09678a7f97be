"""YOLO segmentation: a text for each image, with a class and an outline a line, and ``data.yaml`` with the names.

    0 0.10 0.20 0.35 0.20 0.30 0.45        class, then x y of each point as a share of width and height

A text has the name of its image and lies in ``labels`` where the image lies in ``images``, or beside it; of an image
below ``--image-dir`` it lies below ``labels`` as the image lies there. Points are cut
down to whole pixels and filled with their outline, as ultralytics' ``polygon2mask`` does (``opencv_polygon.py``); the
smaller region is on top, as there. Outlines count on the image as displayed. An image without a text shows no object.
"""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scenescope.data.formats.annotations import AnnotatedImage, Annotations, Fault, Labels, Region
from scenescope.data.formats.image_finder import MAX_GLANCED, ImageFinder, walk
from scenescope.data.formats.name_files import names_in, names_listed
from scenescope.data.formats.opencv_polygon import opencv_polygon
from scenescope.data.formats.splits import SPLITS, split_of_path
from scenescope.errors import DataError
from scenescope.yaml_reader import read_yaml

_NAME_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
MAX_TRIED = 20
"""Texts that are looked at to tell whether they hold outlines."""


def recognize(path: Path) -> str | None:
    """Return "YOLO segmentation" for a folder with such texts, or its data.yaml."""
    if path.is_file():
        yaml = path.suffix.lower() in (".yaml", ".yml")
        return recognize(path.parent) if yaml else None
    texts = (file for file in walk(path, MAX_GLANCED) if file.suffix.lower() == ".txt" and _may_hold_labels(file))
    return "YOLO segmentation" if any(map(_has_outlines, itertools.islice(texts, MAX_TRIED))) else None


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read all texts of a folder.

    Raises:
        DataError: a data.yaml that cannot be read, or whose names are none.
    """
    yaml = path if path.is_file() else next((finder.root / n for n in _NAME_FILES if (finder.root / n).is_file()), None)
    content = read_yaml(yaml, DataError) if yaml is not None else {}
    names, notes = _names(finder, content, yaml)
    texts = {file for file in finder.files(".txt") if _may_hold_labels(file)}
    split_of = _listed_splits(content, finder)
    images, used = [], set()
    for image in finder.images:
        text = next((place for place in _places(image, finder) if place in texts), None)
        used |= {text} if text else set()
        name = finder.below(image)
        split = split_of(image) or split_of_path(Path(name))
        labels = partial(_labels, text, names) if text else Labels
        images.append(AnnotatedImage(name, image, labels, str(text or image), (split,) if split else (), turned=True))
    lost = [text for text in sorted(texts - used) if _has_outlines(text)]
    faults = [
        Fault(
            str(text),
            "",
            "its image is not there; --image-dir says where images are",
            len(_labels(text, names).regions),
        )
        for text in lost
    ]
    return Annotations("YOLO segmentation", names, images, faults=faults, notes=notes, overlap="area")


def _names(finder: ImageFinder, content: dict[str, object], yaml: Path | None) -> tuple[tuple[str, ...], list[str]]:
    names = names_in(content, yaml) if yaml is not None else None
    if names is not None:
        return names, []
    listed = finder.root / "classes.txt"
    if listed.is_file():
        return tuple(names_listed(listed)), []
    largest = max((number for file in finder.files(".txt") for number in _numbers_of_classes(file)), default=0)
    told = f"No data.yaml names the classes: they are called by their numbers, 0 to {largest}."
    return tuple(str(number) for number in range(largest + 1)), [told]


def _numbers_of_classes(file: Path) -> list[int]:
    if not _may_hold_labels(file):
        return []
    words = [line.split()[0] for line in _lines(file) if line.split()]
    return [int(word) for word in words if word.isdecimal() and len(word) < 6]


def _places(image: Path, finder: ImageFinder) -> list[Path]:
    """Where the text of an image may be."""
    places = [image.with_suffix(".txt")]
    parts = list(image.parts)
    for index in (i for i, part in enumerate(parts) if part == "images"):
        # Of several folders called images, the last counts, as for ultralytics.
        places.insert(0, Path(*parts[:index], "labels", *parts[index + 1 :]).with_suffix(".txt"))
    if "images" not in parts:
        places.append(image.parent / "labels" / f"{image.stem}.txt")
        places.append(image.parent.parent / "labels" / f"{image.stem}.txt")
    text = Path(finder.below(image)).with_suffix(".txt")
    return [*places, finder.root / "labels" / text, finder.root / text]


def _listed_splits(content: dict[str, object], finder: ImageFinder) -> Any:
    """What tells the split of an image by data.yaml, whose folders and lists often are those of another machine."""
    folders: dict[tuple[str, ...], str] = {}
    listed: dict[Path, str] = {}
    for key in ("train", "val", "test"):
        given = content.get(key)
        for entry in given if isinstance(given, list) else [given]:
            if not isinstance(entry, str):
                continue
            parts = tuple(part for part in Path(entry.replace("\\", "/")).parts if part not in ("..", ".", "/"))
            if entry.endswith(".txt"):
                for line in _lines(finder.root.joinpath(*parts)):
                    try:
                        listed[finder.find(line.strip())] = SPLITS[key]
                    except DataError:
                        continue  # an image that is not there cannot be imported, and has no text either
            elif parts:
                folders[parts] = SPLITS[key]

    def split_of(image: Path) -> str:
        if image in listed:
            return listed[image]
        parent = image.parent.parts
        found = [split for parts, split in folders.items() if _holds(parent, parts)]
        return found[0] if len(set(found)) == 1 else ""

    return split_of


def _holds(path: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    return any(path[start : start + len(parts)] == parts for start in range(len(path)))


def _may_hold_labels(file: Path) -> bool:
    """Whether a text is none of those that lie beside: lists of classes or images, and what is there to be read."""
    stem = file.stem.lower()
    return stem not in {"classes", "labels", *SPLITS} and not stem.startswith(("readme", "requirements"))


def _has_outlines(file: Path) -> bool:
    """Whether the first line of a text is a class and an outline."""
    words = (_lines(file, 10_000) or [""])[0].split()
    return len(words) > 6 and words[0].isdecimal() and all(_share(word) is not None for word in words[1:])


def _labels(file: Path, names: tuple[str, ...]) -> Labels:
    regions: list[Region] = []
    faults: list[Fault] = []
    dropped: list[Fault] = []
    for number, line in enumerate(_lines(file), start=1):
        words = line.split()
        if not words:
            continue
        place, shares = f"line {number}", [_share(word) for word in words[1:]]
        label = int(words[0]) if words[0].isdecimal() and len(words[0]) < 6 else -1
        given = [share for share in shares if share is not None]
        if len(given) < len(shares) or not -0.01 <= min(given, default=0) <= max(given, default=0) <= 1.01:
            faults.append(Fault(str(file), place, "points that are not shares from 0 to 1"))
        elif not 0 <= label < len(names):
            faults.append(Fault(str(file), place, f"unknown class {words[0]}; there are {len(names)}"))
        elif len(given) == 4:
            dropped.append(Fault(str(file), place, "a box without an outline"))
        elif len(given) % 2 or len(given) < 6:
            faults.append(
                Fault(str(file), place, f"{len(given)} coordinates; expected x and y of three or more points")
            )
        else:
            regions.append(Region(label, place, partial(_draw, given)))
    return Labels(regions, faults=faults, dropped=dropped)


def _draw(shares: list[float], height: int, width: int) -> np.ndarray:
    xs, ys = [int(share * width) for share in shares[::2]], [int(share * height) for share in shares[1::2]]
    return opencv_polygon(list(zip(xs, ys, strict=True)), height, width)


def _share(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if abs(number) < 1e9 else None


def _lines(file: Path, num_bytes: int = 2**28) -> list[str]:
    try:
        with file.open("rb") as opened:
            return opened.read(num_bytes).decode("utf-8-sig", "replace").splitlines()
    except (OSError, ValueError):  # a name with a zero
        return []
