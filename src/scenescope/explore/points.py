"""Pixels of an image and cells of its features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scenescope.cells import Cells
from scenescope.errors import ImageError

Point = tuple[int, int]
"""x (to the right) and y (down) in pixels of the image as displayed, from 0."""


def require_inside(point: Point, width: int, height: int) -> None:
    """Refuse a point outside an image.

    Raises:
        ImageError: naming the valid range.
    """
    x, y = point
    if not (0 <= x < width and 0 <= y < height):
        raise ImageError(
            f"Point {x},{y} lies outside the image of {width} x {height} pixels;"
            f" x may be 0 to {width - 1} and y 0 to {height - 1}."
        )


def cell_numbers(points: Sequence[Point], image_size: tuple[int, int], cells: Cells, features: Tensor) -> Tensor:
    """Return the number, row * w + column, of the one of h x w cells that is nearest to each point of an H x W image.

    Raises:
        ImageError: a point lies outside the image.
    """
    height, width = image_size
    for point in points:
        require_inside(point, width, height)
    columns, rows = (
        (cells.places(axis, torch.tensor(pixels), features.shape[2 + axis]) + 0.5).long()
        for axis, pixels in zip((1, 0), zip(*points, strict=True), strict=True)
    )
    return (rows * features.shape[-1] + columns).to(features.device)


def cell_labels(labels: npt.NDArray[np.uint8], cells: Cells, counts: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Return the label under the center of each of h x w cells, ``counts``, of an H x W label map."""
    rows, columns = (
        ((np.arange(count) + offset) / scale).astype(int).clip(max=pixels - 1)
        for count, offset, scale, pixels in zip(counts, cells.offset, cells.scale, labels.shape, strict=True)
    )
    under: npt.NDArray[np.uint8] = labels[np.ix_(rows, columns)]
    return under


def cell_region(chosen: npt.NDArray[np.bool_], cells: Cells, image_size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels, H x W, of which the nearest cell is one of those chosen, h x w."""
    rows, columns = (
        (cells.places(axis, torch.arange(pixels), count) + 0.5).long().numpy()
        for axis, (pixels, count) in enumerate(zip(image_size, chosen.shape, strict=True))
    )
    region: npt.NDArray[np.bool_] = chosen[np.ix_(rows, columns)]
    return region


def chosen_points(labels: npt.NDArray[np.uint8], count: int) -> list[Point]:
    """Choose a pixel in the midst of each of the classes that fill most of an image, the largest first.

    Args:
        labels: H x W.
        count: of points at most.
    """
    areas = np.bincount(labels.ravel(), minlength=1)
    points: list[Point] = []
    for label in np.argsort(-areas, kind="stable")[:count]:
        rows, columns = np.nonzero(labels == label)
        if len(rows):
            nearest = np.argmin((rows - np.median(rows)) ** 2 + (columns - np.median(columns)) ** 2)
            points.append((int(columns[nearest]), int(rows[nearest])))
    return points
