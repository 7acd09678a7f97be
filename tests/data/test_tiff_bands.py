from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenescope.data.band_files import read_stored_bands
from scenescope.data.tiff_bands import upright_array
from scenescope.errors import ImageError

Tiff = Callable[..., bytes]
FOUR = np.array([[[1, 2, 3, 4], [300, 400, 500, 65535]], [[5, 6, 7, 8], [0, 1000, 2000, 3000]]], np.uint16)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("by_band", [False, True])
@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_four_bands_by_hand(tmp_path: Path, tiff: Tiff, order: str, by_band: bool, deflated: bool, dtype: str) -> None:
    expected = FOUR.astype(dtype)
    (tmp_path / "a.tif").write_bytes(tiff(expected, order=order, by_band=by_band, deflated=deflated))
    stored = read_stored_bands(tmp_path / "a.tif")
    assert stored.array.dtype == dtype
    assert stored.nodata is None
    np.testing.assert_array_equal(stored.array, expected)
    np.testing.assert_array_equal(
        read_stored_bands(Path("given"), content=(tmp_path / "a.tif").read_bytes()).array, expected
    )


WRITTEN = [
    (dtype, compress, interleave, tiled, predictor)
    for dtype, compress, interleave, tiled, predictor in itertools.product(
        ("uint8", "uint16", "int32", "float32"), ("lzw", "deflate", "zstd"), ("pixel", "band"), (False, True), (1, 2, 3)
    )
    if predictor != 3 or dtype == "float32"
]


def test_what_gdal_writes_is_read_as_gdal_reads_it(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    generator = np.random.default_rng(0)
    for dtype, compress, interleave, tiled, predictor in WRITTEN:
        array = (generator.normal(size=(5, 37, 53)) * 1000).clip(0, 255 if dtype == "uint8" else None).astype(dtype)
        layout: dict[str, Any] = {"tiled": True, "blockxsize": 16, "blockysize": 32} if tiled else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(
                *(tmp_path / "a.tif", "w"),
                **{"driver": "GTiff", "width": 53, "height": 37, "count": 5, "dtype": dtype, "nodata": 7},
                **{"compress": compress, "interleave": interleave, "predictor": predictor, **layout},
            ) as file:
                file.write(array)
        stored = read_stored_bands(tmp_path / "a.tif")
        np.testing.assert_array_equal(stored.array, array.transpose(1, 2, 0), err_msg=str((dtype, compress, predictor)))
        assert stored.nodata == 7


def test_every_cut_file_is_an_error_of_one_line(tmp_path: Path, tiff: Tiff) -> None:
    whole = tiff(FOUR, deflated=True)
    for length in range(0, len(whole), 7):
        (tmp_path / "a.tif").write_bytes(whole[:length])
        with pytest.raises(ImageError) as caught:
            read_stored_bands(tmp_path / "a.tif")
        assert "\n" not in str(caught.value)


def test_a_header_that_promises_too_much_is_refused_before_anything_is_decoded(tmp_path: Path, tiff: Tiff) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(FOUR))
    with pytest.raises(ImageError, match=r"2 x 2 pixels are more than the limit of 3; scale the image down"):
        read_stored_bands(tmp_path / "a.tif", max_pixels=3)
    deep = np.zeros((2, 2, 100), np.float32)
    (tmp_path / "a.tif").write_bytes(tiff(deep))
    with pytest.raises(ImageError, match=r"2 x 2 pixels of 400 bytes are more than the limit of 50"):
        read_stored_bands(tmp_path / "a.tif", max_pixels=50)


def test_orientations_are_those_of_pillow() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    turns = Image.Transpose
    pillows = [None, turns.FLIP_LEFT_RIGHT, turns.ROTATE_180, turns.FLIP_TOP_BOTTOM, turns.TRANSPOSE,
               turns.ROTATE_270, turns.TRANSVERSE, turns.ROTATE_90]  # fmt: skip
    for number, turn in enumerate(pillows, start=1):
        image = Image.fromarray(array)
        expected = np.asarray(image if turn is None else image.transpose(turn))
        np.testing.assert_array_equal(upright_array(array, number), expected)
