from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.images import read_image
from scenescope.data.masks import read_raw
from scenescope.data.tiff import count_pages
from scenescope.errors import DataError, ImageError

Tiff = Callable[..., bytes]
NOISE = np.random.default_rng(0)
COLORS = NOISE.integers(0, 256, (6, 9, 3), dtype=np.uint8)
WIDE = NOISE.integers(0, 65536, (6, 9, 3), dtype=np.uint16)


def refusal(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    told = str(caught.value)
    assert "\n" not in told
    assert told.startswith(f"Cannot read {path}: ")
    return told.removeprefix(f"Cannot read {path}: ")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("by_band", [False, True])
@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("photometric", [1, 2])
def test_three_bands_are_rgb_however_they_lie(
    tmp_path: Path, tiff: Tiff, order: str, by_band: bool, deflated: bool, photometric: int
) -> None:
    extra = (0, 0) if photometric == 1 else ()
    path = tmp_path / "a.tif"
    for array, expected in ((COLORS, COLORS), (WIDE, WIDE >> 8)):
        path.write_bytes(tiff(array, photometric, order=order, by_band=by_band, deflated=deflated, extra=extra))
        np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i1", "i2", "i4"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("by_band", [False, True])
def test_whole_numbers_of_one_band_are_read_as_masks(
    tmp_path: Path, tiff: Tiff, kind: str, order: str, deflated: bool, by_band: bool
) -> None:
    limits = np.iinfo(kind)
    values = NOISE.integers(limits.min, limits.max, (5, 7), dtype=kind, endpoint=True)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(values, order=order, deflated=deflated, by_band=by_band))
    if (kind, order) == ("u4", ">"):
        with pytest.raises(ImageError, match=r"TIFF of 1 band of uint32 .* is not read; save it as uint8"):
            read_raw(path, False)
    else:
        np.testing.assert_array_equal(read_raw(path, False), values)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflated", [False, True])
def test_float_of_both_byte_orders(tmp_path: Path, tiff: Tiff, order: str, deflated: bool) -> None:
    values = np.array([[0.0, 0.25, 0.5, 1.0]], dtype=np.float32)
    (tmp_path / "a.tif").write_bytes(tiff(values, order=order, deflated=deflated))
    assert read_image(tmp_path / "a.tif")[0, :, 2].tolist() == [0, 64, 128, 255]


def test_inverted_gray_is_shown_as_it_is_meant(tmp_path: Path, tiff: Tiff) -> None:
    for values in (np.array([[0, 100, 255]], np.uint8), np.array([[0, 25700, 65535]], np.uint16)):
        (tmp_path / "a.tif").write_bytes(tiff(values, 0))
        assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [255, 155, 0]


