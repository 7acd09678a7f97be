from __future__ import annotations

import numpy as np
import pytest

from scenescope.data.formats.opencv_polygon import Point, opencv_polygon
from scenescope.errors import DataError

# What OpenCV 5.0 draws: cv2.fillPoly(np.zeros((height, width), np.uint8), [np.array(points, np.int32)], 1)
BY_OPENCV: list[tuple[list[Point], list[str]]] = [
    (
        [(2, 1), (12, 4), (5, 10)],
        [
            "..............",
            "..##..........",
            "..######......",
            "...########...",
            "...##########.",
            "...#########..",
            "....#######...",
            "....######....",
            "....####......",
            ".....##.......",
            ".....#........",
        ],
    ),
    ([(3, 6), (0, 6), (4, 0)], ["...#", "...#", "..##", ".###", ".###", "####"]),
    ([(1, 1), (1, 1), (1, 1)], ["...", ".#.", "..."]),
    ([(0, 0), (2, 2), (4, 4)], ["#...", ".#..", "..#.", "...#"]),
    ([(0, 0), (3, 3), (3, 0), (0, 3)], ["#..#", "####", "####", "#..#"]),
]


@pytest.mark.parametrize(("points", "rows"), BY_OPENCV)
def test_polygons_as_opencv_draws_them(points: list[Point], rows: list[str]) -> None:
    expected = np.array([[pixel == "#" for pixel in row] for row in rows])
    drawn = opencv_polygon(points, *expected.shape)
    assert ["".join(".#"[pixel] for pixel in row) for row in drawn.astype(int)] == rows


def test_inside_is_what_a_slow_loop_finds() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        height, width = (int(side) for side in rng.integers(4, 20, 2))
        points = [(int(x), int(y)) for x, y in rng.integers(0, (width, height), (5, 2))]
        drawn = opencv_polygon(points, height, width)
        for y in range(height):
            for x in range(width):
                crossed = on_edge = False
                for (x0, y0), (x1, y1) in zip(points[-1:] + points[:-1], points, strict=True):
                    if (y0 > y) != (y1 > y):
                        at = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
                        crossed ^= x < at
                        on_edge |= abs(x - at) < 1e-3
                if not on_edge and crossed:
                    assert drawn[y, x]
        assert all(drawn[y, x] for x, y in points)


def test_a_polygon_larger_than_the_image_fills_it() -> None:
    assert opencv_polygon([(-9, -9), (20, -9), (20, 20), (-9, 20)], 12, 12).all()
    with pytest.raises(DataError, match="outside"):
        opencv_polygon([(6, 6), (9, 6), (9, 9)], 5, 4)


@pytest.mark.parametrize(
    ("corners", "told"), [([(0, 0), (3, 3)], "2 points"), ([(0, 0), (2**40, 0), (0, 9)], "far outside")]
)
def test_refuses_what_is_no_polygon_or_endless(corners: list[tuple[int, int]], told: str) -> None:
    with pytest.raises(DataError, match=told):
        opencv_polygon(corners, 6, 8)
