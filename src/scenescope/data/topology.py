"""Simplifying the outlines of areas that share edges: each shared edge once, so that neighbors keep touching.

An arc runs from one point where three areas or more meet to the next. A chord replaces a part of an arc only where no
corner of any outline lies between the two or upon the chord (Saalfeld, Topologically Consistent Line Simplification,
1999): so no lines cross, no area vanishes, and no island changes sides.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Point = tuple[int, int]
"""Column and row of a corner of pixels."""
Arc = tuple[Point, ...]

_CELL = 16
_ROWS = 1024


def meeting_points(labels: npt.NDArray[np.uint8], nothing: int) -> set[Point]:
    """Return the corners at which three edges of areas or more meet, and those of the map, which are to stay.

    Around the map there is ``nothing``.
    """
    height, width = labels.shape
    found: set[Point] = {(0, 0), (width, 0), (0, height), (width, height)}
    for top in range(0, height + 1, _ROWS):  # corners top..top + _ROWS - 1, between the pixels above and below
        part = np.full((min(_ROWS, height + 1 - top) + 1, width + 2), nothing, np.uint8)
        first = max(top - 1, 0)
        rows = labels[first : top + len(part) - 1]
        part[first - top + 1 : first - top + 1 + len(rows), 1:-1] = rows
        across, down = part[:, 1:] != part[:, :-1], part[1:] != part[:-1]
        edges = across[:-1].astype(np.uint8) + across[1:] + down[:, :-1] + down[:, 1:]
        y, x = np.nonzero(edges >= 3)
        found.update(zip(x.tolist(), (y + top).tolist(), strict=True))
    return found


def simplified(rings: Sequence[Sequence[Point]], meeting: set[Point], tolerance: float) -> list[list[Point]]:
    """Simplify closed rings of corners of pixels together.

    Args:
        rings: of all areas of a map, along the edges of pixels; each ends with its first point.
        meeting: see ``meeting_points``.
        tolerance: how far a line may move, in pixels.

    Returns:
        The rings in the same order, closed, of at least three points each.
    """
    if tolerance <= 0:
        return [list(ring) for ring in rings]
    pieces = [_arcs(ring) for ring in _with_meeting_points(rings, meeting, tolerance)]
    arcs = {_canonical(arc) for ring in pieces for arc in ring}
    corners: dict[Point, list[Point]] = defaultdict(list)
    for point in {point for arc in arcs for point in arc}:
        corners[point[0] // _CELL, point[1] // _CELL].append(point)
    between = Counter(frozenset((arc[0], arc[-1])) for arc in arcs)
    shorter = {arc: _shortened(arc, corners, tolerance, between[frozenset((arc[0], arc[-1]))] > 1) for arc in arcs}
    return [_joined(ring, shorter) for ring in pieces]


def _with_meeting_points(
    rings: Iterable[Sequence[Point]], meeting: set[Point], tolerance: float
) -> Iterable[tuple[list[Point], set[Point]]]:
    """Yield each ring with the meeting points that lie on its lines, and the points at which it is to be cut."""
    by_row, by_column = defaultdict(list), defaultdict(list)
    for x, y in sorted(meeting):
        by_row[y].append(x)
        by_column[x].append(y)
    rows = {y: np.array(xs) for y, xs in by_row.items()}
    columns = {x: np.array(ys) for x, ys in by_column.items()}
    nowhere = np.empty(0, np.int64)
    for ring in rings:
        points: list[Point] = []
        for (x, y), (to_x, to_y) in pairwise(ring):
            points.append((x, y))
            along, start, end = (rows.get(y, nowhere), x, to_x) if y == to_y else (columns.get(x, nowhere), y, to_y)
            first, last = np.searchsorted(along, [min(start, end) + 1, max(start, end)])
            inner = along[first:last].tolist()
            points += [(each, y) if y == to_y else (x, each) for each in (inner if start < end else inner[::-1])]
        yield points, meeting


def _arcs(ring_and_cuts: tuple[list[Point], set[Point]]) -> list[Arc]:
    """Cut a ring, given without its last point, into arcs; one that meets no other at its first and farthest point."""
    ring, meeting = ring_and_cuts
    cuts = [index for index, point in enumerate(ring) if point in meeting]
    if len(cuts) < 2:
        first = cuts[0] if cuts else ring.index(min(ring))
        x, y = ring[first]
        # Of points equally far the smallest: both sides of the outline have to choose the same.
        farthest = max(range(len(ring)), key=lambda i: ((ring[i][0] - x) ** 2 + (ring[i][1] - y) ** 2, ring[i]))
        cuts = sorted((first, farthest))
    turned = ring[cuts[0] :] + ring[: cuts[0] + 1]
    return [tuple(turned[a - cuts[0] : b - cuts[0] + 1]) for a, b in pairwise([*cuts, cuts[0] + len(ring)])]


def _canonical(arc: Arc) -> Arc:
    return min(arc, arc[::-1])


def _joined(arcs: list[Arc], shorter: dict[Arc, Arc]) -> list[Point]:
    points: list[Point] = []
    for arc in arcs:
        known = _canonical(arc)
        points += (shorter[known] if known == arc else shorter[known][::-1])[:-1]
    return [*points, points[0]]


def _shortened(arc: Arc, corners: dict[Point, list[Point]], tolerance: float, twin: bool) -> Arc:
    """Douglas and Peucker's algorithm, with chords that nothing lies under.

    Args:
        twin: another arc joins the same two ends: so that no area between them vanishes, this one keeps a point.
    """
    points = np.array(arc, np.int64)
    kept, todo = {0, len(arc) - 1}, [(0, len(arc) - 1)]
    while todo:
        start, end = todo.pop()
        if end - start < 2:
            continue
        distances = _distances(points[start : end + 1])
        farthest = int(distances.argmax())
        whole = twin and (start, end) == (0, len(arc) - 1)
        if whole or distances[farthest] > tolerance or _holds_a_corner(arc[start : end + 1], corners):
            middle = start + max(1, min(farthest, end - start - 1))
            kept.add(middle)
            todo += [(start, middle), (middle, end)]
    return tuple(arc[index] for index in sorted(kept))


def _distances(points: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return how far each point is from the line between the first and the last."""
    (x, y), (dx, dy) = (points - points[0]).T, points[-1] - points[0]
    # The division last: so that the numbers are the same from both ends.
    distances: npt.NDArray[np.float64] = np.abs(x * dy - y * dx) / max(np.hypot(dx, dy), 1e-9)
    return distances if dx or dy else np.hypot(x, y)


def _holds_a_corner(run: Arc, corners: dict[Point, list[Point]]) -> bool:
    """Tell whether a corner that is not of this run lies between it and its chord, or on the chord."""
    own = set(run)
    xs, ys = [x for x, _ in run], [y for _, y in run]
    left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
    (ax, ay), (bx, by) = run[0], run[-1]
    sides = list(pairwise([*run, run[0]]))
    for cell_x in range(left // _CELL, right // _CELL + 1):
        for cell_y in range(top // _CELL, bottom // _CELL + 1):
            for x, y in corners.get((cell_x, cell_y), ()):
                if not (left <= x <= right and top <= y <= bottom) or (x, y) in own:
                    continue
                if (bx - ax) * (y - ay) == (by - ay) * (x - ax):
                    return True  # upon the chord, since it lies within the run's box
                inside = False
                for (px, py), (qx, qy) in sides:
                    if (py > y) != (qy > y):
                        crossing = (qx - px) * (y - py) - (x - px) * (qy - py)
                        inside ^= (crossing > 0) == (qy > py)
                if inside:
                    return True
    return False
