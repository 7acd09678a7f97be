import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from scenescope.data.formats.outlines import trace

LABELS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3))


def connected(labels):
    """Number the areas of each value but 0 that are connected by edges."""
    areas, count = np.zeros(labels.shape, np.int64), 0
    for value in set(labels.flat) - {0}:
        numbered, found = ndimage.label(labels == value)
        areas[numbered > 0] = numbered[numbered > 0] + count
        count += found
    return areas


def drawn(rings, shape):
    """The even-odd rule at each pixel's center, by a loop: how many vertical lines lie to its right?"""
    inside = np.zeros(shape, bool)
    for y, x in np.ndindex(shape):
        for ring in rings:
            for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
                assert (x0 == x1) != (y0 == y1)
                inside[y, x] ^= x0 == x1 and x0 > x and min(y0, y1) < y + 0.5 < max(y0, y1)
    return inside


def test_three_of_four_pixels_by_hand():
    outlines = trace(np.array([[1, 1], [1, 0]]))
    assert [ring.tolist() for ring in outlines.of(1)] == [[[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]]]
    assert outlines.pixels.tolist() == [3]
    assert outlines.of(2) == []


def test_a_frame_by_hand():
    outlines = trace(np.pad([[0]], 1, constant_values=7))
    exterior, hole = outlines.of(7)
    assert exterior.tolist() == [[0, 0], [3, 0], [3, 3], [0, 3]]
    assert hole.tolist() == [[1, 2], [2, 2], [2, 1], [1, 1]]
    assert outlines.pixels.tolist() == [9, -1]


def test_a_hole_that_meets_the_outside_in_a_corner_stays_a_hole():
    """Taken along by the exterior it would make the ring touch itself, which tools refuse as invalid."""
    outlines = trace(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1]]))
    assert outlines.pixels.tolist() == [8, -1]


@given(LABELS)
def test_rings_drawn_again_are_the_areas(labels):
    areas = connected(labels)
    outlines = trace(areas)
    for area in range(1, areas.max() + 1):
        rings = outlines.of(area)
        np.testing.assert_array_equal(drawn(rings, labels.shape), areas == area)
        # No ring meets itself, so the polygon is valid, and only the first is an exterior.
        assert all(len({*map(tuple, ring.tolist())}) == len(ring) for ring in rings)
        pixels = outlines.pixels[outlines.areas == area]
        assert [size > 0 for size in pixels] == [True] + [False] * (len(rings) - 1)
        assert pixels.sum() == (areas == area).sum()
        # No point is in the middle of a line.
        for ring in rings:
            steps = np.diff(ring, axis=0, append=ring[:1]) != 0
            assert (steps != np.roll(steps, 1, axis=0)).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 0), (0, 0), (2, 3)])
def test_nothing_has_no_outline(shape):
    outlines = trace(np.zeros(shape, np.int64))
    assert len(outlines.points) == len(outlines.areas) == 0
    assert outlines.of(1) == []
