"""Images of two pixels worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scenescope.bands import BandRule, UnfitError, as_shown, declared_rule, rule_for, rule_of
from scenescope.errors import DataError


def test_a_number_is_its_place_in_the_range_and_is_cut_to_it() -> None:
    stored = np.array([[[0, 10], [1500, 20]], [[3000, 30], [4000, 5]]], np.uint16)
    rule = declared_rule([0, 1], [[0, 3000], [10, 30]])
    assert rule is not None
    expected = np.array([[[0, 0], [0.5, 0.5]], [[1, 1], [1, 0]]], np.float32)
    np.testing.assert_array_equal(rule.apply(stored), expected)
    assert rule.outside(stored) == ([1, 1], 4)


def test_twelve_bits_stay_twelve_bits() -> None:
    rule = declared_rule([0], [0, 4095])
    assert rule is not None
    seen = rule.apply(np.arange(4096, dtype=np.uint16).reshape(64, 64))
    assert len(np.unique(seen)) == 4096
    np.testing.assert_array_equal(np.rint(seen[..., 0] * 4095), np.arange(4096).reshape(64, 64))


@pytest.mark.parametrize("dtype", ["int32", "uint32", "float64", "int64"])
def test_large_numbers_lose_nothing_before_the_range_is_taken_off(dtype: str) -> None:
    rule = declared_rule([0], [100_000_000, 100_000_004])
    assert rule is not None
    stored = np.array([[100_000_001, 100_000_003]], dtype)  # float32 knows neither
    assert rule.apply(stored).ravel().tolist() == [0.25, 0.75]


def test_bands_are_taken_in_the_order_that_is_declared() -> None:
    stored = np.arange(8, dtype=np.uint8).reshape(1, 2, 4)
    assert BandRule((3, 0)).apply(stored).tolist() == [[[3, 0], [7, 4]]]
    assert BandRule((0, 1, 2, 3)).apply(stored).dtype == np.uint8


def test_gray_is_seen_as_rgb_where_only_a_range_is_declared() -> None:
    rule = declared_rule(None, [-25, 0])
    assert rule is not None
    assert rule.in_channels == 3
    seen = rule.apply(np.array([[-25, -12.5, 0]], np.float32))
    assert seen.tolist() == [[[0, 0, 0], [0.5, 0.5, 0.5], [1, 1, 1]]]


def test_what_has_no_data_is_nan_in_all_bands() -> None:
    rule = declared_rule([0, 1], [0, 10])
    assert rule is not None
    stored = np.array([[[np.nan, 1], [2, np.inf], [5, 5], [-9999, 5]]], np.float32)
    assert np.isnan(rule.apply(stored, nodata=-9999)).all(axis=2).tolist() == [[True, True, False, True]]
    assert rule.outside(stored, nodata=-9999) == ([0, 0], 1)


def test_nodata_that_may_be_a_number_must_be_in_all_bands() -> None:
    rule = declared_rule([0, 1], [0, 10])
    assert rule is not None
    stored = np.array([[[0, 0], [0, 5]]], np.uint8)
    assert np.isnan(rule.apply(stored, nodata=0)[..., 0]).tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("bands", "ranges", "stored", "told"),
    [
        ([0, 3], [0, 1], np.zeros((2, 2, 3), np.float32), "it has 3 bands of float32, and expected are bands 0, 3"),
        (None, [0, 9], np.zeros((2, 2, 4), np.uint16), r"name the bands to use, such as bands: \[0, 1, 2\]"),
        ([0], None, np.zeros((2, 2), np.uint16), r"declare what of them is black and white, such as range: \[LOW"),
        ([0], [0, 3000], np.zeros((2, 2), np.uint8), "0 to 255, which is another depth than band 0"),
        ([0], [-1, 1], np.zeros((2, 2), np.uint8), "another depth"),
        ([0], [0, 1], np.zeros((2, 2), np.complex64), "whole numbers and floats are read"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(bands: object, ranges: object, stored: np.ndarray, told: str) -> None:
    rule = declared_rule(bands, ranges)
    assert rule is not None
    with pytest.raises(UnfitError, match=told) as caught:
        rule.apply(stored)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("bands", "ranges", "told"),
    [
        ("012", None, "expected a list of indices from 0"),
        ([], None, "expected a list"),
        ([0, -1], None, "expected a list"),
        ([True], None, "expected a list"),
        ([0.0], None, "expected a list"),
        (None, [3000, 0], "the smaller one first"),
        (None, [0, float("nan")], "black and white"),
        (None, "0 3000", "black and white"),
        ([0, 1], [[0, 1]] * 3, "3 pairs for 2 bands; give one pair for all, or one for each"),
        (None, [[0, 1]] * 4, "4 pairs for RGB"),
    ],
)
def test_what_cannot_be_declared(bands: object, ranges: object, told: str) -> None:
    with pytest.raises(DataError, match=told):
        declared_rule(bands, ranges)


@pytest.mark.parametrize(
    ("bands", "ranges"), [([2, 1, 0, 3], [0, 3000]), (None, [[0, 1], [0, 2], [0, 3]]), ([4], None)]
)
def test_a_rule_comes_back_from_what_is_stored_of_it(bands: object, ranges: object) -> None:
    rule = declared_rule(bands, ranges)
    assert rule is not None
    assert rule_of(rule.to_dict()) == rule


def test_networks_without_a_rule_see_8_bit() -> None:
    assert rule_for(3) is None
    assert rule_for(4) == BandRule((0, 1, 2, 3))


def test_what_is_told_of_an_image_that_hardly_fits() -> None:
    rule = declared_rule([0], [0, 100])
    assert rule is not None

    def remark(*rows: list[float]) -> str:
        stored = np.array(rows, np.float32)
        return rule.remark(stored, rule.apply(stored))

    assert remark([0, 50], [70, 100]) == ""
    assert "75% of the numbers" in remark([0, 500], [700, 101])
    assert "its numbers use 1.0% of the range 0 to 100" in remark([0, 1])
    assert "25.0% of its pixels have no data" in remark([0, 50], [70, np.nan])
    assert remark([np.nan, np.nan]) == "100.0% of its pixels have no data and get no class (255)"


def test_three_bands_are_shown_as_colors_and_one_as_gray() -> None:
    seen = np.array([[[0, 0.5, 1, 0.2], [np.nan] * 4]], np.float32)
    assert as_shown(seen).tolist() == [[[0, 128, 255], [0, 0, 0]]]
    assert as_shown(seen[..., 1:2]).tolist() == [[[128] * 3, [0] * 3]]
    rgb = np.zeros((2, 2, 3), np.uint8)
    assert as_shown(rgb) is rgb
