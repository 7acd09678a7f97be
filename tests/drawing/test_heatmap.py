import numpy as np

from scenescope.drawing.heatmap import heat, mark_points, over

DARK, BRIGHT = [0, 0, 4], [252, 255, 164]
"""First and last color of inferno."""


def test_minimum_is_dark_and_maximum_bright() -> None:
    image = heat(np.array([[3.0, -1.0], [3.0, -1.0]]), (2, 2))
    assert image.tolist() == [[BRIGHT, DARK], [BRIGHT, DARK]]


def test_heat_ignores_scale_and_offset() -> None:
    values = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    distance = heat(values, (14, 10)).astype(int) - heat(values * 1e-6 - 4e-7, (14, 10))
    assert abs(distance).max() <= 3


def test_brightness_rises_with_the_value() -> None:
    image = heat(np.linspace(0, 1, 9)[None], (9, 1)).astype(int)
    luma = image @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(luma[0]) > 0).all()


def test_constant_map_is_dark() -> None:
    assert (heat(np.full((2, 3), 7.0), (6, 4)) == DARK).all()


def test_size_is_width_then_height() -> None:
    assert heat(np.eye(3), (40, 20)).shape == (20, 40, 3)


def test_over_by_hand() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    values = np.array([[1.0, 0.0], [1.0, 0.0]])
    mixed = over(image, values, opacity=0.5)
    assert mixed[0, 0].tolist() == [176, 178, 132]
    assert mixed[0, 1].tolist() == [50, 50, 52]
    assert np.array_equal(over(image, values, opacity=0.0), image)


def test_a_map_that_ends_within_the_last_pixel_reaches_the_border() -> None:
    values = np.array([[0.0], [1.0]])
    short = heat(values, (1, 22), (0, 0, 1, 2 * 16 / 1.5))
    assert short.shape == (22, 1, 3)
    assert short[-1, 0].tolist() == BRIGHT


def test_peak_lies_over_its_own_place() -> None:
    values = np.zeros((4, 6))
    values[1, 4] = 1.0
    image = over(np.zeros((40, 60, 3), np.uint8), values, opacity=1.0).sum(axis=2)
    y, x = np.unravel_index(image.argmax(), image.shape)
    assert 10 <= y < 20
    assert 40 <= x < 50


def test_marks_surround_their_points_only() -> None:
    image = np.full((80, 120, 3), 128, np.uint8)
    marked = mark_points(image, [(30, 20), (119, 79)])
    assert (image == 128).all(), "the image given is not touched"
    y, x = np.nonzero((marked != 128).any(axis=2))
    near_first = (abs(x - 30) <= 6) & (abs(y - 20) <= 6)
    near_second = (abs(x - 119) <= 6) & (abs(y - 79) <= 6)
    assert near_first.any()
    assert near_second.any()
    assert (near_first | near_second).all()
    assert marked[20, 30].tolist() == [255, 255, 255]


def test_a_map_that_goes_past_the_image_is_cut_and_not_squeezed():
    values = np.array([[0.0, 1.0, 2.0]])
    whole = heat(values, (24, 8))
    np.testing.assert_array_equal(heat(values, (18, 8), (0, 0, 24, 8)), whole[:, :18])
    np.testing.assert_array_equal(heat(values, (20, 8), (-4, 0, 20, 8)), whole[:, 4:])
