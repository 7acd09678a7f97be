from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.decoding import is_transparent, orientation, stored
from scenescope.data.images import opened, read_image
from scenescope.errors import ImageError
from scenescope.inference.segmenter import image_array

WIDE = np.random.default_rng(0).integers(0, 65536, (6, 9, 4), dtype=np.uint16)
Png = Callable[..., bytes]


def rows(array: np.ndarray) -> bytes:
    """The rows of a PNG, unfiltered."""
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)


@pytest.mark.parametrize("bands", [3, 4])
def test_16_bit_colors_are_decoded_with_both_bytes(tmp_path: Path, png: Png, bands: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(9, 6, 16, 2 if bands == 3 else 6, rows(WIDE[:, :, :bands])))
    with opened(path, 100) as image:
        found = stored(image)
    np.testing.assert_array_equal(found.array, WIDE[:, :, :3])
    assert (found.type, found.white, found.transparent) == ("uint16", 65535, bands == 4)
    np.testing.assert_array_equal(read_image(path), WIDE[:, :, :3] >> 8)


def test_16_bit_colors_are_turned_with_both_bytes(tmp_path: Path, png: Png) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    (tmp_path / "a.png").write_bytes(png(9, 6, 16, 2, rows(WIDE[:, :, :3]), tags.tobytes()[6:]))
    with opened(tmp_path / "a.png", 100) as image:
        found = stored(image)
    np.testing.assert_array_equal(found.array, WIDE[::-1, :, :3].transpose(1, 0, 2))
    assert found.orientation == 6


def test_dark_16_bit_colors_are_refused_from_file_and_from_pillow(tmp_path: Path, png: Png) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(9, 6, 16, 2, rows(WIDE[:, :, :3] // 16)))
    with pytest.raises(ImageError, match=r"3 bands of uint16, values \d+ to \d+ \(only 12 of 16 bits are used\)"):
        read_image(path)
    with Image.open(path) as image, pytest.raises(ImageError, match=r"image cannot be read: 3 bands of uint16"):
        image_array(image, 100)


def test_16_bit_gray_with_alpha(tmp_path: Path, png: Png) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 1, 16, 4, b"\0" + struct.pack(">4H", 0xFF00, 0xFFFF, 0x8000, 0xFFFF)))
    assert read_image(path).tolist() == [[[255] * 3, [128] * 3]]
    path.write_bytes(png(2, 1, 16, 4, b"\0" + struct.pack(">4H", 0x0FFF, 0xFFFF, 0x0800, 0xFFFF)))
    with pytest.raises(ImageError, match="only 12 of 16 bits are used"):
        read_image(path)


def test_ppm_of_16_bit(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    for maxval, expected in ((65535, WIDE[:, :, :3] / 257), (4095, (WIDE[:, :, :3] // 16) / 4095 * 255)):
        numbers = WIDE[:, :, :3] // (1 if maxval == 65535 else 16)
        path.write_bytes(b"P6\n9 6\n%d\n" % maxval + numbers.astype(">u2").tobytes())
        assert np.abs(read_image(path) - expected).max() <= 0.51
    path.write_bytes(b"P6\n9 6\n65535\n" + (WIDE[:, :, :3] // 16).astype(">u2").tobytes())
    # Pillow gives 8 bit of them, so that 4095 looks like 16 of 255.
    with pytest.raises(ImageError, match="only 13 of 16 bits are used"):
        read_image(path)
    path.write_bytes(b"P6\n2 1\n3\n" + bytes([0, 1, 2, 3, 3, 0]))
    assert read_image(path).tolist() == [[[0, 85, 170], [255, 255, 0]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_what_was_done_is_told(tmp_path: Path, kind: str) -> None:
    tags = Image.Exif()
    tags[0x0112] = 3
    frames = [Image.new("RGB", (8, 5), color) for color in ("red", "lime", "blue")]
    path = tmp_path / "a"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], exif=tags)
    with opened(path, 100) as image:
        found = stored(image)
    assert (found.frames, found.orientation, found.transparent) == (3, 3, False)


def test_an_image_of_the_users_own_is_left_where_it_was() -> None:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 5), color) for color in ("red", "lime", "blue")]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    with Image.open(buffer) as image:
        image.seek(1)
        assert image_array(image, 100)[0, 0].tolist() == [0, 255, 0]
        assert image.tell() == 1
        image.load()
    assert image_array(image, 100)[0, 0].tolist() == [0, 255, 0]


def test_transparency_of_alpha_and_of_palettes() -> None:
    opaque = Image.new("RGBA", (2, 1), (1, 2, 3, 255))
    assert not is_transparent(opaque)
    opaque.putpixel((0, 0), (1, 2, 3, 254))
    assert is_transparent(opaque)
    palette = Image.new("P", (2, 1), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.info["transparency"] = 0
    assert not is_transparent(palette)
    palette.putpixel((0, 0), 0)
    assert is_transparent(palette)


def test_damaged_exif_is_upright() -> None:
    image = Image.new("RGB", (2, 1))
    image.info["exif"] = b"Exif\0\0II*\0\xff\xff\xff\xff"
    assert orientation(image) == 1
