"""A look at one image as a file to send: reduced to what is shown and to what fits, and never over another's file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scenescope.data.images import scaled_down
from scenescope.errors import ImageError, StorageError
from scenescope.explore.points import Point, require_inside
from scenescope.explore.share import GENERATOR, MAX_BYTES, Progress, TooLargeError, look_html
from scenescope.explore.trace import attend
from scenescope.files import output_directory, write_text
from scenescope.inference.segmenter import SeenImage, Segmenter
from scenescope.workflows.attention import AttentionInput

LONGEST_SIDE = 1280
"""Of the image in the file, in pixels."""
_SHORTEST = 64
"""Of the longest side: what does not fit then never does."""


def require_one(subjects: Sequence[AttentionInput]) -> AttentionInput:
    """Return the one image of a file.

    Raises:
        ImageError: there are several.
    """
    if len(subjects) > 1:
        raise ImageError(f"--html is a look at one image and {len(subjects)} are given; name one of them.")
    return subjects[0]


def require_free_page(path: Path, inputs: Sequence[Path]) -> None:
    """Refuse the place of an input, or of a file that is no look of ours.

    Raises:
        StorageError: naming the file.
    """
    if not os.path.lexists(path):
        return
    if any(given.exists() and path.exists() and path.samefile(given) for given in inputs):
        raise StorageError(f"The look would replace the input {path}; choose another --html.")
    if not _is_look(path):
        raise StorageError(
            f"{path} is in the way: it is no look that scenescope has written; move it or choose another --html."
        )


def share_look(
    subject: AttentionInput,
    segmenter: Segmenter,
    path: Path,
    *,
    points: Sequence[Point] = (),
    progress: Progress | None = None,
) -> list[str]:
    """Write a look at an image as one HTML file of at most 6 MB, and return what is to be said about it.

    Args:
        points: pixels of the image as displayed that the page opens with.
        progress: called with how many of the segmentations are done, and of how many.

    Raises:
        StorageError: the place cannot be written, or holds an input or what is none of ours.
        ImageError: the image cannot be read, or a point lies outside it.
        ModelError: the network has no attention to look into.
    """
    require_free_page(path, subject.files)
    with _said_of_html(), output_directory(path.parent):
        seen, _, notes = subject.read()
        image = seen.array
        height, width = image.shape[:2]
        for point in points:
            require_inside(point, width, height)
        side = min(LONGEST_SIDE, max(height, width))
        while True:
            shown = scaled_down(image, side)
            told = [*notes, *_told(image, shown)]
            moved = [_moved(point, image, shown) for point in points]
            name = subject.files[0].name if subject.files else subject.name
            model = segmenter.source.name if segmenter.source is not None else ""
            try:
                html = look_html(
                    attend(segmenter, SeenImage(shown)),
                    segmenter.classes,
                    title=name,
                    model=model,
                    notes=[f"{note[0].upper()}{note[1:]}." for note in told],
                    points=moved,
                    progress=progress,
                )
                break
            except TooLargeError as error:
                # Nearly all of it grows with the area.
                side = int(side * min((MAX_BYTES / error.num_bytes) ** 0.5 * 0.97, 0.95))
                if side < _SHORTEST:
                    raise
        write_text(path, html)
    said = [f"note: {', '.join(told)}"] if told else []
    num_bytes = len(html.encode())
    size = f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:.0f} kB"
    return [*said, f"The look is in {path}, {size}; open it in a browser, or send it."]


def _is_look(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return f'<meta name="generator" content="{GENERATOR}">'.encode() in file.read(2048)


def _told(image: npt.NDArray[np.uint8], shown: npt.NDArray[np.uint8]) -> list[str]:
    (height, width), (rows, columns) = image.shape[:2], shown.shape[:2]
    if (height, width) == (rows, columns):
        return []
    why = "" if max(rows, columns) == LONGEST_SIDE else f", so that the file has no more than {MAX_BYTES // 10**6} MB"
    return [f"looked at and shown at {columns} x {rows} pixels, not {width} x {height}{why}"]


def _moved(point: Point, image: npt.NDArray[np.uint8], shown: npt.NDArray[np.uint8]) -> Point:
    """Return the pixel of the reduced image in which a pixel lies."""
    (height, width), (rows, columns) = image.shape[:2], shown.shape[:2]
    return point[0] * columns // width, point[1] * rows // height


@contextlib.contextmanager
def _said_of_html() -> Iterator[None]:
    """Let errors of writing name the option that this is about."""
    try:
        yield
    except StorageError as error:
        raise StorageError(str(error).replace("--output", "--html")) from error
