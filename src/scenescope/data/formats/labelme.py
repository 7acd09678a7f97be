"""LabelMe JSON: a file for each image, with its shapes and often the image itself.

    {"imagePath": "a.jpg", "imageData": base64 or null, "imageHeight", "imageWidth",
     "shapes": [{"label", "points": [[x, y], ...], "shape_type": "polygon"}]}

Shapes are drawn as labelme's ``shapes_to_label`` does (labelme 6.3.1, ``utils/shape.py``): with Pillow, lines 10 wide,
points as discs of radius 5, later shapes over earlier ones. Points count on the image as displayed.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from scenescope.data.formats.annotations import IGNORED, AnnotatedImage, Annotations, Fault, Labels, Region
from scenescope.data.formats.coco import image_size
from scenescope.data.formats.drawing import Points, pillow_polygon, require_inside
from scenescope.data.formats.image_finder import MAX_GLANCED, ImageFinder, walk
from scenescope.data.formats.json_reader import entries, glimpse, points, read_json
from scenescope.data.formats.name_files import names_listed
from scenescope.data.formats.splits import split_of_path
from scenescope.data.images import MAX_PIXELS, opened
from scenescope.errors import DataError, ScenescopeError

IGNORE_NAME = "__ignore__"
LINE_WIDTH, POINT_RADIUS = 10, 5
_NUM_POINTS = {"circle": 2, "rectangle": 2, "line": 2, "point": 1, "oriented_rectangle": 4, "mask": 2}


def recognize(path: Path) -> str | None:
    """Return "LabelMe JSON" for such a file or a folder with some."""
    return "LabelMe JSON" if next(_files(path, MAX_GLANCED), None) else None


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read one file, or all of a folder; ``labels.txt`` gives the classes and their order, else the alphabet."""
    contents: dict[Path, dict[str, Any]] = {}
    faults: list[Fault] = []
    used: set[str] = set()
    for file in _files(path):
        try:
            content = read_json(file)
            used |= {name for shape in entries(content, "shapes", file) if (name := _name(shape))}
            # Images are read again when it is their turn: all together they may be more than the memory.
            contents[file] = {key: value for key, value in content.items() if key not in ("shapes", "imageData")}
        except DataError as error:
            faults.append(Fault(str(file), "", str(error).rstrip("."), 0))
    names, notes = _class_names(finder.root, used)
    images = []
    annotated = set()
    for file, content in contents.items():
        labels = partial(_labels, file, names)
        split = split_of_path(file.relative_to(finder.root))
        try:
            image = _image(file, content, finder, split)
        except DataError as error:
            lost = len(labels().regions)
            faults.append(Fault(str(file), str(content.get("imagePath", "")), str(error), lost))
            continue
        if isinstance(image, Path):
            annotated.add(image)
            name = finder.below(image)
        else:
            name = (file.relative_to(finder.root).parent / _own_name(content, image)).as_posix()
        size = image_size({"width": content.get("imageWidth"), "height": content.get("imageHeight")})
        images.append(AnnotatedImage(name, image, labels, str(file), (split,) if split else (), size, turned=True))
    alone = [image for image in finder.images if image not in annotated] if path.is_dir() and not faults else []
    dropped = [Fault(str(image), "", "an image that nobody has annotated", 0) for image in alone]
    return Annotations("LabelMe JSON", names, images, faults=faults, dropped=dropped, notes=notes)


def _files(path: Path, glance: int | None = None) -> Any:
    files = [path] if path.is_file() else walk(path, glance)
    return (file for file in files if file.suffix.lower() == ".json" and _is_labelme(file))


def _is_labelme(file: Path) -> bool:
    seen = glimpse(file)
    return b'"shapes"' in seen and any(key in seen for key in (b'"imagePath"', b'"imageData"', b'"imageHeight"'))


def _class_names(root: Path, used: set[str]) -> tuple[tuple[str, ...], list[str]]:
    """The classes in order, and what is to be told of them."""
    listed = root / "labels.txt"
    named = names_listed(listed) if listed.is_file() else []
    names = [name for name in dict.fromkeys(named) if name != IGNORE_NAME]
    rest = sorted(used - {*names, IGNORE_NAME})
    if names and rest:
        return (*names, *rest), [f"labels.txt does not list {', '.join(rest)}: these follow as further classes."]
    return (*names, *rest), []


