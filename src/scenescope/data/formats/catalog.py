"""The formats by the files that read them, and how a source is recognized."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from scenescope.data.formats.annotations import Annotations
from scenescope.data.formats.image_finder import ImageFinder
from scenescope.errors import DataError

FORMATS: tuple[str, ...] = (
    "label_studio",
    "label_studio_masks",
    "cvat_images",
    "roboflow",
    "supervisely",
    "hugging_face",
    "coco_panoptic",
    "coco",
    "labelme",
    "yolo",
    "voc",
    "masks",
)
"""The readers, files of this folder; the first that recognizes a source reads it, so the more special come first."""


class Reader(Protocol):
    """What the file of a format offers."""

    def recognize(self, path: Path) -> str | None:
        """Return the name of the format, such as "COCO JSON", or None; raises nothing, reads little."""

    def open_(self, path: Path, finder: ImageFinder) -> Annotations:
        """Read a source that was recognized."""


def recognize(path: Path) -> tuple[str, str] | None:
    """Return the reader of a source and the name of its format; None if no reader knows it."""
    for name in FORMATS:
        if found := _reader(name).recognize(path):
            return name, found
    return None


def open_annotations(source: str | Path, image_dir: Path | None = None) -> Annotations:
    """Read the annotations of another tool, whatever its format.

    Args:
        source: a folder, or the file that holds the annotations.
        image_dir: where the images are, if not in the folder of the source.

    Raises:
        DataError: no such source, no format that is known, or annotations that cannot be read at all.
    """
    path = Path(os.path.expanduser(source))
    if not path.exists():
        raise DataError(f"{path} does not exist; give the folder or the file that the tool has written.")
    found = recognize(path)
    if found is None:
        known = ", ".join(FORMATS)
        raise DataError(f"{path} is in no format that is known ({known}); docs/data.md says what each is known by.")
    root = path if path.is_dir() else path.parent
    return _reader(found[0]).open_(path, ImageFinder(root, image_dir))


def _reader(name: str) -> Reader:
    return cast(Reader, import_module(f"scenescope.data.formats.{name}"))
