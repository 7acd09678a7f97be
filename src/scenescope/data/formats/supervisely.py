"""Supervisely's projects: bitmaps, polygons with holes and rectangles, one JSON for each image.

    meta.json    the classes
    DATASET/img/x.jpg, DATASET/ann/x.jpg.json    for each data set; a name such as "train" is a split

Pixels equal those of its SDK (``Label.draw``): bitmaps are PNGs, polygons are drawn as by OpenCV, and holes lose their
outline as well. Later objects are on top. Points, lines and what else has no area are left out and listed.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scenescope.data.formats.annotations import AnnotatedImage, Annotations, Fault, Labels, Region
from scenescope.data.formats.coco import image_size
from scenescope.data.formats.image_finder import ImageFinder
from scenescope.data.formats.json_reader import entries, numbers, points, read_json
from scenescope.data.formats.labeled_image import color_of
from scenescope.data.formats.opencv_polygon import Point, opencv_polygon
from scenescope.data.formats.splits import split_of
from scenescope.data.images import MAX_PIXELS, opened
from scenescope.errors import DataError, ImageError
from scenescope.labels import Color, voc_color

FORMAT = "Supervisely"

_MAX_BITMAP = 2**28
"""The bytes of a bitmap's PNG; one of 10,000 x 10,000 pixels has less, even as noise of 1 bit."""


