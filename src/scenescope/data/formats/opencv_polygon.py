"""Polygons as OpenCV's ``fillPoly`` draws them, without OpenCV: what ultralytics and Supervisely use.

Its rule: edges are lines of Bresenham, from left to right; between them each row is filled by the even-odd rule with
the pixels whose centers lie from one crossing to the next, borders included. Crossings go on from row to row by a step
that is rounded toward zero to 1/65536 pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scenescope.data.formats.drawing import require_inside
from scenescope.errors import DataError

_ONE = 2**16
Point = tuple[int, int]


def opencv_polygon(corners: Sequence[Point], height: int, width: int) -> np.ndarray:
    """Draw a polygon of whole corners (x, y) as H x W bool, its outline included.

    Raises:
        DataError: fewer than three corners, all outside the image, or one far outside.
    """
    if len(corners) < 3:
        raise DataError(f"a polygon of {len(corners)} points; expected three or more")
    require_inside(corners, height, width)
    points = list(corners)
    drawn = np.zeros((height, width), dtype=bool)
    rows, crossings = [], []
    for start, end in zip(points[-1:] + points[:-1], points, strict=True):
        seen_start, seen_end = _clipped(start, end, width - 1, height - 1)
        if _within(seen_start, width, height) and _within(seen_end, width, height):
            _draw_line(drawn, *sorted((seen_start, seen_end)))
        if start[1] == end[1]:
            continue
        # What the borders leave of an edge gives its slope, though the new ends are rounded.
        if seen_start[1] == seen_end[1]:
            seen_start, seen_end = (seen_start[0], start[1]), (seen_end[0], end[1])
        (x0, y0), (x1, y1) = sorted((seen_start, seen_end), key=lambda point: point[1])
        step = abs((x1 - x0) * _ONE) // (y1 - y0) * (1 if x1 > x0 else -1)
        reached = np.arange(min(start[1], end[1]), max(start[1], end[1]))
        rows.append(reached)
        crossings.append(x0 * _ONE + step * (reached - y0))
    if rows:
        row, crossing = np.concatenate(rows), np.concatenate(crossings)
        order = np.lexsort((crossing, row))
        # A closed polygon crosses each row an even number of times.
        row, first, last = row[order][::2], -(-crossing[order][::2] // _ONE), crossing[order][1::2] // _ONE
        seen = (row >= 0) & (row < height) & (first < width) & (last >= 0) & (first <= last)
        row, first, last = row[seen], first[seen].clip(min=0), last[seen].clip(max=width - 1)
        if len(row):
            top, left = row.min(), first.min()
            changes = np.zeros((row.max() - top + 1, last.max() - left + 2), dtype=np.int32)
            np.add.at(changes, (row - top, first - left), 1)
            np.add.at(changes, (row - top, last - left + 1), -1)
            inside = changes.cumsum(axis=1)[:, :-1] > 0
            drawn[top : top + inside.shape[0], left : left + inside.shape[1]] |= inside
    return drawn


def _draw_line(drawn: np.ndarray, left: Point, right: Point) -> None:
    """Draw a line of Bresenham within an image."""
    (x0, y0), (x1, y1) = left, right
    across, down = x1 - x0, abs(y1 - y0)
    longer, shorter = max(across, down), min(across, down)
    steps = np.arange(longer + 1)
    minor = (2 * shorter * steps + longer - 1) // (2 * longer) if longer else steps
    xs, ys = (steps, minor) if across >= down else (minor, steps)
    drawn[y0 + (ys if y1 >= y0 else -ys), x0 + xs] = True


def _within(point: Point, width: int, height: int) -> bool:
    return 0 <= point[0] < width and 0 <= point[1] < height


def _clipped(start: Point, end: Point, right: int, bottom: int) -> tuple[Point, Point]:
    """Cut a line at the borders of an image, rows first; once it is seen to lie outside it is left as it is."""
    for axis, last in ((1, bottom), (0, right)):
        if any((a[0] < 0 and a[1] < 0) or (a[0] > b and a[1] > b) for a, b in _sides(start, end, right, bottom)):
            break
        start = _moved(start, start, end, axis, last)
        end = _moved(end, start, end, axis, last)
    return start, end


def _sides(start: Point, end: Point, right: int, bottom: int) -> tuple[tuple[Point, int], tuple[Point, int]]:
    """The two columns of a line with the last of the image, and the two rows likewise."""
    return ((start[0], end[0]), right), ((start[1], end[1]), bottom)


def _moved(point: Point, start: Point, end: Point, axis: int, last: int) -> Point:
    """An end of a line moved along it to the border, where it lies beyond."""
    border = min(max(point[axis], 0), last)
    if border == point[axis]:
        return point
    other = 1 - axis
    along = int((border - point[axis]) * (end[other] - start[other]) / (end[axis] - start[axis]))
    moved = point[other] + along
    return (moved, border) if axis == 1 else (border, moved)
