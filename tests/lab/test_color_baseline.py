import numpy as np

from scenescope.data.dataset import LabeledImage
from scenescope.lab.color_baseline import fit_colors, predict_colors
from scenescope.labels import IGNORE

BLACK, RED, BLUE = (0, 0, 0), (250, 0, 0), (0, 0, 250)


def scene(colors: list[tuple[int, int, int]], labels: list[int]) -> LabeledImage:
    return LabeledImage(np.array([colors], np.uint8), np.array([labels], np.uint8), "by hand")


def test_most_frequent_class_of_a_color_wins() -> None:
    table = fit_colors([scene([RED, RED, BLUE], [2, 1, 0]), scene([RED, BLUE, BLUE], [2, 0, 1])], 3)
    assert predict_colors(np.array([[RED, BLUE]], np.uint8), table).tolist() == [[2, 0]]


def test_unseen_color_gets_the_most_frequent_class() -> None:
    table = fit_colors([scene([RED, BLUE, BLUE], [0, 1, 1])], 2)
    assert predict_colors(np.array([[BLACK]], np.uint8), table).tolist() == [[1]]


def test_ignored_pixels_teach_nothing() -> None:
    table = fit_colors([scene([RED, RED, RED], [IGNORE, IGNORE, 1])], 2)
    assert predict_colors(np.array([[RED]], np.uint8), table).tolist() == [[1]]


def test_neighboring_shades_share_a_bin_and_distant_ones_do_not() -> None:
    table = fit_colors([scene([(16, 0, 0), (32, 0, 0)], [0, 1])], 2)
    assert predict_colors(np.array([[(31, 15, 15), (32, 0, 0)]], np.uint8), table).tolist() == [[0, 1]]


def test_order_of_channels_matters() -> None:
    table = fit_colors([scene([RED, BLUE, (0, 250, 0)], [0, 1, 2])], 3)
    assert predict_colors(np.array([[(0, 250, 0), BLUE, RED]], np.uint8), table).tolist() == [[2, 1, 0]]
