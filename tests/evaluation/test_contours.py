import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from scenescope.evaluation.contours import fill_unknown, near_edge, near_other_class, near_same_class


@st.composite
def maps(draw):
    """Return H x W known classes in blobs, some of them unknown (0), and how many classes there are."""
    height, width = draw(st.integers(1, 17)), draw(st.integers(1, 17))
    num_classes = draw(st.sampled_from([1, 3, 8, 9, 255]))
    generator = np.random.default_rng(draw(st.integers(0, 999)))
    blobs = generator.integers(1, num_classes + 1, (-(-height // 3), -(-width // 3))).astype(np.uint8)
    known = blobs.repeat(3, axis=0).repeat(3, axis=1)[:height, :width].copy()
    known[generator.random(known.shape) < draw(st.sampled_from([0, 0.1, 0.7]))] = 0
    return known, num_classes


def batch(known):
    return np.stack([known, known[::-1]])


def upper(found):
    """Return the first image of a batch of two, of which the second is the first upside down."""
    first, second = found
    assert (second == first[::-1]).all()
    return first


@given(drawn=maps(), reach=st.integers(0, 9))
def test_filling_equals_a_search_for_the_nearest(drawn, reach):
    known, _ = drawn
    expected = known.copy()
    rows, columns = np.nonzero(known)
    for y, x in zip(*np.nonzero(known == 0), strict=True):
        distances = np.maximum(abs(rows - y), abs(columns - x))
        nearest = distances.min(initial=99)
        if nearest <= reach:
            expected[y, x] = known[rows[distances == nearest], columns[distances == nearest]].max()
    assert (upper(fill_unknown(batch(known), reach)) == expected).all()


@given(drawn=maps(), reach=st.integers(1, 20))
def test_near_another_class_equals_a_distance_transform(drawn, reach):
    known, _ = drawn
    expected = np.zeros(known.shape, bool)
    for value in set(known.flat) - {0}:
        others = (known > 0) & (known != value)
        if others.any():
            expected |= (known == value) & (ndimage.distance_transform_cdt(~others, "chessboard") <= reach)
    assert (upper(near_other_class(batch(known), reach)) == expected).all()


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (12, 7)])
@pytest.mark.parametrize("reach", [1, 2, 3, 50])
def test_near_the_edge_equals_a_distance_transform(size, reach):
    inside = np.pad(np.ones(size, bool), 1)
    expected = ndimage.distance_transform_cdt(inside, "chessboard")[1:-1, 1:-1] <= reach
    assert (near_edge(*size, reach) == expected).all()


@given(drawn=maps(), reach=st.integers(0, 20), seed=st.integers(0, 99))
def test_near_the_same_class_equals_a_distance_transform(drawn, reach, seed):
    asked, _ = drawn
    generator = np.random.default_rng(seed)
    points = generator.permutation(asked.ravel()).reshape(asked.shape)
    points[generator.random(asked.shape) < 0.8] = 0
    expected = np.zeros(asked.shape, bool)
    for value in set(asked.flat) - {0}:
        if (points == value).any():
            expected |= (asked == value) & (ndimage.distance_transform_edt(points != value) <= reach)
    assert (upper(near_same_class(batch(asked), batch(points), reach)) == expected).all()
