"""From the regions of an image to one label for each pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scenescope.data.formats.annotations import UNLABELED, AnnotatedImage, Fault, Labels, Overlap
from scenescope.data.images import Header
from scenescope.errors import DataError

_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.T,
    6: lambda stored: stored.T[:, ::-1],
    7: lambda stored: stored[::-1, ::-1].T,
    8: lambda stored: stored.T[::-1],
}
"""From an array as it is stored to how it is displayed, by EXIF orientation."""


COVERED = "has no pixel of its own: covered by others, or thinner"
"""Why a region is left out that is not wrong."""


@dataclass
class Painted:
    """What became of the regions of an image.

    Attributes:
        labels: H x W integers: indices into the classes, UNLABELED or IGNORED.
        visible: the places in the list of regions of those that have a pixel in the end.
        faults: regions that cannot be drawn.
        dropped: regions without a pixel: thinner than one, or covered by others.
    """

    labels: np.ndarray
    visible: list[int]
    faults: list[Fault]
    dropped: list[Fault]


def paint(labels: Labels, height: int, width: int, overlap: Overlap, file: str) -> Painted:
    """Draw the regions of an image over one another.

    Args:
        labels: what lies on it.
        height, width: in pixels.
        overlap: "file": later regions are on top; "area": smaller ones, and of two equal ones the later.
        file: for the faults.

    Raises:
        DataError: labels of pixels have another size.
    """
    if labels.pixels is not None:
        if labels.pixels.shape != (height, width):
            rows, columns = labels.pixels.shape
            raise DataError(f"the mask has {columns} x {rows} pixels, the image {width} x {height}")
        return Painted(labels.pixels, [], [], [])
    owner = np.full((height, width), -1, dtype=np.int32)
    area_of_owner = np.full((height, width), np.iinfo(np.int64).max) if overlap == "area" else None
    faults, drawn = [], []
    for place, region in enumerate(labels.regions):
        try:
            inside = region.draw(height, width)
        except DataError as error:
            faults.append(Fault(file, region.id, str(error)))
            continue
        drawn.append(place)
        window = _window(inside)
        inside = inside[window]
        if area_of_owner is not None:
            area = int(inside.sum())
            inside = inside & (area <= area_of_owner[window])
            area_of_owner[window][inside] = area
        owner[window][inside] = place
    visible = set(np.flatnonzero(np.bincount(owner.ravel() + 1)[1:]).tolist())
    hidden = [labels.regions[place] for place in drawn if place not in visible]
    label_of = np.array([region.label for region in labels.regions] + [UNLABELED], dtype=np.int32)
    dropped = [Fault(file, region.id, COVERED) for region in hidden]
    return Painted(label_of[owner], [place for place in drawn if place in visible], faults, dropped)


def _window(inside: np.ndarray) -> tuple[slice, slice]:
    """Where the region lies: most are small, and only there something changes."""
    rows = np.flatnonzero(inside.any(axis=1))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    columns = np.flatnonzero(inside[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def frame(image: AnnotatedImage, header: Header, orientation: int, mask: np.ndarray | None) -> tuple[int, int, int]:
    """Return height and width of what an annotation was made on, and the EXIF turn from there to what is displayed.

    Args:
        header: the sizes of the image.
        orientation: its EXIF orientation, 1 to 8.
        mask: the labels of pixels, if that is what there is; their size tells as well.

    Raises:
        DataError: the annotation was made for an image of another size, or it does not say for which way up.
    """
    size = image.size if mask is None else (mask.shape[1], mask.shape[0])
    said = f"{size[0]} x {size[1]}" if size else ""
    stored, displayed = header.stored_size, header.size
    fits = [each for each in (displayed, stored) if size is None or size == each]
    if not fits:
        raise DataError(f"annotated at {said}, but the image has {displayed[0]} x {displayed[1]} pixels")
    if orientation not in _TURNS or image.turned:
        if size not in (None, displayed):
            raise DataError(f"annotated at {said}, but the image is displayed at {displayed[0]} x {displayed[1]}")
        return displayed[1], displayed[0], 1
    if image.turned is None and (size is None or stored == displayed):
        raise DataError(
            f"the image is turned by its EXIF (orientation {orientation}), and nothing says whether it was annotated "
            "as stored or as displayed; save it upright, with its annotation"
        )
    if image.turned is False or size == stored:
        if size not in (None, stored):
            raise DataError(f"annotated at {said}, but the image is stored at {stored[0]} x {stored[1]}")
        return stored[1], stored[0], orientation
    return displayed[1], displayed[0], 1


def turn(labels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn H x W labels of an image as it is stored to how it is displayed."""
    return _TURNS[orientation](labels) if orientation in _TURNS else labels
