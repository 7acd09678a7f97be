from pathlib import Path

import numpy as np
from PIL import Image

from scenescope.drawing.overlay import blend, colorize, label_image, present, with_legend
from scenescope.labels import IGNORE, Classes

NAMES = ("road", "tree", "car")
PALETTE = ((200, 100, 0), (0, 250, 0), (0, 0, 251))
LABELS = np.array([[0, 1], [2, IGNORE]], np.uint8)


def colors(image: Image.Image) -> set[tuple[int, int, int]]:
    return {tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()}


def test_colorize_by_hand() -> None:
    expected = [[[200, 100, 0], [0, 250, 0]], [[0, 0, 251], [0, 0, 0]]]
    assert colorize(LABELS, PALETTE).tolist() == expected


def test_blend_by_hand_leaves_ignored_pixels_alone() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    expected = [[[125, 100, 75], [75, 138, 75]], [[75, 75, 138], [100, 100, 100]]]
    assert blend(image, LABELS, PALETTE, opacity=0.25).tolist() == expected
    assert blend(image, LABELS, PALETTE, opacity=0.0).tolist() == image.tolist()


def test_legend_shows_only_present_classes() -> None:
    image = np.full((40, 300, 3), 255, np.uint8)
    page = with_legend(image, NAMES, PALETTE, shares=[0.3, 0.0, 0.7])
    assert PALETTE[0] in colors(page)
    assert PALETTE[2] in colors(page)
    assert PALETTE[1] not in colors(page)
    assert PALETTE[1] in colors(with_legend(image, NAMES, PALETTE))


def test_legend_puts_the_largest_share_first() -> None:
    page = np.asarray(with_legend(np.full((40, 300, 3), 255, np.uint8), NAMES, PALETTE, shares=[0.3, 0.0, 0.7]))
    columns = [np.argwhere((page == color).all(axis=2))[:, 1].min() for color in (PALETTE[2], PALETTE[0])]
    assert columns[0] < columns[1]


def test_legend_keeps_the_image_and_lies_below() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 200, 3), dtype=np.uint8)
    page = np.asarray(with_legend(image, NAMES, PALETTE))
    assert np.array_equal(page[:30, :200], image)
    assert page.shape[0] > 30


def test_legend_wraps_many_names_and_widens_for_a_long_one() -> None:
    image = np.zeros((20, 160, 3), np.uint8)
    names = [f"class number {index}" for index in range(12)]
    palette = [(index + 1, 200, 100) for index in range(12)]
    page = with_legend(image, names, palette)
    assert set(palette) <= colors(page)
    assert page.width == 160
    assert with_legend(image, ["a very long name " * 3], [(1, 2, 3)]).width > 160


def test_nothing_to_explain_gives_no_legend() -> None:
    image = np.zeros((20, 60, 3), np.uint8)
    assert with_legend(image, NAMES, PALETTE, shares=[0, 0, 0]).size == (60, 20)


def test_a_label_image_reads_back_equal_and_in_color(tmp_path: Path) -> None:
    label_image(LABELS, PALETTE).save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == "P"
        assert np.asarray(image).tolist() == LABELS.tolist()
        assert np.array_equal(np.asarray(image.convert("RGB")), colorize(LABELS, PALETTE))


def test_the_classes_that_are_in_some_maps_keep_their_names_and_colors():
    classes = Classes.named(["road", "sky", "car"], [(1, 1, 1), (2, 2, 2), (3, 3, 3)])
    seen = present(classes, np.array([[2, 255]], np.uint8), np.array([[0]], np.uint8))
    assert seen.names == ("road", "car")
    assert seen.palette == ((1, 1, 1), (3, 3, 3))
