import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from scenescope.data.formats.tidying import tidied

LABELS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 0, 0, 1, 255]))


def rows(text):
    """Labels by their digits, a dot for 255."""
    return np.array([[255 if sign == "." else int(sign) for sign in line] for line in text.split()], np.uint8)


def test_holes_by_hand():
    labels = rows("00000 01200 01100 00003")
    # 1 and 2 together are a hole of four pixels; 3 touches the border.
    assert tidied(labels, fill_holes=4).tolist() == labels.tolist()
    assert tidied(labels, fill_holes=5).tolist() == rows("00000 00000 00000 00003").tolist()


def test_the_outermost_hole_counts():
    labels = rows("0000000 0111110 0122210 0120210 0122210 0111110 0000000")
    innermost = rows("0000000 0111110 0122210 0122210 0122210 0111110 0000000")
    assert tidied(labels, fill_holes=2).tolist() == innermost.tolist()
    assert not tidied(labels, fill_holes=26).any()


def test_small_areas_by_hand():
    labels = rows("0011 0001 2000 0200")
    assert tidied(labels, min_area=3).tolist() == rows("0011 0001 .000 ..00").tolist()
    assert tidied(labels, min_area=4).tolist() == rows("00.. 000. .000 ..00").tolist()


def test_holes_come_first():
    labels = rows("000 010 000")
    assert tidied(labels, min_area=2, fill_holes=2).tolist() == rows("000 000 000").tolist()
    assert tidied(labels, min_area=2).tolist() == rows("000 0.0 000").tolist()


@given(LABELS, st.integers(0, 30), st.integers(0, 30))
def test_as_a_slow_loop(labels, min_area, fill_holes):
    """Each area by itself, its holes by scipy.ndimage.binary_fill_holes, from the smallest to the largest."""
    holes = []
    for label in (0, 1):
        areas, count = ndimage.label(labels == label)
        for number in range(1, count + 1):
            of_area = areas == number
            inside, found = ndimage.label(ndimage.binary_fill_holes(of_area) & ~of_area)
            holes += [(inside == hole, label) for hole in range(1, found + 1)]
    expected = labels.copy()
    for hole, label in sorted(holes, key=lambda each: each[0].sum()):
        if hole.sum() < fill_holes:
            expected[hole] = label
    filled = expected.copy()
    for label in (0, 1):
        areas, count = ndimage.label(filled == label)
        for number in range(1, count + 1):
            if (areas == number).sum() < min_area:
                expected[areas == number] = 255
    before = labels.copy()
    np.testing.assert_array_equal(tidied(labels, min_area, fill_holes), expected)
    np.testing.assert_array_equal(labels, before)
