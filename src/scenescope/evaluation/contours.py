"""Where classes meet in a label map: the pixels near another class, and the classes with a contour near each pixel.

Maps are ``known``: B x H x W uint8, 1 + class 0..K-1, and 0 where the class is not known. All classes are treated at
once, by shifting whole maps, so that the time does not grow with K.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

_BITS = 8


def fill_unknown(known: Tensor, reach: int) -> Tensor:
    """Give unknown pixels at most ``reach`` steps from a known one the class of the nearest; diagonals are one step.

    Of several nearest the highest class is taken.
    """
    for _ in range(reach):
        unknown = known == 0
        if not unknown.any():
            break
        known = torch.where(unknown, _largest_around(known, 1), known)
    return known


def near_other_class(known: Tensor, reach: int) -> Tensor:
    """Return B x H x W bool: known pixels with one of another class at most ``reach`` rows and columns away.

    Unknown pixels and the picture's edge are no other class.
    """
    # Another class is in the square around a pixel if the highest or the lowest there is not its own.
    mirrored = torch.where(known > 0, 255 - known, 0)
    higher = _largest_around(known, reach) > known
    lower = _largest_around(mirrored, reach) > mirrored
    return (known > 0) & (higher | lower)


def near_edge(known: Tensor, reach: int) -> Tensor:
    """Return H x W bool: pixels at most ``reach`` rows or columns from outside the picture."""
    edge = torch.ones(known.shape[-2:], dtype=torch.bool, device=known.device)
    edge[reach : max(edge.shape[0] - reach, 0), reach : max(edge.shape[1] - reach, 0)] = False
    return edge


def near_same_class(asked: Tensor, points: Tensor, num_classes: int, reach: int) -> Tensor:
    """Return B x H x W bool: pixels of ``asked`` with one of the same class in ``points`` within a distance.

    Args:
        asked: known classes, as ``points``.
        num_classes: K.
        reach: the Euclidean distance in pixels.
    """
    # One bit for each class, eight to a word: B x ceil(K / 8) x H x W.
    words = torch.arange(math.ceil(num_classes / _BITS), dtype=torch.uint8, device=points.device).view(-1, 1, 1)
    at_points = torch.where(_word(points) == words, _bit(points), 0)
    row, half_width, near = at_points.clone(), 0, torch.zeros_like(at_points)
    # The disc row by row, from its narrow ends to its middle.
    for rise in range(reach, -1, -1):
        while half_width < math.isqrt(reach**2 - rise**2):
            half_width += 1
            _join_shifted(row, at_points, half_width, -1, torch.bitwise_or)
        _join_shifted(near, row, rise, -2, torch.bitwise_or)
    own = near.gather(1, _word(asked).clamp(max=len(words) - 1).long())
    return ((own & _bit(asked)) > 0).squeeze(1)


def _word(known: Tensor) -> Tensor:
    """Return B x 1 x H x W: which word holds the class of each pixel."""
    return (known.clamp(min=1) - 1).unsqueeze(1) // _BITS


def _bit(known: Tensor) -> Tensor:
    """Return B x 1 x H x W: the class of each pixel as a bit of its word, 0 where it is not known."""
    one = (known > 0).to(torch.uint8)
    return (one << (known.clamp(min=1) - 1) % _BITS).unsqueeze(1)


def _largest_around(values: Tensor, reach: int) -> Tensor:
    """Return the largest value in the square of ``reach`` pixels around each pixel."""
    for dim in (-2, -1):
        reached = 0
        while reached < reach:
            # Each pixel knows ``reached`` around it. Not further: views from outside the picture are missing.
            shift = min(reached + 1, reach - reached)
            joined = values.clone()
            _join_shifted(joined, values, shift, dim, torch.maximum)
            values, reached = joined, reached + shift
    return values


def _join_shifted(into: Tensor, values: Tensor, shift: int, dim: int, join: Callable[..., Tensor]) -> None:
    """Join the values ``shift`` pixels before and after each pixel into ``into``."""
    length = values.shape[dim] - shift
    if length <= 0:
        return
    for target, source in ((shift, 0), (0, shift)):
        place = into.narrow(dim, target, length)
        join(place, values.narrow(dim, source, length), out=place)
