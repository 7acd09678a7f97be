from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.images import opened
from scenescope.data.masks import LabelTable, decode, read_raw
from scenescope.data.samples import is_lossy
from scenescope.errors import DataError, LabelError

Png = Callable[..., bytes]
ALL = LabelTable.of_values([[value] for value in range(16)])
WITH_255 = LabelTable.of_values([[0], [1], [2], [3]], ignore=[255])


def packed(rows: list[list[int]], depth: int) -> bytes:
    """Rows of a PNG whose samples have less than a byte, the first in the highest bits."""
    content = b""
    for row in rows:
        bits = "".join(f"{value:0{depth}b}" for value in row)
        bits += "0" * (-len(bits) % 8)
        content += b"\0" + bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits), 8))
    return content


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_gray_png_of_few_bits_gives_what_it_stores(tmp_path: Path, png: Png, depth: int) -> None:
    rows = [[(3 * x + y) % 2**depth for x in range(11)] for y in range(5)]
    path = tmp_path / "a.png"
    path.write_bytes(png(11, 5, depth, 0, packed(rows, depth)))
    assert read_raw(path, False).tolist() == rows
    assert decode(path, ALL).tolist() == rows


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_indices_of_few_bits_are_indices(tmp_path: Path, depth: int) -> None:
    rows = np.array([[(3 * x + y) % 2**depth for x in range(11)] for y in range(5)], np.uint8)
    image = Image.fromarray(rows)
    image.putpalette([255 - value for value in range(2**depth) for _ in range(3)])
    for name in ("a.png", "a.bmp", "a.gif"):
        image.save(tmp_path / name, **({"bits": depth} if name == "a.png" else {}))
        assert read_raw(tmp_path / name, False).tolist() == rows.tolist()


@pytest.mark.parametrize("maxval", [1, 3, 9, 100, 254, 255])
@pytest.mark.parametrize("plain", [False, True])
def test_pgm_gives_what_it_stores(tmp_path: Path, maxval: int, plain: bool) -> None:
    rows = [[(7 * x + y) % (maxval + 1) for x in range(6)] for y in range(3)]
    numbers = [value for row in rows for value in row]
    body = " ".join(map(str, numbers)).encode() if plain else bytes(numbers)
    (tmp_path / "a.pgm").write_bytes(b"P%d\n6 3\n%d\n" % (2 if plain else 5, maxval) + body)
    assert read_raw(tmp_path / "a.pgm", False).tolist() == rows


@pytest.mark.parametrize("maxval", [256, 1000, 4095, 65534, 65535])
def test_pgm_of_16_bit_gives_what_it_stores(tmp_path: Path, maxval: int) -> None:
    numbers = [0, 1, 2, maxval // 2, maxval - 1, maxval]
    body = b"".join(number.to_bytes(2, "big") for number in numbers)
    (tmp_path / "a.pgm").write_bytes(b"P5\n6 1\n%d\n" % maxval + body)
    assert read_raw(tmp_path / "a.pgm", False).tolist() == [numbers]


def test_what_shows_another_known_value_than_it_stores_is_refused(tmp_path: Path, png: Png) -> None:
    path = tmp_path / "a.png"
    # {0, 255} of 8 bit, after a lossless optimizer.
    path.write_bytes(png(4, 1, 1, 0, packed([[0, 1, 1, 0]], 1)))
    with pytest.raises(DataError, match="stores 1 and shows 255, and both have a meaning here; save the mask as a PNG"):
        decode(path, WITH_255)
    assert decode(path, ALL).tolist() == [[0, 1, 1, 0]]
    with pytest.raises(LabelError, match="value 1 at pixel"):
        decode(path, LabelTable.of_values([[0], [255]]))
    # Two meanings of one label do not matter, and what does not occur neither.
    assert decode(path, LabelTable.of_values([[0], [1, 255]])).tolist() == [[0, 1, 1, 0]]
    path.write_bytes(png(4, 1, 1, 0, packed([[0, 0, 0, 0]], 1)))
    assert decode(path, WITH_255).tolist() == [[0, 0, 0, 0]]
    path.write_bytes(png(4, 1, 2, 0, packed([[0, 1, 2, 3]], 2)))
    assert decode(path, WITH_255).tolist() == [[0, 1, 2, 3]]
    path.write_bytes(png(4, 1, 2, 0, packed([[0, 3, 3, 0]], 2)))
    with pytest.raises(DataError, match="stores 3 and shows 255"):
        decode(path, WITH_255)


def test_where_0_is_white_nothing_is_guessed(tmp_path: Path, tiff: Callable[..., bytes]) -> None:
    (tmp_path / "a.pbm").write_bytes(b"P1\n3 1\n0 1 1\n")
    (tmp_path / "b.pbm").write_bytes(b"P4\n3 1\n\x60")
    (tmp_path / "c.tif").write_bytes(tiff(np.array([[0, 1, 1]], np.uint8), 0))
    (tmp_path / "d.tif").write_bytes(tiff(np.array([[0, 1, 1]], np.uint16), 0))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DataError, match=r"0 is white in this (PPM|TIFF), .* save the mask as a PNG of 8 bit"):
            decode(path, WITH_255)


def test_int8_keeps_its_sign(tmp_path: Path, tiff: Callable[..., bytes]) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.array([[0, 1, -1]], np.int8)))
    with pytest.raises(LabelError, match=r"value -1 at pixel \(x=2, y=0\)"):
        decode(tmp_path / "a.tif", WITH_255)


def test_what_is_lossy(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((16, 16, 3), np.uint8))
    for name, options, lossy in (
        ("a.jpg", {}, True),
        ("a.webp", {"lossless": True}, False),
        ("b.webp", {"lossless": False}, True),
        ("c.webp", {"lossless": True, "save_all": True, "append_images": [Image.new("RGB", (16, 16), 9)]}, True),
        ("a.tif", {"compression": "jpeg"}, True),
        ("b.tif", {"compression": "tiff_lzw"}, False),
        ("a.png", {}, False),
    ):
        image.save(tmp_path / name, **options)
        with opened(tmp_path / name, 1000) as found:
            assert is_lossy(found) == lossy, name
