from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.bands import declared_rule
from scenescope.data.band_files import measure_bands, read_bands, read_noted_bands, read_stored_bands
from scenescope.data.images import read_image
from scenescope.errors import ImageError

Tiff = Callable[..., bytes]


def test_pngs_of_16_bit_and_with_alpha_are_read_with_all_they_have(tmp_path: Path, png: Callable[..., bytes]) -> None:
    gray = np.array([[0, 4095], [65535, 7]], np.uint16)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(read_stored_bands(tmp_path / "gray.png").array[:, :, 0], gray)
    wide = np.array([[1, 2, 300], [40000, 5, 65535]], ">u2")
    (tmp_path / "wide.png").write_bytes(png(2, 1, 16, 2, b"\0" + wide.tobytes()))
    np.testing.assert_array_equal(read_stored_bands(tmp_path / "wide.png").array[0], wide)
    rgba = np.arange(16, dtype=np.uint8).reshape(2, 2, 4)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(read_stored_bands(tmp_path / "rgba.png").array, rgba)


def test_arrays_of_numpy(tmp_path: Path) -> None:
    array = np.arange(30, dtype=np.float32).reshape(2, 3, 5)
    np.save(tmp_path / "a.npy", array)
    rule = declared_rule([4, 0], [0, 29])
    assert rule is not None
    np.testing.assert_allclose(read_bands(tmp_path / "a.npy", rule), array[:, :, [4, 0]] / 29, rtol=1e-6)
    assert measure_bands(tmp_path / "a.npy") == (6, 1)
    np.save(tmp_path / "a.npy", array[0, 0])
    with pytest.raises(ImageError, match=r"an array of shape \(5,\) and type float32; an image is H x W"):
        read_bands(tmp_path / "a.npy", rule)


def test_a_pickled_array_is_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[print]], object), allow_pickle=True)
    with pytest.raises(ImageError, match="type object; an image is"):
        read_stored_bands(tmp_path / "a.npy")


def test_what_is_told_names_the_file(tmp_path: Path, tiff: Tiff) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.full((2, 2, 4), 100, np.uint16)))
    rule = declared_rule([0, 1, 2, 5], [0, 3000])
    assert rule is not None
    with pytest.raises(
        ImageError, match=r"Cannot read .*a.tif: it has 4 bands of uint16, and expected are bands 0, 1, 2, 5"
    ):
        read_bands(tmp_path / "a.tif", rule)
    fits = declared_rule([0, 1], [0, 50])
    assert fits is not None
    seen, remark = read_noted_bands(tmp_path / "a.tif", fits)
    assert seen.tolist() == [[[1, 1]] * 2] * 2
    assert remark == "100% of the numbers of a band are outside the range 0 to 50"


def test_a_compression_of_pictures_is_named(tmp_path: Path, tiff: Tiff) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.zeros((2, 2, 5), np.float32), compression=34887))
    with pytest.raises(ImageError, match="5 bands of float32 in compression 34887; read are none, LZW, Deflate"):
        read_stored_bands(tmp_path / "a.tif")


def test_a_fourth_band_that_nothing_is_said_of_is_not_dropped(tmp_path: Path, tiff: Tiff) -> None:
    ramp = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)
    (tmp_path / "a.tif").write_bytes(tiff(ramp, photometric=2))
    with pytest.raises(ImageError, match=r"band 4 of this TIFF is .*declare what is seen by bands: \[0, 1, 2, 3\]"):
        read_image(tmp_path / "a.tif")
    rule = declared_rule([0, 1, 2, 3], None)
    assert rule is not None
    np.testing.assert_array_equal(read_bands(tmp_path / "a.tif", rule), ramp)
    ramp[..., 3] = 255  # filled up, as some write RGB
    (tmp_path / "a.tif").write_bytes(tiff(ramp, photometric=2))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), ramp[..., :3])
