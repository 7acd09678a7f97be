from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scenescope.data.masks import LabelTable, count_raw_values, decode, pack, shown_color
from scenescope.errors import DataError, ImageError, LabelError
from scenescope.labels import IGNORE

VALUES = LabelTable.of_values([[10], [20, 21], [300]], ignore=[0, 65535])
RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
COLORS = LabelTable.of_colors([[RED], [GREEN, BLUE]], ignore=[BLACK])
HERE = Path("mask.png")


def saved(array: np.ndarray, path: Path) -> Path:
    Image.fromarray(array).save(path)
    return path


@given(st.lists(st.lists(st.integers(0, 65535), min_size=1, max_size=3), min_size=1, max_size=5), st.data())
def test_values_equal_a_loop_over_the_pixels(groups: list[list[int]], data: st.DataObject) -> None:
    meanings: dict[int, int] = {}
    for label, group in enumerate(groups):
        for value in group:
            meanings.setdefault(value, label)
    disjoint = [[value for value in set(group) if meanings[value] == label] for label, group in enumerate(groups)]
    pixels = data.draw(st.lists(st.sampled_from(sorted(meanings)), min_size=1, max_size=20))
    labels = LabelTable.of_values(disjoint).to_labels(np.array([pixels], dtype=np.uint16), HERE)
    assert labels.tolist() == [[meanings[pixel] for pixel in pixels]]


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=2, max_size=9, unique=True), st.data())
def test_colors_equal_a_loop_over_the_pixels(colors: list[tuple[int, int, int]], data: st.DataObject) -> None:
    table = LabelTable.of_colors([[color] for color in colors[1:]], ignore=[colors[0]])
    pixels = data.draw(st.lists(st.sampled_from(colors), min_size=1, max_size=20))
    labels = table.to_labels(np.array([pixels], dtype=np.uint8), HERE)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[IGNORE if colors.index(p) == 0 else colors.index(p) - 1 for p in pixels]]


def test_a_palette_gives_its_indices_and_not_its_colors(tmp_path: Path) -> None:
    indices = np.array([[0, 10, 20], [21, 10, 0]], dtype=np.uint8)
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.ravel())
    image.putpalette([7, 8, 9] * 256)
    image.save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", VALUES).tolist() == [[255, 0, 1], [1, 0, 255]]


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_8_bit_gray(tmp_path: Path, suffix: str) -> None:
    path = saved(np.array([[10, 20], [0, 21]], dtype=np.uint8), tmp_path / f"a.{suffix}")
    assert decode(path, VALUES).tolist() == [[0, 1], [255, 1]]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.ppm"])
def test_16_bit_gray_keeps_large_values(tmp_path: Path, name: str) -> None:
    path = saved(np.array([[10, 300, 65535]], dtype=np.uint16), tmp_path / name)
    assert decode(path, VALUES).tolist() == [[0, 2, 255]]


def test_1_bit_and_transparent_gray(tmp_path: Path) -> None:
    path = saved(np.array([[True, False]]), tmp_path / "a.png")
    assert decode(path, LabelTable.of_values([[0], [1]])).tolist() == [[1, 0]]
    path = saved(np.array([[[10, 0], [20, 255]]], dtype=np.uint8), tmp_path / "b.png")
    assert decode(path, VALUES).tolist() == [[0, 1]]


def test_colors_from_rgb_rgba_palette_and_16_bit(tmp_path: Path, png: Callable[..., bytes]) -> None:
    colors = np.array([[RED, GREEN], [BLUE, BLACK]], dtype=np.uint8)
    expected = [[0, 1], [1, 255]]
    assert decode(saved(colors, tmp_path / "rgb.png"), COLORS).tolist() == expected
    alpha = np.array([[0, 1], [128, 255]], dtype=np.uint8)
    assert decode(saved(np.dstack([colors, alpha]), tmp_path / "rgba.png"), COLORS).tolist() == expected
    Image.fromarray(colors).quantize(4).save(tmp_path / "palette.png")
    assert decode(tmp_path / "palette.png", COLORS).tolist() == expected
    wide = np.dstack([colors.astype(">u2") * 257, np.zeros((2, 2), ">u2")]).astype(">u2")
    rows = b"".join(b"\x00" + row.tobytes() for row in wide)
    (tmp_path / "wide.png").write_bytes(png(2, 2, 16, 6, rows))
    assert decode(tmp_path / "wide.png", COLORS).tolist() == expected


