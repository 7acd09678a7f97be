"""Label Studio's export as JSON or JSON_MIN: brush strokes as packed runs, polygons in percent of the image.

    project-1-at-2024-05-01-10-00-ab12cd34.json    one file, a list of tasks
    images anywhere below, or by --image-dir

Brush regions are decoded as the tool's own exports do (``label_studio_runs.py``). It does not draw polygons itself, but
hands them to COCO in pixels, so they are drawn by pycocotools. Rectangles, ellipses and points are left out and listed,
as its export of masks leaves them out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scenescope.data.formats.annotations import AnnotatedImage, Annotations, Fault, Labels, Region
from scenescope.data.formats.drawing import coco_polygons
from scenescope.data.formats.image_finder import ImageFinder
from scenescope.data.formats.json_reader import points, read_json
from scenescope.data.formats.label_studio_runs import brush_mask
from scenescope.data.formats.label_studio_tasks import Task, find_image
from scenescope.errors import DataError

FORMAT = "Label Studio JSON"

_START = re.compile(rb'^(\xef\xbb\xbf)?\s*\[\s*\{.*("annotations"|"completions"|"original_width")\s*:', re.DOTALL)
_NO_AREA = ("rectangle", "ellipse", "keypoint", "vector")


def recognize(path: Path) -> str | None:
    """Return the format's name for a file of tasks, or a folder that holds some."""
    return FORMAT if _exports(path) else None


