from __future__ import annotations

import numpy as np

from scenescope.bands import declared_rule
from scenescope.data.band_facts import BandCounts, band_facts, propose_rule
from scenescope.data.tiff_bands import StoredBands


def counted(*arrays: np.ndarray, ranges: object = None, nodata: float | None = None) -> BandCounts:
    counts = BandCounts()
    for array in arrays:
        rule = None if ranges is None else declared_rule(list(range(array.shape[2])), ranges)
        counts.add(band_facts(StoredBands(array, nodata), rule))
    return counts


def test_the_proposal_is_the_percentiles_of_all_images_by_band() -> None:
    ramp = np.stack([np.arange(101), 10 * np.arange(101)], axis=1).reshape(1, 101, 2)
    told = propose_rule([counted(ramp.astype(np.uint16)), counted(ramp.astype(np.uint16))])
    assert told is not None
    assert "2 bands of uint16" in told
    assert "`bands: [0, 1]`, `range: [[1, 99], [10, 990]]`" in told


def test_numbers_that_are_no_data_are_not_in_it() -> None:
    image = np.array([[[-9999.0], [0.0], [0.0], [0.5], [np.nan], [1.0]]], np.float32)
    told = propose_rule([counted(image, nodata=-9999)])
    assert told is not None
    assert "`range: [0, 0.985]`" in told
    assert "band 0: 0 to 1" in counted(image, nodata=-9999).sentences("train", None)[0]
    assert (
        "train: 33.33% of the pixels of these images have no data"
        in counted(image, nodata=-9999).sentences("train", None)[1]
    )


def test_a_proposal_can_be_read_by_the_rule_that_it_makes() -> None:
    white = np.full((1, 9, 1), 65535, np.uint16)
    assert declared_rule([0], [65535, 65536]) is not None
    told = propose_rule([counted(white)])
    assert told is not None
    assert "`range: [65534, 65535]`" in told


def test_images_of_several_kinds_have_no_one_range() -> None:
    told = propose_rule([counted(np.zeros((1, 2, 1), np.uint16)), counted(np.zeros((1, 2, 4), np.float32))])
    assert told is not None
    assert "of several kinds, 1 of 1 x uint16, 1 of 4 x float32, which no one range fits" in told
    assert propose_rule([BandCounts()]) is None


def test_what_is_cut_is_counted_by_band() -> None:
    image = np.array([[[0, 5], [1, 50], [2, 60], [3, 70]]], np.uint16)
    told = counted(image, ranges=[0, 10]).sentences("val", declared_rule([0, 1], [0, 10]))
    assert told[1:] == ["val: 75% of the numbers of band 1 lie outside 0 to 10."]


def test_an_image_without_data_says_nothing_of_the_values() -> None:
    told = counted(np.full((1, 3, 1), np.nan, np.float32), np.array([[[5.0], [7.0]]], np.float32)).sentences(
        "val", None
    )
    assert told[0] == "val: images that are not plain 8-bit RGB: 2 of 1 band of float32 (band 0: 5 to 7)."