def recognize(path: Path) -> str | None:
    """Return the format's name for a project: ``meta.json`` with folders ``ann`` below."""
    return FORMAT if path.is_dir() and (path / "meta.json").is_file() and _data_sets(path) else None


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read a project.

    Raises:
        DataError: ``meta.json`` cannot be read or names no class.
    """
    meta = path / "meta.json"
    project = _Project(path, finder)
    for entry in entries(read_json(meta), "classes", meta):
        name = entry.get("title")
        if isinstance(name, str) and name and name not in project.names:
            project.names.append(name)
            project.colors.append(color_of(entry.get("color")) or voc_color(len(project.names)))
    if not project.names:
        raise DataError(f"{meta} names no class; export the project again.")
    for folder in _data_sets(path):
        for file in sorted(folder.glob("*.json")):
            project.add(file)
    return Annotations(FORMAT, tuple(project.names), project.images, tuple(project.colors), project.faults)


def _data_sets(path: Path) -> list[Path]:
    """The folders of annotations; data sets may lie in one another."""
    found = path.glob("*/ann"), path.glob("*/datasets/*/ann"), path.glob("*/datasets/*/datasets/*/ann")
    return sorted(folder for each in found for folder in each if folder.is_dir())


@dataclass
class _Project:
    """Collects the images of a project."""

    path: Path
    finder: ImageFinder
    names: list[str] = field(default_factory=list)
    colors: list[Color] = field(default_factory=list)
    images: list[AnnotatedImage] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def add(self, file: Path) -> None:
        """Add the image of an annotation file."""
        num_objects = 0
        folder = file.parent.parent
        try:
            content = read_json(file)
            num_objects = len(entries(content, "objects", file))
            image = self.finder.find(f"{folder.name}/img/{file.name.removesuffix('.json')}", folder / "img")
        except DataError as error:
            self.faults.append(Fault(str(file), "", str(error).rstrip("."), num_objects))
            return
        split = split_of(*(part for part in folder.relative_to(self.path).parts[::-1] if part != "datasets"))
        name = (folder.relative_to(self.path) / image.name).as_posix().replace("/datasets/", "/")
        size = image_size(content["size"]) if isinstance(content.get("size"), dict) else None
        # All bitmaps together may be more than the memory: they are read again when it is their turn.
        labels = partial(_labels, file, self.names)
        self.images.append(AnnotatedImage(name, image, labels, str(file), (split,) if split else (), size))


def _labels(file: Path, names: list[str]) -> Labels:
    regions, faults, dropped = [], [], []
    for place, entry in enumerate(entries(read_json(file), "objects", file), start=1):
        kind, title = str(entry.get("geometryType", entry.get("shape"))), entry.get("classTitle")
        id_ = f"object {entry.get('id', place)} {title!r}"
        if kind not in _DRAWINGS:
            dropped.append(Fault(str(file), id_, f"a {kind} is no area that is read"))
        elif title not in names:
            faults.append(Fault(str(file), id_, "meta.json has no such class"))
        else:
            regions.append(Region(names.index(title), id_, partial(_DRAWINGS[kind], entry)))
    return Labels(regions, faults=faults, dropped=dropped)


def _bitmap(entry: dict[str, Any], height: int, width: int) -> np.ndarray:
    bitmap = entry.get("bitmap")
    origin = numbers(bitmap.get("origin")) if isinstance(bitmap, dict) else None
    if not isinstance(bitmap, dict) or origin is None or len(origin) != 2 or not isinstance(bitmap.get("data"), str):
        raise DataError("a bitmap without origin or data")
    inside = decode_bitmap(bitmap["data"])
    left, top = int(origin[0]), int(origin[1])
    inside = inside[max(-top, 0) :, max(-left, 0) :][: max(height - max(top, 0), 0), : max(width - max(left, 0), 0)]
    whole = np.zeros((height, width), dtype=bool)
    top, left = max(top, 0), max(left, 0)
    whole[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return whole


def decode_bitmap(data: str) -> np.ndarray:
    """Decode a PNG in zlib and base64 into bool: where alpha is not 0, or gray if it has no alpha.

    Raises:
        DataError: damaged, too large, or a PNG of colors without alpha.
    """
    try:
        packed = base64.b64decode(data, validate=True)
        unpacking = zlib.decompressobj()
        content = packed if packed.startswith(b"\x89PNG") else unpacking.decompress(packed, _MAX_BITMAP)
        if unpacking.unconsumed_tail:
            raise DataError(f"a bitmap of more than {_MAX_BITMAP:,} bytes")
        with opened(Path("bitmap"), MAX_PIXELS, content) as image:
            return _opaque(image)
    except (ValueError, zlib.error) as error:  # of base64, letters beyond ASCII among them
        raise DataError(f"a bitmap that is damaged ({error})") from error
    except ImageError as error:
        raise DataError(str(error).replace("Cannot read bitmap", "a bitmap that cannot be read").rstrip(".")) from error


def _opaque(image: Image.Image) -> np.ndarray:
    if "A" in image.getbands() or "transparency" in image.info:
        return np.array(image.convert("RGBA").getchannel("A"), dtype=bool)
    if image.mode not in ("1", "L") and not image.mode.startswith("I"):
        raise DataError(f"a bitmap of pixel type {image.mode}; expected gray, or colors with alpha")
    return np.array(image, dtype=bool)


def _polygon(entry: dict[str, Any], height: int, width: int) -> np.ndarray:
    exterior, *interiors = _outlines(entry)
    inside = opencv_polygon(exterior, height, width)
    for interior in interiors:
        inside &= ~opencv_polygon(interior, height, width)
    return inside


def _rectangle(entry: dict[str, Any], height: int, width: int) -> np.ndarray:
    corners = np.array(_outlines(entry)[0])
    if len(corners) != 2:
        raise DataError(f"a rectangle of {len(corners)} corners; expected two")
    (left, top), (right, bottom) = corners.min(axis=0).clip(0), corners.max(axis=0).clip(-1)
    inside = np.zeros((height, width), dtype=bool)
    inside[top : bottom + 1, left : right + 1] = True
    return inside


def _outlines(entry: dict[str, Any]) -> list[list[Point]]:
    """The outline and those of the holes; the SDK cuts coordinates off to whole ones."""
    given = entry.get("points")
    holes = given.get("interior") or [] if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(holes, list):
        raise DataError("no points")
    found = [points(outline) for outline in (given.get("exterior"), *holes)]
    if any(outline is None for outline in found):
        raise DataError("points that are no pairs of numbers")
    return [[(math.floor(x), math.floor(y)) for x, y in outline] for outline in found if outline is not None]


_DRAWINGS: dict[str, Callable[[dict[str, Any], int, int], np.ndarray]] = {
    "bitmap": _bitmap,
    "polygon": _polygon,
    "rectangle": _rectangle,
}