def _exports(path: Path) -> list[Path]:
    """Return the files of tasks: the path itself, or those that lie in the folder."""
    try:
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        return [file for file in files if file.suffix.lower() == ".json" and _begins_with_tasks(file)]
    except OSError:
        return []


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read a list of tasks; of several annotations of one task, the ground truth, or else the latest.

    Raises:
        DataError: several files of tasks, or one that cannot be read.
    """
    file, *others = _exports(path)
    if others:
        raise DataError(
            f"{path} holds {len(others) + 1} exports, such as {others[0].name}; give the file that is meant."
        )
    tasks = _Tasks(file, finder)
    for entry in _read_tasks(file):
        tasks.add(entry)
    return tasks.annotations()


def _read_tasks(file: Path) -> list[dict[str, Any]]:
    """Return the tasks of an export.

    Raises:
        DataError: it cannot be read, or is no list of tasks.
    """
    content = read_json(file)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise DataError(f"{file} is no list of tasks; export the project again as JSON.")
    return content


@dataclass
class _Tasks:
    """Collects the tasks of a file."""

    file: Path
    finder: ImageFinder
    found: list[tuple[str, Path | bytes, list[_Shape], list[Fault]]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    dropped: list[Fault] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def add(self, entry: dict[str, Any]) -> None:
        try:
            task = Task.of(entry)
        except DataError as error:
            self.faults.append(Fault(str(self.file), "", str(error)))
            return
        chosen = task.chosen()
        if chosen is None:
            made = f"; {task.predictions} predictions are not read" if task.predictions else ""
            self._drop(task.id, f"nobody has annotated it{made}", regions=0)
            return
        for other in task.annotations:
            if other is not chosen:
                areas = sum(1 for _ in _groups(other))
                self._drop(f"{task.id}, annotation {other.get('id')}", f"annotation {chosen.get('id')} counts", areas)
        groups = list(_groups(chosen))
        try:
            name, image = find_image(task, self.finder)
        except DataError as error:
            self.faults.append(Fault(str(self.file), task.id, str(error), max(len(groups), 1)))
            return
        shapes, faults = [], []
        for group in groups:
            shape = _Shape.of(group, f"{task.id}, region {group[0].get('id', '?')}")
            if isinstance(shape, _Shape):
                shapes.append(shape)
            elif isinstance(shape, DataError):
                faults.append(Fault(str(self.file), f"{task.id}, region {group[0].get('id', '?')}", str(shape)))
            elif shape in _NO_AREA:
                self._drop(
                    f"{task.id}, region {group[0].get('id', '?')}", f"a {shape}: only brush and polygon are areas"
                )
            else:
                self.others[shape] += 1
        self.found.append((name, image, shapes, faults))

    def _drop(self, id_: str, reason: str, regions: int = 1) -> None:
        self.dropped.append(Fault(str(self.file), id_, reason, regions))

    def annotations(self) -> Annotations:
        classes = tuple(sorted({shape.label for _, _, shapes, _ in self.found for shape in shapes}))
        notes = [
            f"Label Studio's JSON does not list the classes: {len(classes)} are used, sorted by name. A class of the "
            "project that nobody has used is missing."
        ]
        if self.others:
            kinds = ", ".join(f"{number} of kind {kind!r}" for kind, number in sorted(self.others.items()))
            notes.append(f"What says nothing of areas is left out: {kinds}.")
        images = [
            AnnotatedImage(
                name, image, partial(_labels, shapes, faults, classes), str(self.file), (), _size(shapes), True
            )
            for name, image, shapes, faults in self.found
        ]
        return Annotations(FORMAT, classes, images, faults=self.faults, dropped=self.dropped, notes=notes)


@dataclass(frozen=True)
class _Shape:
    """A region: its class, the address for messages, and either runs or points in percent."""

    label: str
    id: str
    value: dict[str, Any]
    size: tuple[int, int] | None

    @classmethod
    def of(cls, group: list[dict[str, Any]], id_: str) -> _Shape | DataError | str:
        """Take a region from the results of one id; what is wrong with it; or, if it is none, its kind."""
        areas = [result for result in group if _kind(result) in ("brush", "polygon", "bitmask")]
        if not areas:
            kinds = [_kind(result) for result in group]
            return next((kind for kind in kinds if kind in _NO_AREA), kinds[0])
        if len(areas) > 1:
            return DataError("two areas of one id; give each its own")
        labels = [label for result in group for label in _label_names(result["value"])]
        area = areas[0]
        if len(set(labels)) != 1:
            return DataError(f"has {len(set(labels))} labels {sorted(set(labels))}; expected one")
        if area.get("image_rotation"):
            return DataError("the image was turned while annotating; turn the file itself and annotate it upright")
        sides = (area.get("original_width"), area.get("original_height"))
        whole = all(isinstance(side, int) and side > 0 for side in sides)
        return cls(labels[0], id_, area["value"], (sides[0], sides[1]) if whole else None)  # type: ignore[arg-type]

    def draw(self, height: int, width: int) -> np.ndarray:
        if "rle" in self.value:
            return brush_mask(self.value["rle"], height, width)
        outline = points(self.value.get("points"))
        if outline is None:
            raise DataError("neither runs nor points")
        return coco_polygons(
            [[part for x, y in outline for part in (x / 100 * width, y / 100 * height)]], height, width
        )


def _size(shapes: list[_Shape]) -> tuple[int, int] | None:
    """Return the (width, height) that the regions of an image say."""
    return next((shape.size for shape in shapes if shape.size), None)


def _labels(shapes: list[_Shape], faults: list[Fault], classes: tuple[str, ...]) -> Labels:
    return Labels([Region(classes.index(shape.label), shape.id, shape.draw) for shape in shapes], faults=faults)


def _groups(annotation: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """The results of an annotation by their id: a region and its label may be two results of one id."""
    groups: dict[str, list[dict[str, Any]]] = {}
    results = annotation.get("result")
    for place, result in enumerate(results if isinstance(results, list) else []):
        if isinstance(result, dict) and isinstance(result.get("value"), dict):
            groups.setdefault(str(result.get("id", f"#{place}")), []).append(result)
    yield from groups.values()


def _kind(result: dict[str, Any]) -> str:
    """What a result is: brush, polygon, rectangle, labels, choices, ...; JSON_MIN tells only by its keys."""
    told = result.get("type")
    if not isinstance(told, str):
        told = next((key for key in result["value"] if key.endswith("labels")), "unknown")
    return told.lower().removesuffix("labels") or "labels"


def _label_names(value: dict[str, Any]) -> list[str]:
    lists = [value[key] for key in value if key.endswith("labels") and isinstance(value[key], list)]
    return [name for names in lists for name in names if isinstance(name, str)]


def _begins_with_tasks(file: Path) -> bool:
    with file.open("rb") as opened:
        return _START.match(opened.read(2**16)) is not None
