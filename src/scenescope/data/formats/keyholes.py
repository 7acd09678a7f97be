"""An area with holes as one ring, for formats that know no holes; and a ring for tools that fill its border as well.

From a hole a straight bridge leads left to the next ring, and the one ring walks over it and back along the same line.
So its even-odd rule, and its winding number as well, give the same pixels as those of all rings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ring = npt.NDArray[np.int32]


def bridged(rings: Sequence[Ring]) -> Ring:
    """Return one ring of an area: the exterior, with a bridge to each hole.

    Args:
        rings: of one area, as ``Outlines.of`` returns them; each P x 2.
    """
    if len(rings) == 1:
        return rings[0]
    corners = [_every_corner(ring) for ring in rings]
    points = np.concatenate(corners)
    ends = np.cumsum([len(ring) for ring in corners])
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = ends - [len(ring) for ring in corners]
    # A bridge begins at the topmost of the leftmost corners of a hole. All pixels around it are the area's, until it
    # meets a corner that is on a ring: the next to the left. (Two rings may meet in the corner itself.)
    begins = np.array([end - len(ring) + np.lexsort(ring.T[::-1])[0] for end, ring in zip(ends, corners, strict=True)])
    begins = begins[1:]
    is_begin = np.zeros(len(points), np.int64)
    is_begin[begins] = 1
    order = np.lexsort((is_begin, points[:, 0], points[:, 1]))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    meets = order[place[begins] - 1]
    # To the hole over a bridge, around it, back over the bridge, and on: both ends are passed twice.
    second_begins = len(points) + np.arange(len(begins))
    second_meets = second_begins + len(begins)
    following = np.concatenate((following, following[begins], following[meets]))
    following[meets], following[begins] = second_begins, second_meets
    points = np.concatenate((points, points[begins], points[meets]))
    successor, walk = following.tolist(), [0]
    while successor[walk[-1]] != 0:
        walk.append(successor[walk[-1]])
    return _turning_points(points[walk])


def through_centers(ring: Ring) -> Ring:
    """Return a ring through the centers of an area's outermost pixels, as whole numbers of column and row.

    Tools that fill a polygon and draw its border as well, such as Pillow and OpenCV, then fill the area's very pixels.
    The ring has at least three points, some of which may be the same.

    Args:
        ring: of a whole area, from ``bridged``.
    """
    after = np.sign(np.roll(ring, -1, axis=0) - ring)
    before = np.roll(after, 1, axis=0)
    left = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0] < 0
    # Twice the way from a corner to the center that the ring goes through: of the pixel that both lines have on their
    # right hand, or of the one beyond both. Where the ring comes by twice that is none of the area's: then it goes
    # straight from the pixel before the corner to the one behind it.
    ways = np.repeat(np.where(left[:, None], before - after, after - before)[:, None], 2, axis=1)
    _, which, times = np.unique(ring[left], axis=0, return_inverse=True, return_counts=True)
    twice = np.flatnonzero(left)[times[which.reshape(-1)] == 2]
    ways[twice, 1] = (before + after)[twice]
    ways[twice, 0] = -ways[twice, 1]
    centers = ((2 * ring[:, None] + ways - 1) // 2).reshape(-1, 2)
    changed = (centers != np.roll(centers, 1, axis=0)).any(axis=1)
    centers = centers[changed] if changed.any() else centers[:1]
    padding = np.repeat(centers[-1:], max(3 - len(centers), 0), axis=0)
    return np.concatenate((centers, padding)).astype(np.int32)


def _every_corner(ring: Ring) -> Ring:
    """Return a ring with the corners of all pixels that it passes."""
    steps = np.roll(ring, -1, axis=0) - ring
    lengths = np.abs(steps).max(axis=1)
    step = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    passed = np.repeat(ring, lengths, axis=0) + step[:, None] * np.repeat(np.sign(steps), lengths, axis=0)
    return np.asarray(passed, np.int32)


def _turning_points(ring: Ring) -> Ring:
    """Return a ring without points that are repeated or in the middle of a line."""
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    after = np.sign(np.roll(ring, -1, axis=0) - ring)
    turns: Ring = ring[(after != np.roll(after, 1, axis=0)).any(axis=1)]
    return turns