def test_an_unknown_value_names_file_value_pixel_count_and_remedy(tmp_path: Path) -> None:
    raw = np.full((4, 6), 10, dtype=np.uint8)
    raw[2, 5], raw[3, 0], raw[3, 1] = 37, 38, 37
    path = saved(raw, tmp_path / "a.png")
    table = LabelTable.of_values([[10], [20]], [0], remedy="do this")
    with pytest.raises(LabelError) as caught:
        decode(path, table)
    assert str(caught.value) == (
        f"{path}: value 37 at pixel (x=5, y=2) is neither a class nor ignored "
        "(3 pixels, 2 such values; known: 0, 10, 20); do this."
    )


def test_an_unknown_color_is_told_as_a_color(tmp_path: Path) -> None:
    path = saved(np.array([[RED, (254, 0, 1)]], dtype=np.uint8), tmp_path / "a.png")
    with pytest.raises(LabelError, match=r"color \(254, 0, 1\) at pixel \(x=1, y=0\) .* \(1 pixel; known: \(0, 0, 0\)"):
        decode(path, COLORS)


@pytest.mark.parametrize("value", [-1, 65536, 2**31 - 1])
def test_values_beyond_16_bit_are_unknown(value: int) -> None:
    with pytest.raises(LabelError, match=f"value {value} at"):
        VALUES.to_labels(np.array([[10, value]], dtype=np.int32), HERE)


def test_every_byte_that_is_not_known_is_refused() -> None:
    for value in range(256):
        raw = np.array([[value]], dtype=np.uint8)
        if value in (0, 10, 20, 21):
            VALUES.to_labels(raw, HERE)
        else:
            with pytest.raises(LabelError):
                VALUES.to_labels(raw, HERE)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_masks_stored_with_losses_are_refused(tmp_path: Path, name: str) -> None:
    path = saved(np.full((4, 4), 10, dtype=np.uint8), tmp_path / name)
    with pytest.raises(DataError, match=r"compression changes label values; save masks as PNG"):
        decode(path, VALUES)


def test_a_jpeg_is_recognized_behind_the_name_of_a_png(tmp_path: Path) -> None:
    Image.new("L", (4, 4), 10).save(tmp_path / "a.png", "JPEG")
    with pytest.raises(DataError, match="masks in JPEG are not read"):
        decode(tmp_path / "a.png", VALUES)


def test_colors_where_numbers_are_expected_and_the_other_way_round(tmp_path: Path) -> None:
    color = saved(np.array([[RED, BLUE]], dtype=np.uint8), tmp_path / "color.png")
    with pytest.raises(DataError, match=r"colors \(first pixel \(255, 0, 0\)\) where one label number .* `colors` in"):
        decode(color, VALUES)
    gray = saved(np.full((2, 2, 3), 10, dtype=np.uint8), tmp_path / "gray.png")
    with pytest.raises(DataError, match="red, green and blue are equal: save it as grayscale"):
        decode(gray, VALUES)
    number = saved(np.array([[10, 20]], dtype=np.uint8), tmp_path / "number.png")
    with pytest.raises(DataError, match="one number per pixel where colors are expected"):
        decode(number, COLORS)


def test_colors_of_16_bit_have_to_be_some_of_8(tmp_path: Path, png: Callable[..., bytes]) -> None:
    dark = np.array([[RED, GREEN]], dtype=">u2")
    (tmp_path / "a.ppm").write_bytes(b"P6 2 1 65535\n" + dark.tobytes())
    with pytest.raises(DataError, match="colors of 16 bit that are none of 8 bit"):
        decode(tmp_path / "a.ppm", COLORS)
    (tmp_path / "a.png").write_bytes(png(2, 1, 16, 2, b"\0" + dark.tobytes()))
    with pytest.raises(DataError, match="colors of 16 bit that are none of 8 bit; save the mask in RGB of 8 bit"):
        decode(tmp_path / "a.png", COLORS)


