"""What a mask stores, where Pillow gives what it shows: gray of less than 8 bit is spread over 0..255."""

from __future__ import annotations

import numpy as np
from PIL import Image

from scenescope.data import tiff
from scenescope.data.decoding import file_content, maxval, raw_mode


def is_lossy(image: Image.Image) -> bool:
    """Whether an image, not decoded yet, is compressed in a way that changes values."""
    if image.format == "WEBP":
        return not _is_lossless_webp(file_content(image))
    compression = image.info.get("compression")
    return image.format in ("JPEG", "MPO", "AVIF") or compression in ("jpeg", "tiff_jpeg", "webp")


def is_inverted(image: Image.Image) -> bool:
    """Whether 0 is white in an image that is not decoded yet: a PBM, or a TIFF with WhiteIsZero."""
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        return tiff.white_is_zero(tags)
    return image.format == "PPM" and raw_mode(image).startswith("1")


def largest_sample(image: Image.Image) -> int:
    """Return the number that is stored for white in a gray image that is not decoded yet; 0 if it is shown as it is.

    1 bit has 1, 2 bit 3 and 4 bit 15; a PGM says it.
    """
    raw, largest = raw_mode(image), maxval(image)
    if largest:
        return 0 if largest in (255, 65535) else largest
    if raw.startswith("1"):
        return 1
    return {"L;2": 3, "L;4": 15}.get(raw[:3], 0)


def as_stored(shown: np.ndarray, largest: int) -> np.ndarray:
    """Return the stored numbers of H x W uint8 that are shown, or of a PGM's of more than 8 bit."""
    white = 255 if largest <= 255 else 65535
    return np.rint(shown * (largest / white)).astype(np.uint8 if largest <= 255 else np.uint16)


def _is_lossless_webp(content: bytes) -> bool:
    place = 12
    while place + 8 <= len(content):
        kind = content[place : place + 4]
        if kind in (b"VP8L", b"VP8 ", b"ANMF"):
            return kind == b"VP8L"
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return False
