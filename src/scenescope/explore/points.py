"""Pixels of a picture and cells of its features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scenescope.errors import ImageError

Point = tuple[int, int]
"""x (to the right) and y (down) in pixels of the picture as displayed, from 0."""


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


def cells(points: Sequence[Point], image_size: tuple[int, int], features: Tensor) -> Tensor:
    """Return the cell of each point, floor(y h / H) * w + floor(x w / W), for h x w features of an H x W image.

    Raises:
        ImageError: a point lies outside the image.
    """
    (height, width), (rows, columns) = image_size, features.shape[-2:]
    for point in points:
        require_inside(point, width, height)
    numbers = [(y * rows // height) * columns + x * columns // width for x, y in points]
    return torch.tensor(numbers, dtype=torch.long, device=features.device)


def cell_labels(labels: npt.NDArray[np.uint8], rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """Return the label under the centre of each of rows x columns cells of an H x W label map."""
    height, width = labels.shape
    at_rows = (2 * np.arange(rows) + 1) * height // (2 * rows)
    at_columns = (2 * np.arange(columns) + 1) * width // (2 * columns)
    return labels[np.ix_(at_rows, at_columns)]


def chosen_points(labels: npt.NDArray[np.uint8], count: int) -> list[Point]:
    """Choose a pixel in the midst of each of the classes that fill most of a picture, the largest first.

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
