from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenescope.data.depth import Numbers, Stored, UnfitError

RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)


def sixteen(array: np.ndarray) -> np.ndarray:
    return Stored(array, "uint16", 65535).rgb()


def fraction(array: np.ndarray) -> np.ndarray:
    return Stored(array.astype(np.float32), "float32", 1).rgb()


def test_what_fills_16_bit_is_scaled_by_65535_and_rounded() -> None:
    shown = sixteen(RAMP)
    assert shown.shape == (256, 256, 3)
    for value in (0, 128, 129, 385, 386, 32768, 65406, 65407, 65535):
        assert shown[value // 256, value % 256].tolist() == [round(value / 257)] * 3


def test_colors_keep_their_high_bytes() -> None:
    colors = np.dstack([RAMP, RAMP[::-1], RAMP.T])
    np.testing.assert_array_equal(sixteen(colors), colors // 256)


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (RAMP // 16, "1 band of uint16, values 0 to 4095 (only 12 of 16 bits are used)"),
        (RAMP // 64, "values 0 to 1023 (only 10 of 16 bits are used)"),
        (RAMP // 4, "values 0 to 16383 (only 14 of 16 bits are used)"),
        (RAMP // 256, "values 0 to 255 (only 8 of 16 bits are used)"),
        (np.full((4, 4), 3000, np.uint16), "values 3000 to 3000 (only 12 of 16 bits are used)"),
        # Hundredths of a kelvin on a hot day.
        (np.uint16(32000) + RAMP % 1500, "values 32000 to 33499 (of 0 to 65535 they are 6 of 256 levels)"),
    ],
)
def test_what_does_not_fill_16_bit_is_refused(array: np.ndarray, why: str) -> None:
    with pytest.raises(UnfitError) as caught:
        sixteen(array)
    assert why in str(caught.value)
    assert "or convert all images to 8 bit, such as gdal_translate" in str(caught.value)


def test_a_hot_pixel_does_not_make_12_bit_16() -> None:
    array = RAMP // 16
    array[0, 0] = 65535
    with pytest.raises(
        UnfitError, match=r"values 0 to 65535 \(of 0 to 65535 they are 18 of 256 levels.*-scale 41 4055 0 255"
    ):
        sixteen(array)


def test_few_numbers_of_which_none_is_lost_are_read() -> None:
    assert np.unique(sixteen(np.array([[0, 65535]], np.uint16))).tolist() == [0, 255]
    assert np.unique(sixteen(np.zeros((3, 3), np.uint16))).tolist() == [0]
    assert np.unique(fraction(np.array([[0.0, 0.5]]))).tolist() == [0, 128]


@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_equal_fractions_are_shown_equal_in_all_images(one: float, other: float) -> None:
    assert fraction(np.array([[one, 1.0]]))[0, 0, 0] == fraction(np.array([[one, other]]))[0, 0, 0] == round(one * 255)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([0.0, 1.0001], "1 band of float32, values 0 to 1.0001 (read are 0 to 1)"),
        ([-25.0, 0.0], "values -25 to 0 (read are 0 to 1)"),
        ([0.0, 255.0], "values 0 to 255 (read are 0 to 1)"),
        ([0.5, 1e20], "values 0.5 to 1e+20 (read are 0 to 1)"),
        ([np.nan, 0.25], "values 0.25 to 0.25 (some are not finite)"),
        ([np.inf, 0.25], "values 0.25 to 0.25 (some are not finite)"),
        ([np.nan, np.nan], "values 0 to 0 (some are not finite)"),
    ],
)
def test_no_range_is_guessed(values: list[float], why: str) -> None:
    with pytest.raises(UnfitError) as caught:
        fraction(np.array([values]))
    assert why in str(caught.value)


def test_a_tenth_of_0_to_1_with_one_bright_pixel_is_refused() -> None:
    array = np.linspace(0, 0.05, 4096).reshape(64, 64)
    with pytest.raises(UnfitError, match="14 of 256 levels"):
        fraction(array)
    array[0, 0] = 1
    with pytest.raises(UnfitError, match="15 of 256 levels"):
        fraction(array)


def test_the_remedy_names_the_range() -> None:
    with pytest.raises(UnfitError, match=r"gdal_translate -ot Byte -scale -24.75 -0.25 0 255 IN OUT"):
        fraction(np.linspace(-25, 0, 101).reshape(1, 101))
    with pytest.raises(UnfitError, match=r"-scale LOW HIGH 0 255"):
        fraction(np.array([[7.0]]))


def test_white_is_zero_is_shown_inverted() -> None:
    assert Stored(np.array([[0, 65535]], np.uint16), "uint16", 65535, inverted=True).rgb()[0, :, 0].tolist() == [255, 0]


def test_numbers_and_conversions() -> None:
    assert Stored(np.zeros((2, 2, 3), np.uint8)).numbers is None
    stored = Stored(np.array([[-3, 7]], np.int32), "int32", 65535)
    assert stored.numbers == Numbers(1, "int32", -3.0, 7.0)
    told = Stored(np.zeros((2, 2, 3), np.uint8), mode="P", frames=3, orientation=6).conversions()
    assert told == ["the first of 3 frames", "P made RGB", "turned as its EXIF says"]
    assert Stored(np.zeros((2, 2, 3), np.uint8), frames=1000).conversions() == ["the first of 1000 or more frames"]
    assert Stored(np.zeros((2, 2, 3), np.uint16), "uint16", 65535).conversions() == ["16 bit made 8 bit"]