@pytest.mark.parametrize(
    ("array", "options", "told"),
    [
        (np.zeros((4, 5), np.int64), {}, "this TIFF of 1 band of int64 (BlackIsZero) is not read; save it as uint8"),
        (np.zeros((4, 5), np.float64), {}, "1 band of float64 (BlackIsZero) is not read; declare what is seen"),
        (np.zeros((4, 5, 3), np.float32), {"photometric": 2}, "this TIFF of 3 bands of float32 (RGB) is not read;"),
        (np.zeros((4, 5, 5), np.float32), {"extra": (0,) * 4}, "of 5 bands of float32 (BlackIsZero) is not read"),
        (np.zeros((4, 5, 8), np.uint16), {"extra": (0,) * 7}, "this TIFF of 8 bands of uint16 (BlackIsZero)"),
        (np.zeros((4, 5, 13), np.uint16), {"extra": (0,) * 12}, "this TIFF of 13 bands of uint16 (BlackIsZero)"),
        (np.zeros((4, 5, 5), np.uint8), {"by_band": True}, "of 5 bands of uint8 (BlackIsZero, INTERLEAVE=BAND"),
        (np.zeros((4, 5, 2), np.uint16), {"extra": (2,)}, "this TIFF of 2 bands of uint16 (BlackIsZero) is not read"),
        (np.zeros((4, 5), np.uint8), {"compression": 34887}, "(BlackIsZero, compression LERC) is not read; save it in"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named_and_not_called_damaged(
    tmp_path: Path, tiff: Tiff, array: np.ndarray, options: dict[str, object], told: str
) -> None:
    said = refusal(tmp_path, tiff(array, **options))
    assert told in said
    assert "damaged" not in said
    assert "gdal_translate" in said


@pytest.mark.parametrize("bands", [4, 5])
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_a_further_band_that_is_no_alpha_is_not_dropped(tmp_path: Path, tiff: Tiff, bands: int, kind: str) -> None:
    array = NOISE.integers(0, np.iinfo(kind).max, (6, 9, bands), dtype=kind)
    for by_band in (False, True):
        said = refusal(tmp_path, tiff(array, 2, extra=(0,) * (bands - 3), by_band=by_band))
        assert f"this TIFF of {bands} bands of uint{8 * array.dtype.itemsize} (RGB" in said
        assert "gdal_translate -b 1 -b 2 -b 3" in said


def test_the_preview_of_a_raw_photograph_is_not_taken_for_it(tmp_path: Path, tiff: Tiff) -> None:
    content = tiff(COLORS, 2)
    # Cameras begin with a small image, NewSubfileType 1, and keep the large one in a directory beside.
    tag = (256).to_bytes(2, "little") + (4).to_bytes(2, "little") + (1).to_bytes(4, "little")
    place = content.index(tag)
    count = int.from_bytes(content[place - 2 : place], "little")
    first = (254).to_bytes(2, "little") + tag[2:] + (1).to_bytes(4, "little")
    # In place of the last tag, the sample format.
    entries = content[place : place + 12 * (count - 1)]
    content = content[:place] + first + entries + content[place + 12 * count :]
    assert "is but the preview of an image further on in the file; save that alone" in refusal(tmp_path, content)


def test_alpha_is_dropped_where_it_is_one(tmp_path: Path, tiff: Tiff) -> None:
    alpha = np.where(np.arange(54).reshape(6, 9, 1) % 3 == 0, 0, 255).astype(np.uint8)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(np.dstack([COLORS, alpha]), 2, extra=(2,)))
    np.testing.assert_array_equal(read_image(path), COLORS)
    infrared = NOISE.integers(20, 200, (6, 9, 1), dtype=np.uint8)
    said = refusal(tmp_path, tiff(np.dstack([COLORS, infrared]), 2, extra=(2,)))
    assert "band 4 of this TIFF is marked as alpha, but most of its pixels are neither clear nor opaque" in said


@pytest.mark.parametrize("kind", ["i8", "f4", "u2"])
def test_a_file_cut_short_is_damaged_whatever_its_kind(tmp_path: Path, tiff: Tiff, kind: str) -> None:
    # The directory lies at the end: a copy of it before data that are not there.
    content = tiff(np.ones((40, 50, 4), kind), extra=(0, 0, 0))
    start = int.from_bytes(content[4:8], "little")
    assert "damaged or cut short" in refusal(tmp_path, content[:start] + content[start : start + 20])
    assert "damaged or cut short" in refusal(tmp_path, content[:4] + (8).to_bytes(4, "little") + content[start:])


def test_nothing_is_printed_about_damaged_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(NOISE.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "TIFF", compression="tiff_lzw")
    for place in range(8, 400, 7):
        content = bytearray(buffer.getvalue())
        content[place : place + 3] = b"\xff\xff\xff"
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.raises(ImageError):
            read_image(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")


def test_pages_are_counted_in_linear_time(tiff: Tiff) -> None:
    gray = np.zeros((1, 1), np.uint8)
    for order in "<>":
        assert count_pages(io.BytesIO(tiff(gray, order=order))) == 1
        assert count_pages(io.BytesIO(tiff(gray, order=order, pages=7))) == 7
    many = io.BytesIO(tiff(gray, pages=5000))
    many.seek(3)
    assert count_pages(many) == 1000
    assert many.tell() == 3
    # The last directory points at the first.
    content = bytearray(tiff(gray, pages=2))
    content[-4:] = content[4:8]
    assert count_pages(io.BytesIO(content)) == 2


def test_a_mask_that_is_no_number_per_pixel_is_named(tmp_path: Path, tiff: Tiff) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.zeros((4, 5), np.uint8), 0))
    with pytest.raises(DataError, match="0 is white in this TIFF, so that its labels can be read in two ways"):
        read_raw(tmp_path / "a.tif", False)
