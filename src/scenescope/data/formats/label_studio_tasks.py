"""The tasks of Label Studio: which of the annotations counts, and where the image is."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from scenescope.data.formats.image_finder import ImageFinder
from scenescope.data.images import SUFFIXES
from scenescope.errors import DataError

_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the names of files that are uploaded."""


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


def _ending(path: str) -> str:
    return Path(path).suffix.lower()
