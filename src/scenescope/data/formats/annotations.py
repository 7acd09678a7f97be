"""What a reader of an annotation tool's files gives: classes, and for each image what is drawn on it.

A reader does no more than find its images and say what lies on them. Which of two regions is on top, what becomes of
pixels without label and of faults, and every file that is written is the import's (``workflows/import_data.py``), so
those rules are the same for all formats.

A reader is a file in this folder, named in ``catalog.FORMATS``, with two functions:

    recognize(path) -> str | None        the name of the format that the file or folder is in; None if in no known one
    open_(path, finder) -> Annotations   read everything but the images; a whole set that cannot be read is a DataError

What is wrong with one image or one region is a ``Fault``, and the reader goes on with the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from scenescope.labels import Color

UNLABELED, IGNORED = -1, -2
"""In place of the number of a class: nobody gave a label; somebody said that it is not to be scored."""

Overlap = Literal["file", "area"]
"""Which of two regions is on top: the one that is later in the file, or the one of the smaller area."""

Unlabeled = Literal["background", "ignore"]
"""What pixels without label become: a class ``background``, or ignored."""


def is_background(name: str) -> bool:
    """Tell whether a class is the one that tools give to pixels without label."""
    return name.strip("_").casefold() == "background"


@dataclass(frozen=True)
class Fault:
    """What is wrong with an image or a region.

    Attributes:
        file: where it stands.
        id: the tool's own for it, or empty.
        reason: without an end mark.
        regions: how many annotated areas are lost with it.
    """

    file: str
    id: str
    reason: str
    regions: int = 1

    def __str__(self) -> str:
        return f"{self.file}{f', {self.id}' if self.id else ''}: {self.reason}"


@dataclass(frozen=True)
class Region:
    """One annotated area.

    Attributes:
        label: index into the classes, UNLABELED (erases what is below: cut out by the tool) or IGNORED.
        id: as the tool names it, for messages: "annotation 17", "shape 3 'car'".
        draw: from (height, width) of the image to H x W bool, as the tool itself draws it; see ``drawing.py``. Raises a
            DataError that says what is wrong: two points, runs of another size.
    """

    label: int
    id: str
    draw: Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Labels:
    """What lies on one image: either regions, or a label for every pixel, and what could not be read.

    Attributes:
        regions: in the order of the file, the later ones on top.
        pixels: H x W integers, indices into the classes, UNLABELED or IGNORED, for what a tool keeps as mask files.
        faults: what was left out for being wrong.
        dropped: what is left out without being wrong, such as boxes.
    """

    regions: Sequence[Region] = ()
    pixels: np.ndarray | None = None
    faults: Sequence[Fault] = ()
    dropped: Sequence[Fault] = ()


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its labels.

    Attributes:
        name: the path that it is to have below ``images``, with its ending and any folders: "city0/a.jpg". Names of
            strangers may be handed on as they are: what would leave the folder is refused.
        image: the file, or its bytes where an archive or a JSON holds it.
        labels: reads what lies on the image, when it is its turn.
        file: what holds the annotation, for messages.
        splits: those that it belongs to; empty where there are none.
        size: (width, height) that the annotation says, or None; an image of another size is a fault.
        turned: how the annotation sees an image that its EXIF turns: True as displayed, False as stored, None if the
            tool does not say; then its size decides, and where that cannot, it is a fault.
    """

    name: str
    image: Path | bytes
    labels: Callable[[], Labels]
    file: str
    splits: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    turned: bool | None = None


@dataclass(frozen=True)
class Annotations:
    """All that a reader found.

    Attributes:
        format: its name, such as "COCO JSON".
        classes: names in order, without one twice. One called ``background`` takes the pixels without label.
        images: in the order of the files.
        colors: of the classes, as the tool shows them; empty if it has none.
        faults: of what has no image: an annotation of an image that is not there, an unknown category.
        dropped: what is left out without being wrong, such as images that nobody has annotated, and boxes.
        notes: what the user is to be told: the pattern of names that was used, a choice that was made.
        overlap: the rule of the tool, used where the user names none.
        unlabeled: likewise.
    """

    format: str
    classes: tuple[str, ...]
    images: Sequence[AnnotatedImage]
    colors: tuple[Color, ...] = ()
    faults: Sequence[Fault] = ()
    dropped: Sequence[Fault] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    overlap: Overlap = "file"
    unlabeled: Unlabeled = "background"
