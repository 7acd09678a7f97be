"""Fixtures for the tests of the data."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """A function that makes the bytes of a PNG of any kind, also such as Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    def make(width: int, height: int, depth: int, colour_type: int, rows: bytes, late_exif: bytes = b"") -> bytes:
        header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
        chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
        if late_exif:
            chunks += chunk(b"eXIf", late_exif)
        return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")

    return make