def test_lossless_webp_is_read_and_the_other_refused(tmp_path: Path) -> None:
    colors = Image.fromarray(np.array([[RED, GREEN], [BLUE, BLACK]], dtype=np.uint8))
    for options in ({}, {"exif": Image.Exif(), "icc_profile": b"profile"}):
        colors.save(tmp_path / "a.webp", lossless=True, **options)
        assert decode(tmp_path / "a.webp", COLORS).tolist() == [[0, 1], [1, 255]]
        colors.save(tmp_path / "b.webp", quality=100, **options)
        with pytest.raises(DataError, match="masks in WEBP are not read, its compression changes label values"):
            decode(tmp_path / "b.webp", COLORS)
    saved(np.full((4, 4, 3), 10, np.uint8), tmp_path / "c.png")
    Image.open(tmp_path / "c.png").save(tmp_path / "c.webp", lossless=True)
    with pytest.raises(DataError, match="red, green and blue are equal: save it as grayscale"):
        decode(tmp_path / "c.webp", VALUES)


def test_float_masks_and_damaged_masks(tmp_path: Path) -> None:
    path = saved(np.ones((2, 2), dtype=np.float32), tmp_path / "a.tif")
    with pytest.raises(DataError, match="pixel type F is not read"):
        decode(path, VALUES)
    path = saved(np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8), tmp_path / "b.png")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ImageError, match="damaged or cut short"):
        decode(path, VALUES)


def test_two_meanings_and_values_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="20 means both class 0 and class 1"):
        LabelTable.of_values([[10, 20], [20]])
    with pytest.raises(DataError, match=r"\(255, 0, 0\) means both class 0 and ignored"):
        LabelTable.of_colors([[RED]], ignore=[RED])
    with pytest.raises(DataError, match="70000 is out of range"):
        LabelTable.of_values([[70000]])
    with pytest.raises(DataError, match=r"\(0, 256, 0\) is out of range"):
        LabelTable.of_colors([[(0, 256, 0)]])


def test_a_table_survives_pickling() -> None:
    raw = np.array([[10, 21, 300, 0]], dtype=np.uint16)
    copy = pickle.loads(pickle.dumps(VALUES))
    np.testing.assert_array_equal(copy.to_labels(raw, HERE), VALUES.to_labels(raw, HERE))


def test_what_is_unknown_can_be_taken_for_ignored() -> None:
    raw = np.array([[10, 11, 300], [21, 0, 65535]], dtype=np.uint16)
    assert VALUES.to_known_labels(raw).tolist() == [[0, IGNORE, 2], [1, IGNORE, IGNORE]]
    colors = np.array([[RED, (1, 2, 3), BLUE]], dtype=np.uint8)
    assert COLORS.to_known_labels(colors).tolist() == [[0, IGNORE, 1]]


def test_codes_and_their_meaning() -> None:
    assert VALUES.train_ids == {0: IGNORE, 10: 0, 20: 1, 21: 1, 300: 2, 65535: IGNORE}
    assert [COLORS.train_ids.get(pack(color)) for color in (RED, BLUE, BLACK, (1, 2, 3))] == [0, 1, IGNORE, None]
    assert shown_color(pack((1, 2, 255))) == "(1, 2, 255)"


@given(st.lists(st.integers(0, 5), min_size=1), st.sampled_from([np.uint8, np.uint16, np.int32]))
def test_counting_codes_equals_a_loop(pixels: list[int], kind: type) -> None:
    expected = {code: pixels.count(code) for code in set(pixels)}
    assert count_raw_values(np.array([pixels], dtype=kind)) == expected
    colors = np.array([[(pixel, 0, 9) for pixel in pixels]], dtype=np.uint8)
    assert count_raw_values(colors) == {pack((code, 0, 9)): count for code, count in expected.items()}
