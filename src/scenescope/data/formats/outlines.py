"""Outlines of areas of pixels, along the pixels' edges.

What holds for every map of areas:

- Points are corners of pixels, whole numbers (x, y): pixel (0, 0) has the corners (0, 0), (1, 0), (1, 1) and (0, 1).
- A pixel belongs to an area exactly where its center lies within the area's rings by the even-odd rule. So drawing
  the rings again gives the same pixels.
- An area that is connected by edges of pixels has one exterior ring and a ring for each hole. No ring touches itself;
  two rings may touch in single points. So each is a valid polygon of OGC Simple Features.
- The exterior has a positive area by the shoelace formula in (x, y), as GeoJSON asks for: clockwise where y points
  down. Holes have a negative one. (A map's transform that turns y around turns the rings as well.)
- Points in the middle of a straight line are left out. The same map gives the same rings in the same order.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_EAST, _SOUTH, _WEST, _NORTH = range(4)


@dataclass(frozen=True, eq=False)
class Outlines:
    """The rings of all areas of a map, ordered by area, the exterior before its holes.

    Attributes:
        points: P x 2 int32, the corners (x, y) of all rings one after another; no ring repeats its first.
        starts: R + 1 int64, where in ``points`` each of the R rings begins, and the end.
        areas: R int64, the number of the area that each ring bounds.
        pixels: R int64, how many pixels a ring encloses; negative for a hole.
    """

    points: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    areas: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]

    def of(self, area: int) -> list[npt.NDArray[np.int32]]:
        """Return the rings of an area, each P x 2: the exterior, then its holes; none if there is no such area."""
        first, last = np.searchsorted(self.areas, (area, area + 1))
        return [self.points[self.starts[ring] : self.starts[ring + 1]] for ring in range(first, last)]


def trace(areas: npt.NDArray[np.integer]) -> Outlines:
    """Return the outlines of all areas of a map.

    A ring consists of runs, straight lines with the area on their right hand (where y points down). Where it meets a
    corner of its own area again, diagonally, it takes the pixel beyond in: that keeps rings from touching themselves.

    Args:
        areas: H x W, the number of the area that each pixel belongs to, 0 for none. Pixels of a number should be
            connected by their edges; otherwise such an area has several exterior rings.
    """
    height, width = areas.shape
    padded = np.pad(areas, 1)
    # The pixels around each corner of the grid, and what they are to somebody who comes there in one of the directions.
    northwest, northeast = padded[:-1, :-1], padded[:-1, 1:]
    southwest, southeast = padded[1:, :-1], padded[1:, 1:]
    around = (northeast, southeast, southwest, northwest)
    begins, ends, lefts = [], [], []
    for direction in (_EAST, _SOUTH, _WEST, _NORTH):
        ahead_left, ahead_right, back_right, back_left = (around[(direction + turn) % 4] for turn in range(4))
        straight = (back_right == ahead_right) & (back_left != back_right) & (ahead_left != back_right)
        begin = (ahead_right != 0) & (ahead_right != ahead_left) & ~straight
        end = (back_right != 0) & (back_right != back_left) & ~straight
        # Lines of one direction do not overlap. So along each row or column the n-th beginning belongs to the n-th end.
        begins.append(_places(begin, direction))
        ends.append(_places(end, direction))
        lefts.append((ahead_left == back_right).reshape(-1)[ends[-1]])
    following = _following(begins, ends, lefts, (height + 1) * (width + 1))
    order, starts = _cycles(following, len(begins[_EAST]))
    y, x = np.divmod(np.concatenate(begins)[order], width + 1)
    points = np.stack((x, y), 1).astype(np.int32)
    pixels = _enclosed(points, starts)
    # Each ring begins with a line to the east, below which is a pixel of its area.
    owners = areas[y[starts[:-1]], x[starts[:-1]]].astype(np.int64)
    return _by_area(Outlines(points, starts, owners, pixels))


def _places(mask: npt.NDArray[np.bool_], direction: int) -> npt.NDArray[np.int64]:
    """Return where a mask of corners is true, ordered along rows, for north and south along columns."""
    if direction in (_EAST, _WEST):
        return np.flatnonzero(mask)
    x, y = np.nonzero(mask.T)
    return np.asarray(y * mask.shape[1] + x)


def _following(
    begins: list[npt.NDArray[np.int64]],
    ends: list[npt.NDArray[np.int64]],
    lefts: list[npt.NDArray[np.bool_]],
    num_corners: int,
) -> npt.NDArray[np.int64]:
    """Return which run follows each: the one that begins where it ends, to its left or to its right."""
    offsets = np.cumsum([0, *map(len, begins)])
    following = np.empty(offsets[-1], np.int64)
    at = np.empty(num_corners, np.int64)
    for direction, begin in enumerate(begins):
        at[begin] = np.arange(offsets[direction], offsets[direction + 1])
        for before, is_left in (((direction + 1) % 4, True), ((direction - 1) % 4, False)):
            turned = lefts[before] == is_left
            following[offsets[before] : offsets[before + 1]][turned] = at[ends[before][turned]]
    return following


def _cycles(following: npt.NDArray[np.int64], num_firsts: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the runs ring by ring, and where in that each ring begins; one of the first runs is in every ring."""
    successor, seen = following.data, bytearray(len(following))
    order, starts = array("q"), array("q")
    for first in range(num_firsts):
        if seen[first]:
            continue
        starts.append(len(order))
        run = first
        while not seen[run]:
            seen[run] = 1
            order.append(run)
            run = successor[run]
    starts.append(len(order))
    return np.array(order, np.int64), np.array(starts, np.int64)


def _enclosed(points: npt.NDArray[np.int32], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the signed area of each ring: the sum of x over its vertical lines, times their length downwards."""
    if not len(points):
        return np.zeros(0, np.int64)
    after = np.arange(1, len(points) + 1)
    after[starts[1:] - 1] = starts[:-1]
    x, y = points.T.astype(np.int64)
    return np.add.reduceat(x * (y[after] - y), starts[:-1])


def _by_area(rings: Outlines) -> Outlines:
    """Order rings by their areas; an exterior comes first as it is, since it begins above its holes."""
    order = np.argsort(rings.areas, kind="stable")
    lengths = np.diff(rings.starts)[order]
    starts = np.concatenate(([0], np.cumsum(lengths)))
    points = np.repeat(rings.starts[:-1][order] - starts[:-1], lengths) + np.arange(len(rings.points))
    return Outlines(rings.points[points], starts, rings.areas[order], rings.pixels[order])
