"""COCO JSON: outlines as polygons or run lengths, as COCO, Roboflow, CVAT, Label Studio, FiftyOne ... write them.

    {"images": [{"id", "file_name", "width", "height"}],
     "categories": [{"id", "name"}],
     "annotations": [{"id", "image_id", "category_id", "segmentation", "iscrowd"}]}

A segmentation is a list of polygons [x, y, x, y, ...] or {"counts", "size"}, whose counts are a list or COCO's
compressed text. Crowds are drawn as their class. Pixels equal those of pycocotools (``annToMask``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scenescope.data.formats.annotations import AnnotatedImage, Annotations, Fault, Labels, Region
from scenescope.data.formats.coco_categories import Categories, id_key
from scenescope.data.formats.drawing import coco_polygons, coco_runs
from scenescope.data.formats.image_finder import MAX_GLANCED, ImageFinder, walk
from scenescope.data.formats.json_reader import entries, glimpse, numbers, read_json
from scenescope.data.formats.splits import split_of_path
from scenescope.errors import DataError

_OTHERS = ("captions", "person_keypoints", "image_info", "stuff")
"""What COCO itself puts beside ``instances_*.json``, about the same images."""


def recognize(path: Path) -> str | None:
    """Return "COCO JSON" for such a file or a folder with some."""
    return "COCO JSON" if _files(path, MAX_GLANCED) else None


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read one file, or all of a folder.

    Raises:
        DataError: a file that is no COCO JSON, or two that number their categories differently.
    """
    files = _files(path)
    known = [file for file in files if file.name.startswith("instances")]
    passed = [file for file in files if known and file.name.startswith(_OTHERS)]
    contents = [(file, read_json(file)) for file in files if file not in passed]
    categories = Categories()
    for file, content in contents:
        categories.add(entries(content, "categories", file), file)
    found = _Found(finder, categories)
    for file, content in contents:
        found.add(file, content)
    return Annotations(
        format="COCO JSON",
        classes=tuple(categories.names),
        colors=categories.colors(),
        images=found.images,
        faults=found.faults,
        dropped=found.dropped,
        notes=(*categories.notes, *(f"{file.name} is not read, {known[0].name} is." for file in passed)),
    )


def is_coco(path: Path) -> bool:
    """Tell whether a JSON file looks like COCO's with outlines, by its beginning and end."""
    seen = glimpse(path)
    keys = [b'"images"' in seen, b'"annotations"' in seen or b'"image_id"' in seen, b'"categories"' in seen]
    return sum(keys) >= 2 and b'"segments_info"' not in seen


def _files(path: Path, glance: int | None = None) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" and is_coco(path) else []
    return [file for file in walk(path, glance) if file.suffix.lower() == ".json" and is_coco(file)]


@dataclass
class _Found:
    """What the files say, joined by the numbers of images."""

    finder: ImageFinder
    categories: Categories
    images: list[AnnotatedImage] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    dropped: list[Fault] = field(default_factory=list)

    def add(self, file: Path, content: Any) -> None:
        """Add the images of a file with what lies on them."""
        regions: dict[Hashable, list[Region]] = {}
        seen: set[Hashable] = set()
        for entry in entries(content, "annotations", file):
            number, name = entry.get("id"), f"annotation {entry.get('id')}"
            segmentation = entry.get("segmentation")
            draw = _drawing(segmentation)
            label = self.categories.label(entry.get("category_id"))
            if number is not None and id_key(number) in seen:
                self.faults.append(Fault(str(file), name, "this id is given twice; the second is left out"))
            elif not segmentation:
                self.dropped.append(Fault(str(file), name, "a box without an outline"))
            elif label is None:
                self.faults.append(Fault(str(file), name, f"unknown category {entry.get('category_id')!r}"))
            elif draw is None:
                self.faults.append(Fault(str(file), name, "its segmentation is neither polygons nor run lengths"))
            else:
                regions.setdefault(id_key(entry.get("image_id")), []).append(Region(label, name, draw))
            seen.add(id_key(number))
        split = split_of_path(file.relative_to(self.finder.root))
        images: set[Hashable] = set()
        for entry in entries(content, "images", file):
            key = id_key(entry.get("id"))
            if key in images:
                self.faults.append(
                    Fault(str(file), f"image {key}", "this id is given twice; the second is left out", 0)
                )
                continue
            images.add(key)
            own = regions.pop(key, [])
            try:
                image = self.finder.find(str(entry.get("file_name", "")), file.parent, split)
            except DataError as error:
                self.faults.append(Fault(str(file), f"image {entry.get('id')}", str(error), len(own)))
                continue
            name = self.finder.below(image)
            splits, size = (split,) if split else (), image_size(entry)
            self.images.append(AnnotatedImage(name, image, partial(Labels, own), str(file), splits, size))
        for key, left in regions.items():
            self.faults += [Fault(str(file), region.id, f"there is no image of id {key!r}") for region in left]


def image_size(entry: dict[str, Any]) -> tuple[int, int] | None:
    """Return (width, height) of an image, if the file says it."""
    width, height = entry.get("width"), entry.get("height")
    if not isinstance(width, int) or not isinstance(height, int) or width < 1 or height < 1:
        return None
    return width, height


def _drawing(segmentation: Any) -> Callable[[int, int], np.ndarray] | None:
    """What draws a segmentation; None if it is of no kind that COCO has."""
    if isinstance(segmentation, dict):
        counts, size = segmentation.get("counts"), numbers(segmentation.get("size"))
        if isinstance(counts, (str, list)) and size is not None:
            return partial(coco_runs, counts, [int(side) for side in size])
        return None
    if not isinstance(segmentation, list):
        return None
    polygons = [polygon for given in segmentation if (polygon := numbers(given)) is not None]
    return partial(coco_polygons, polygons) if len(polygons) == len(segmentation) else None
