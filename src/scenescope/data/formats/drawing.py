"""Regions as pixels, by the same rules as the tools themselves, so that masks are equal pixel by pixel.

- COCO: polygons and runs by pycocotools (``coco_polygons``, ``coco_runs``).
- Tools that draw with Pillow, as labelme: ``pillow_polygon``.
- Tools that draw with OpenCV, as ultralytics: ``opencv_polygon.py``.

All answer H x W bool and raise a DataError without file or id, which who calls knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from scenescope.errors import DataError

MAX_OUTLINE = 10_000
"""Pixels of an outline beyond as many as its image has."""

Points = Sequence[tuple[float, float]]


def coco_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> np.ndarray:
    """Draw the union of polygons [x, y, x, y, ...], as pycocotools does: at five times the size, by its own rule.

    Raises:
        DataError: a polygon of fewer than three points or of an odd number of coordinates.
    """
    if not polygons:
        raise DataError("no polygon; expected at least one")
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise DataError(f"a polygon of {len(polygon) / 2:g} points; expected three or more")
    require_inside(
        [pair for polygon in polygons for pair in zip(polygon[::2], polygon[1::2], strict=True)], height, width
    )
    coco = _pycocotools()
    runs = coco.merge(coco.frPyObjects([list(polygon) for polygon in polygons], height, width))
    return coco_runs(runs["counts"], runs["size"], height, width)  # its own decoder warns of numpy 2


def coco_runs(counts: str | bytes | Sequence[int], size: Sequence[int], height: int, width: int) -> np.ndarray:
    """Draw run lengths, column by column, as a list or in COCO's compressed form.

    Raises:
        DataError: for another size than the image's, or runs that do not add up to it.
    """
    if list(size) != [height, width]:
        raise DataError(f"runs for {size} (height, width), but the image has [{height}, {width}]")
    if isinstance(counts, (str, bytes)):
        lengths = _uncompressed(counts)
    else:
        lengths = list(counts)
        if not all(type(length) is int and length >= 0 for length in lengths):
            raise DataError("runs that are not all whole numbers from 0 on")
    total = sum(lengths)
    if total != height * width:
        raise DataError(f"runs of {total:,} pixels for {height} x {width} = {height * width:,}")
    # Only the columns from the first to the last run that is on are unpacked: most regions are small.
    ends = np.cumsum([0, *lengths])
    drawn = np.zeros((height, width), dtype=bool)
    on = np.flatnonzero(np.diff(ends)[1::2]) * 2 + 1
    if len(on):
        left, right = int(ends[on[0]]) // height, (int(ends[on[-1] + 1]) - 1) // height + 1
        parts = np.diff(ends.clip(left * height, right * height))
        drawn[:, left:right] = np.repeat(np.arange(len(parts)) % 2 == 1, parts).reshape(-1, height).T
    return drawn


def pillow_polygon(points: Points, height: int, width: int) -> np.ndarray:
    """Draw a polygon as Pillow does, with its outline.

    Raises:
        DataError: fewer than three points.
    """
    if len(points) < 3:
        raise DataError(f"a polygon of {len(points)} points; expected three or more")
    require_inside(points, height, width)
    canvas = Image.new("1", (width, height))
    ImageDraw.Draw(canvas).polygon([tuple(point) for point in points], outline=1, fill=1)
    return np.array(canvas)


def require_inside(points: Points, height: int, width: int) -> None:
    """Refuse what lies outside an image altogether, or reaches further out than the image is large.

    What is drawn partly outside is cut off at the border, as all tools do. What reaches far out belongs to an image of
    another size. Libraries take memory by the length of an outline, which one from side to side for ever uses up.

    Raises:
        DataError: it does.
    """
    xs, ys = zip(*points, strict=True)
    length = sum(max(abs(x0 - x1), abs(y0 - y1)) for x0, x1, y0, y1 in zip(xs, xs[1:], ys, ys[1:], strict=False))
    if max(xs) < 0 or max(ys) < 0 or min(xs) > width or min(ys) > height:
        raise DataError(f"lies outside the image of {width} x {height}, about ({xs[0]:g}, {ys[0]:g})")
    if min(xs) < -width or max(xs) > 2 * width or min(ys) < -height or max(ys) > 2 * height:
        raise DataError(f"reaches far outside the image of {width} x {height}, to ({max(xs):g}, {max(ys):g})")
    if length > height * width + MAX_OUTLINE:
        raise DataError(f"an outline of {length:,.0f} pixels in an image of {width} x {height}")


def _uncompressed(counts: str | bytes) -> list[int]:
    """The run lengths of COCO's compressed form: 5 bits a character, differences from the third on.

    Written out here because pycocotools, in C, reads beyond the end of a text that is cut short.
    """
    text = counts.encode("ascii", "replace") if isinstance(counts, str) else counts
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        if not 0 <= bits < 64 or shift > 30:
            raise DataError("compressed runs with a character that none has")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            if lengths[-1] < 0:
                raise DataError("compressed runs of negative length")
            value = shift = 0
    if shift:
        raise DataError("compressed runs that are cut short")
    return lengths


def _pycocotools() -> Any:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise DataError(
            "Polygons of COCO need pycocotools, which is not installed: pip install 'scenescope[formats]'."
        ) from error
    return mask
