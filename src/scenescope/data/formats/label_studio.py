"""Label Studio's export as JSON or JSON_MIN: brush strokes as packed runs, polygons in percent of the image.

    project-1-at-2024-05-01-10-00-ab12cd34.json    one file, a list of tasks
    images anywhere below, or by --image-dir

Brush regions are decoded as the tool's own exports do (``label_studio_runs.py``). It does not draw polygons itself, but
hands them to COCO in pixels, so they are drawn by pycocotools. Rectangles, ellipses and points are left out and listed,
as its export of masks leaves them out.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from scenescope.data.formats.annotations import AnnotatedImage, Annotations, Fault, Labels, Region
from scenescope.data.formats.drawing import coco_polygons
from scenescope.data.formats.image_finder import ImageFinder
from scenescope.data.formats.json_reader import points, read_json
from scenescope.data.formats.label_studio_runs import brush_mask
from scenescope.data.images import SUFFIXES
from scenescope.errors import DataError

FORMAT = "Label Studio JSON"

_START = re.compile(rb'^(\xef\xbb\xbf)?\s*\[\s*\{.*("annotations"|"completions"|"original_width")\s*:', re.DOTALL)
_NO_AREA = ("rectangle", "ellipse", "keypoint", "vector")
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the names of files that are uploaded."""


def recognize(path: Path) -> str | None:
    """Return the format's name for a file of tasks, or a folder that holds some."""
    return FORMAT if find_exports(path) else None


def find_exports(path: Path) -> list[Path]:
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
    file, *others = find_exports(path)
    if others:
        raise DataError(
            f"{path} holds {len(others) + 1} exports, such as {others[0].name}; give the file that is meant."
        )
    tasks = _Tasks(file, finder)
    for entry in read_tasks(file):
        tasks.add(entry)
    return tasks.annotations()


def read_tasks(file: Path) -> list[dict[str, Any]]:
    """Return the tasks of an export.

    Raises:
        DataError: it cannot be read, or is no list of tasks.
    """
    content = read_json(file)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise DataError(f"{file} is no list of tasks; export the project again as JSON.")
    return content


@dataclass(frozen=True)
class Task:
    """One image and what was annotated on it.

    Attributes:
        id: its number in Label Studio.
        data: what it was made of; one of the values names the image.
        annotations: those of all annotators.
        predictions: how many models have made.
    """

    id: str
    data: dict[str, Any]
    annotations: list[dict[str, Any]]
    predictions: int = 0

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Task:
        """Take a task from an entry of JSON, or of JSON_MIN, which has one for each annotation.

        Raises:
            DataError: its annotations are no list of objects.
        """
        name, data = f"task {entry.get('id', '?')}", entry.get("data")
        made = entry.get("annotations", entry.get("completions"))
        if isinstance(data, dict) or made is not None:
            if not isinstance(made or [], list) or not all(isinstance(each, dict) for each in made or []):
                raise DataError(f"{name} has no list of annotations")
            predicted = entry.get("predictions")
            num_predictions = len(predicted) if isinstance(predicted, list) else 0
            return cls(name, data if isinstance(data, dict) else {}, made or [], num_predictions)
        drawn = [value for listed in entry.values() if isinstance(listed, list) for value in listed]
        results = [dict(value, value=value) for value in drawn if isinstance(value, dict)]
        return cls(name, entry, [{"id": entry.get("annotation_id"), "result": results}])

    @property
    def image(self) -> str:
        """Return what names the image.

        Raises:
            DataError: nothing does, or several values may.
        """
        named = self.data.get("image")
        if isinstance(named, str) and named:
            return named
        texts = [value for value in self.data.values() if isinstance(value, str)]
        found = [text for text in texts if text.startswith("data:image/") or _ending(path_of(text)) in SUFFIXES]
        if len(found) != 1:
            raise DataError(f"its data name {len(found)} images; one is expected, best under the key 'image'")
        return found[0]

    def chosen(self) -> dict[str, Any] | None:
        """Return the annotation that counts, or None if nobody has finished one."""
        finished = [each for each in self.annotations if not (each.get("was_cancelled") or each.get("skipped"))]
        ranked = sorted(finished, key=lambda each: (bool(each.get("ground_truth")), str(each.get("created_at", ""))))
        return ranked[-1] if ranked else None


def find_image(task: Task, finder: ImageFinder) -> tuple[str, Path | bytes]:
    """Return the name and the file of a task's image, or its bytes where the task holds them.

    Raises:
        DataError: it is not there.
    """
    reference = task.image
    if reference.startswith("data:image/"):
        head, _, content = reference.partition(",")
        try:
            return f"{task.id.replace(' ', '-')}.{head[11:].partition(';')[0]}", base64.b64decode(
                content, validate=True
            )
        except ValueError as error:
            raise DataError("its image in base64 is damaged") from error
    path = path_of(reference)
    try:
        found = finder.find(path)
    except DataError:
        folder, _, name = path.rpartition("/")
        if not _UPLOADED.match(name):
            raise
        found = finder.find(f"{folder}/{_UPLOADED.sub('', name)}")
    return finder.below(found), found


def path_of(reference: str) -> str:
    """Return the path in an address of Label Studio: ``/data/local-files/?d=a/b.jpg``, ``s3://bucket/a.jpg``, a URL."""
    try:
        address = urlsplit(reference)
        inner = parse_qs(address.query)
    except ValueError:
        return reference
    if not address.query and "://" not in reference:
        return unquote(reference) if reference.startswith("/data/") else reference
    named = inner.get("d") or inner.get("filepath")
    return named[-1] if named else unquote(address.path)


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
                name, image, partial(_labels, shapes, faults, classes), str(self.file), (), size(shapes), True
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


def size(shapes: list[_Shape]) -> tuple[int, int] | None:
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


def _ending(path: str) -> str:
    return Path(path).suffix.lower()


def _begins_with_tasks(file: Path) -> bool:
    with file.open("rb") as opened:
        return _START.match(opened.read(2**16)) is not None
