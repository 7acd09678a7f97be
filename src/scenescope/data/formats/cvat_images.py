"""CVAT's "CVAT for images 1.1": one XML with the shapes of every image.

    annotations.xml    <image id name width height> with <polygon>, <box>, <mask>, <ellipse>
    images/NAME, or images/SUBSET/NAME for a project, or by --image-dir

Drawn as CVAT's own export of segmentation masks does: polygons and boxes by pycocotools, masks from their runs (row by
row, within their box), shapes of a higher z_order on top. Only ellipses, for which it takes OpenCV, are drawn as
polygons of 360 corners and may differ at the rim. Lines, points, cuboids and skeletons have no area there either: they
are left out and listed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scenescope.data.formats.annotations import AnnotatedImage, Annotations, Fault, Labels, Region
from scenescope.data.formats.drawing import coco_polygons
from scenescope.data.formats.image_finder import ImageFinder
from scenescope.data.formats.labeled_image import color_of
from scenescope.data.formats.splits import split_of
from scenescope.data.formats.xml_reader import read_elements
from scenescope.errors import DataError
from scenescope.labels import Color, voc_color

FORMAT = "CVAT for images 1.1"


def recognize(path: Path) -> str | None:
    """Return the format's name for such an XML file, or a folder that holds one."""
    return FORMAT if _files(path) else None


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read the XML of a task or a project.

    Raises:
        DataError: several such files, one that cannot be read, or one of a video.
    """
    file, *others = _files(path)
    if others:
        raise DataError(f"{path} holds {len(others) + 1} XML files of CVAT; give the file that is meant.")
    found = _Images(file, finder)
    for element in read_elements(file, "annotations"):
        if element.tag == "meta":
            found.read_labels(element)
        elif element.tag == "image":
            found.add(element)
        elif element.tag == "track":
            raise DataError(f"{file} holds tracks of a video; export the task again as 'CVAT for images 1.1'.")
    return found.annotations()


def _files(path: Path) -> list[Path]:
    try:
        files = sorted(path.glob("*.xml")) if path.is_dir() else [path]
        return [file for file in files if file.suffix.lower() == ".xml" and _is_cvat(file)]
    except OSError:
        return []


def _is_cvat(file: Path) -> bool:
    with file.open("rb") as opened:
        start = opened.read(4096)
    return b"<annotations>" in start and b"<version>1.1" in start


@dataclass
class _Images:
    """Collects the images of a file."""

    file: Path
    finder: ImageFinder
    names: list[str] = field(default_factory=list)
    colors: list[Color] = field(default_factory=list)
    images: list[AnnotatedImage] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    dropped: list[Fault] = field(default_factory=list)
    tags: int = 0

    def read_labels(self, meta: Any) -> None:
        """Take the labels of the task or project, but for the parts of skeletons."""
        for label in meta.iter("label"):
            name = (label.findtext("name") or "").strip()
            if name and name not in self.names and not label.findtext("parent"):
                self.names.append(name)
                self.colors.append(color_of(label.findtext("color")) or voc_color(len(self.names)))

    def add(self, element: Any) -> None:
        """Add an image with its shapes."""
        name = element.get("name", "")
        id_ = f"image {element.get('id', '?')}"
        regions: list[tuple[int, Region]] = []
        faults: list[Fault] = []
        for place, shape in enumerate(element):
            here = f"{id_}, {shape.tag} {place + 1} {shape.get('label', '')!r}"
            if shape.tag == "tag":
                self.tags += 1
            elif shape.tag not in _DRAWINGS:
                self.dropped.append(Fault(str(self.file), here, f"a {shape.tag} has no area"))
            elif shape.get("label") not in self.names:
                faults.append(Fault(str(self.file), here, "the label is none of those of the task"))
            else:
                draw = partial(_DRAWINGS[shape.tag], dict(shape.attrib))
                regions.append((_whole(shape.get("z_order")), Region(self.names.index(shape.get("label")), here, draw)))
        regions.sort(key=lambda each: each[0])
        subset = element.get("subset", "")
        split = split_of(subset)
        try:
            image = self.finder.find(f"{subset}/{name}" if subset else name, split=split)
        except DataError as error:
            self.faults.append(Fault(str(self.file), id_, str(error), len(regions) + len(faults)))
            return
        labels = partial(Labels, [region for _, region in regions], faults=faults)
        sides = _whole(element.get("width")), _whole(element.get("height"))
        splits, size = (split,) if split else (), sides if min(sides) > 0 else None
        # CVAT shows images as their EXIF says, and so are they annotated.
        self.images.append(AnnotatedImage(self.finder.below(image), image, labels, str(self.file), splits, size, True))

    def annotations(self) -> Annotations:
        if not self.names:
            raise DataError(f"{self.file} lists no labels in <meta>; export it again.")
        notes = []
        if self.tags:
            notes.append(f"{self.tags} tags of whole images say nothing of areas and are left out.")
        return Annotations(FORMAT, tuple(self.names), self.images, tuple(self.colors), self.faults, self.dropped, notes)


def _polygon(shape: dict[str, str], height: int, width: int) -> np.ndarray:
    pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
    return coco_polygons([[_number(part) for pair in pairs for part in pair]], height, width)


def _box(shape: dict[str, str], height: int, width: int) -> np.ndarray:
    left, top, right, bottom = (_number(shape.get(side)) for side in ("xtl", "ytl", "xbr", "ybr"))
    angle = math.radians(_number(shape.get("rotation", "0")))
    x, y = left + (right - left) / 2, top + (bottom - top) / 2
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return coco_polygons([[part for corner in corners for part in _turned(corner, angle, x, y)]], height, width)


def _ellipse(shape: dict[str, str], height: int, width: int) -> np.ndarray:
    x, y, across, down = (_number(shape.get(key)) for key in ("cx", "cy", "rx", "ry"))
    turn = math.radians(_number(shape.get("rotation", "0")))
    angles = [math.radians(degree) for degree in range(360)]
    rim = [(x + across * math.cos(angle), y + down * math.sin(angle)) for angle in angles]
    return coco_polygons([[part for point in rim for part in _turned(point, turn, x, y)]], height, width)


def _mask(shape: dict[str, str], height: int, width: int) -> np.ndarray:
    left, top, across, down = (_whole(shape.get(key), -1) for key in ("left", "top", "width", "height"))
    if left < 0 or top < 0 or across < 1 or down < 1 or left + across > width or top + down > height:
        raise DataError(f"a mask of {across} x {down} at ({left}, {top}) in an image of {width} x {height}")
    counts = [_whole(count, -1) for count in shape.get("rle", "").split(",")]
    if min(counts) < 0 or sum(counts) != across * down:
        raise DataError(f"runs of {sum(counts):,} pixels for a mask of {across} x {down} = {across * down:,}")
    whole = np.zeros((height, width), dtype=bool)
    values = np.arange(len(counts)) % 2 == 1
    whole[top : top + down, left : left + across] = np.repeat(values, counts).reshape(down, across)
    return whole


_DRAWINGS: dict[str, Callable[[dict[str, str], int, int], np.ndarray]] = {
    "polygon": _polygon,
    "box": _box,
    "ellipse": _ellipse,
    "mask": _mask,
}


def _turned(point: tuple[float, float], angle: float, x: float, y: float) -> tuple[float, float]:
    """A point turned about another, clockwise as one sees it."""
    across, down = point[0] - x, point[1] - y
    sine, cosine = math.sin(angle), math.cos(angle)
    return x + cosine * across - sine * down, y + sine * across + cosine * down


def _number(text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError as error:
        raise DataError(f"the coordinate {text!r} is no number") from error
    if not abs(value) < 1e9:
        raise DataError(f"the coordinate {text!r} is none of an image")
    return value


def _whole(text: str | None, default: int = 0) -> int:
    found = re.fullmatch(r"\s*(-?[0-9]{1,11})\s*", text or "")
    return int(found[1]) if found else default
