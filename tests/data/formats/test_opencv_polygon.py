from __future__ import annotations

import numpy as np
import pytest

from scenescope.data.formats.opencv_polygon import opencv_polygon
from scenescope.errors import DataError

# What cv2.fillPoly (OpenCV 4.14, 5.0) has drawn; rows of the image as numbers, the left pixel is the highest bit.
DRAWN = [
    ([(1, 1), (6, 1), (6, 4), (1, 4)], [0, 126, 126, 126, 126, 0]),
    ([(0, 0), (7, 5), (0, 5)], [128, 224, 240, 248, 254, 255]),
    ([(0, 0), (7, 5), (7, 0), (0, 5)], [129, 231, 255, 255, 231, 129]),
    ([(3, 0), (7, 3), (2, 5), (0, 1)], [48, 252, 254, 127, 124, 48]),
    ([(1, 0), (2, 5), (1, 0)], [64, 64, 64, 32, 32, 32]),
    ([(4, 2), (4, 2), (4, 2)], [0, 0, 8, 0, 0, 0]),
    ([(7, 0), (0, 1), (6, 3), (1, 5), (7, 4)], [15, 255, 63, 7, 31, 120]),
]


@pytest.mark.parametrize(("corners", "rows"), DRAWN)
def test_pixels_that_opencv_has_drawn(corners: list[tuple[int, int]], rows: list[int]) -> None:
    expected = [[bool(row >> 7 - x & 1) for x in range(8)] for row in rows]
    np.testing.assert_array_equal(opencv_polygon(corners, 6, 8), expected)


def test_equals_opencv_where_that_is_installed() -> None:
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    for _ in range(300):
        height, width = (int(side) for side in rng.integers(2, 60, 2))
        corners = np.stack([rng.integers(0, width, 9), rng.integers(0, height, 9)], axis=1).astype(np.int32)
        drawn = cv2.fillPoly(np.zeros((height, width), np.uint8), [corners], 1)
        np.testing.assert_array_equal(opencv_polygon([(x, y) for x, y in corners.tolist()], height, width), drawn > 0)


def test_a_polygon_larger_than_the_image_fills_it() -> None:
    assert opencv_polygon([(-9, -9), (20, -9), (20, 20), (-9, 20)], 5, 4).all()
    assert not opencv_polygon([(6, 6), (9, 6), (9, 9)], 5, 4).any()


@pytest.mark.parametrize(
    ("corners", "told"), [([(0, 0), (3, 3)], "2 points"), ([(0, 0), (2**40, 0), (0, 9)], "far outside")]
)
def test_refuses_what_is_no_polygon_or_endless(corners: list[tuple[int, int]], told: str) -> None:
    with pytest.raises(DataError, match=told):
        opencv_polygon(corners, 6, 8)
