"""Polygons as OpenCV's ``fillPoly`` draws them: what lies inside, and the outline as lines through 8 neighbors.

Written out so that nobody needs OpenCV for it. Equal pixel by pixel where the corners, of whole coordinates, lie on the
image. Where they do not, OpenCV moves edges to the rim before it fills; here the rule stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scenescope.errors import DataError

_SHIFT = 16
"""OpenCV steps from row to row in parts of 1 / 65536 pixel."""

_FAR = 8
"""Corners may lie so many sides outside the image; lines to farther ones would take long."""


def opencv_polygon(corners: Sequence[tuple[int, int]], height: int, width: int) -> np.ndarray:
    """Draw a polygon of corners (x, y) as H x W bool.

    Raises:
        DataError: fewer than three corners, or one far outside.
    """
    if len(corners) < 3:
        raise DataError(f"a polygon of {len(corners)} points; expected three or more")
    ends = np.array(corners, dtype=np.int64)
    limit = np.array([width, height]) * _FAR
    if (np.abs(ends) > limit).any():
        raise DataError(f"a polygon with a corner far outside the image of {width} x {height}")
    starts = np.roll(ends, 1, axis=0)
    inside = _even_odd(starts, ends, height, width)
    for start, end in zip(starts, ends, strict=True):
        x, y = _line(start, end)
        seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        inside[y[seen], x[seen]] = True
    return inside


def _even_odd(starts: np.ndarray, ends: np.ndarray, height: int, width: int) -> np.ndarray:
    """The pixels between the first and the second crossing of a row, the third and the fourth, ..."""
    down = np.where(starts[:, 1] <= ends[:, 1], 1, -1)[:, None]
    top, bottom = np.where(down > 0, starts, ends), np.where(down > 0, ends, starts)
    rows, places = [], []
    for (x0, y0), (x1, y1) in zip(top.tolist(), bottom.tolist(), strict=True):
        if y0 == y1:
            continue
        slope = abs(x1 - x0 << _SHIFT) // (y1 - y0) * (1 if x1 >= x0 else -1)
        y = np.arange(max(y0, 0), min(y1, height))
        rows.append(y)
        places.append((x0 << _SHIFT) + (y - y0) * slope)
    change = np.zeros((height, width + 1), dtype=np.int32)
    if rows:
        row, place = np.concatenate(rows), np.concatenate(places)
        order = np.lexsort((place, row))
        row, first, last = row[order][::2], -(-place[order][::2] >> _SHIFT), place[order][1::2] >> _SHIFT
        np.add.at(change, (row, np.clip(first, 0, width)), 1)
        np.add.at(change, (row, np.clip(last + 1, 0, width)), -1)
    inside: np.ndarray = change.cumsum(axis=1)[:, :width] > 0
    return inside


def _line(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of a line by Bresenham, from left to right."""
    if start[0] > end[0]:
        start, end = end, start
    steps = end - start
    long, short = (1, 0) if abs(steps[1]) > steps[0] else (0, 1)
    far, near = abs(int(steps[long])), abs(int(steps[short]))
    along = np.arange(far + 1)
    across = (2 * near * along + far - 1) // (2 * far) if far else np.zeros(1, dtype=np.int64)
    pixels = np.empty((2, far + 1), dtype=np.int64)
    pixels[long] = start[long] + np.sign(steps[long]) * along
    pixels[short] = start[short] + np.sign(steps[short]) * across
    return pixels[0], pixels[1]
