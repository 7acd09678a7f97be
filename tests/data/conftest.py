"""Fixtures for the tests of the data."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """A function that makes the bytes of a PNG of any kind, also such as Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    def make(width: int, height: int, depth: int, color_type: int, rows: bytes, late_exif: bytes = b"") -> bytes:
        header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
        chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
        if late_exif:
            chunks += chunk(b"eXIf", late_exif)
        return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")

    return make


@pytest.fixture(scope="session")
def tiff() -> Callable[..., bytes]:
    """A function that makes the bytes of a TIFF of any kind, also such as Pillow does not write."""

    def make(
        array: np.ndarray,
        photometric: int = 1,
        *,
        order: str = "<",
        extra: Sequence[int] = (),
        by_band: bool = False,
        deflated: bool = False,
        compression: int | None = None,
        pages: int = 1,
    ) -> bytes:
        bands = 1 if array.ndim == 2 else array.shape[2]
        stored = array.astype(array.dtype.newbyteorder(order))
        strips = (
            [stored[:, :, band].tobytes() for band in range(bands)] if by_band and bands > 1 else [stored.tobytes()]
        )
        strips = [zlib.compress(strip) if deflated else strip for strip in strips]
        kind = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
        entries = [
            (256, [array.shape[1]]),
            (257, [array.shape[0]]),
            (258, [array.dtype.itemsize * 8] * bands),
            (259, [compression or (8 if deflated else 1)]),
            (262, [photometric]),
            (273, [8 + sum(map(len, strips[:number])) for number in range(len(strips))]),
            (277, [bands]),
            (278, [array.shape[0]]),
            (279, [len(strip) for strip in strips]),
            (284, [2 if by_band else 1]),
            *([(338, list(extra))] if extra else []),
            (339, [kind] * bands),
        ]
        data = b"".join(strips)
        data += bytes(len(data) % 2)
        content = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data)) + data
        for page in range(pages):
            table, beside = struct.pack(f"{order}H", len(entries)), b""
            after = len(content) + 2 + 12 * len(entries) + 4
            for tag, values in entries:
                packed = struct.pack(f"{order}{len(values)}I", *values)
                place = struct.pack(f"{order}I", after + len(beside))
                table += struct.pack(f"{order}HHI", tag, 4, len(values)) + (packed if len(packed) == 4 else place)
                beside += packed if len(packed) > 4 else b""
            following = 0 if page == pages - 1 else after + len(beside)
            content += table + struct.pack(f"{order}I", following) + beside
        return content

    return make
