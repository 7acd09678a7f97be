"""Where classes meet in a label map: the pixels near another class, and those near a pixel of their own in another map.

Maps are ``known``: B x H x W uint8, 1 + class 0..K-1, and 0 where the class is not known. All classes are treated at
once, so that the time does not grow with K.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.spatial import KDTree

Known = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def fill_unknown(known: Known, reach: int) -> Known:
    """Give unknown pixels at most ``reach`` steps from a known one the class of the nearest; diagonals are one step.

    Of several nearest the highest class is taken.
    """
    padded = np.pad(known, ((0, 0), (1, 1), (1, 1)))
    image, row, column = unknown = np.array(np.nonzero(known == 0))
    for _ in range(reach):
        around = [padded[image, row + down, column + across] for down, across in np.ndindex(3, 3)]
        nearest = np.max(around, axis=0)
        padded[image, row + 1, column + 1] = nearest
        image, row, column = unknown = unknown[:, nearest == 0]
    return padded[:, 1:-1, 1:-1]


def near_other_class(known: Known, reach: int) -> Mask:
    """Return B x H x W bool: known pixels with one of another class at most ``reach`` rows and columns away.

    Unknown pixels and the image's edge are no other class.
    """
    higher = _around(maximum_filter, known, reach, outside=0) > known
    lower = _around(minimum_filter, np.where(known, known, 255), reach, outside=255) < known
    near: Mask = (known > 0) & (higher | lower)
    return near


def near_edge(height: int, width: int, reach: int) -> Mask:
    """Return H x W bool: pixels at most ``reach`` rows or columns from outside the image."""
    edge = np.ones((height, width), bool)
    edge[reach : max(height - reach, 0), reach : max(width - reach, 0)] = False
    return edge


def near_same_class(asked: Known, points: Known, reach: int) -> Mask:
    """Return B x H x W bool: known pixels of ``asked`` with one of the same class in ``points`` within a distance.

    Args:
        reach: the Euclidean distance in pixels.
    """
    near = np.zeros(asked.shape, bool)
    if not points.any():
        return near
    distance, _ = KDTree(_places(points, reach)).query(_places(asked, reach), distance_upper_bound=reach + 0.5)
    near[asked > 0] = distance < reach + 1e-6  # distances are roots of whole numbers
    return near


def _places(known: Known, reach: int) -> npt.NDArray[np.int64]:
    """Return where the known pixels are; images and classes lie further apart than ``reach``."""
    places = np.argwhere(known)
    places[:, 0] = (places[:, 0] * 256 + known[known > 0]) * (reach + 1)
    return places


def _around(extreme: Callable[..., Known], values: Known, reach: int, outside: int) -> Known:
    """Return the extreme value in the square of ``reach`` pixels around each pixel."""
    side = 2 * reach + 1
    found: Known = extreme(values, size=(1, side, side), mode="constant", cval=outside)
    return found