def _image(file: Path, content: dict[str, Any], finder: ImageFinder, split: str) -> Path | bytes:
    """The image that a file tells of: as a file, or else as it holds it."""
    named = str(content.get("imagePath") or file.stem)
    try:
        return finder.find(named, file.parent, split)
    except DataError:
        held = read_json(file).get("imageData")
        if not isinstance(held, str):
            raise
        return _decoded(held)


def _own_name(content: dict[str, Any], image: bytes) -> str:
    """A name for an image that only the JSON holds, with the ending that its bytes ask for."""
    name = Path(str(content.get("imagePath") or "image").replace("\\", "/")).name
    return Path(name).stem + (".png" if image.startswith(b"\x89PNG") else ".jpg")


def _labels(file: Path, names: tuple[str, ...]) -> Labels:
    regions, faults = [], []
    for number, shape in enumerate(entries(read_json(file), "shapes", file), start=1):
        name = _name(shape)
        place = f"shape {number} {name!r}"
        try:
            if not name:
                raise DataError("it has no label")
            draw = _drawing(shape)
        except DataError as error:
            faults.append(Fault(str(file), place, str(error)))
            continue
        regions.append(Region(IGNORED if name == IGNORE_NAME else names.index(name), place, draw))
    return Labels(regions, faults=faults)


def _name(shape: dict[str, Any]) -> str:
    """The class of a shape; nothing if it has none."""
    label = shape.get("label")
    return str(label) if isinstance(label, (str, int)) else ""


def _drawing(shape: dict[str, Any]) -> Callable[[int, int], np.ndarray]:
    """What draws a shape."""
    kind, given = shape.get("shape_type") or "polygon", points(shape.get("points"))
    if given is None or not given:
        raise DataError("its points are not pairs of numbers")
    if not isinstance(kind, str):
        raise DataError(f"a shape of type {kind!r}, which is not known")
    if kind in _NUM_POINTS and len(given) != _NUM_POINTS[kind]:
        raise DataError(f"a {kind} of {len(given)} points; expected {_NUM_POINTS[kind]}")
    if kind in ("polygon", "oriented_rectangle"):
        return partial(pillow_polygon, given)
    if kind == "mask":
        return partial(_draw_mask, given, _mask(shape.get("mask")))
    if kind in ("circle", "rectangle", "line", "linestrip", "point"):
        return partial(_draw_shape, kind, given)
    raise DataError(f"a shape of type {kind!r}, which is not known")


def _draw_shape(kind: str, given: Points, height: int, width: int) -> np.ndarray:
    require_inside(given, height, width)
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    xy = [tuple(point) for point in given]
    if kind in ("line", "linestrip"):
        draw.line(xy, fill=1, width=LINE_WIDTH)
        return np.array(canvas)
    (left, top), (right, bottom) = xy[0], xy[-1]
    if kind == "rectangle":
        left, right, top, bottom = min(left, right), max(left, right), min(top, bottom), max(top, bottom)
        draw.rectangle((left, top, right, bottom), outline=1, fill=1)
    else:
        radius = POINT_RADIUS if kind == "point" else float(np.hypot(right - left, bottom - top))
        draw.ellipse((left - radius, top - radius, left + radius, top + radius), outline=1, fill=1)
    return np.array(canvas)


def _mask(text: Any) -> np.ndarray:
    """The pixels of a shape of type mask, which is a PNG in base64."""
    if not isinstance(text, str):
        raise DataError("a mask without pixels")
    try:
        with opened(Path("mask.png"), MAX_PIXELS, _decoded(text)) as image:
            return np.array(image.convert("L")) > 0
    except ScenescopeError as error:
        raise DataError("a mask whose pixels cannot be read") from error


def _draw_mask(given: Points, mask: np.ndarray, height: int, width: int) -> np.ndarray:
    (left, top), (right, bottom) = [(int(x), int(y)) for x, y in given]
    if mask.shape != (bottom - top + 1, right - left + 1):
        rows, columns = mask.shape
        raise DataError(f"a mask of {columns} x {rows} pixels in a box of {right - left + 1} x {bottom - top + 1}")
    if left < 0 or top < 0 or right >= width or bottom >= height:
        raise DataError(f"a mask that reaches outside the image of {width} x {height}")
    drawn = np.zeros((height, width), dtype=bool)
    drawn[top : bottom + 1, left : right + 1] = mask
    return drawn


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except ValueError as error:
        raise DataError("its imageData is no base64, or cut short") from error
