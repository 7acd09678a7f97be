"""All bands of a TIFF, whatever they mean: Pillow knows gray, RGB and alpha, this knows numbers.

A strip or tile is handed to libtiff, by way of Pillow, as an image of its bytes; what they mean follows here: order of
bytes, predictor, and whether bands lie pixel by pixel or one after the other (TIFF 6.0, and Adobe's Technical Note 3 of
2005 for the predictor of floats).
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    COMPRESSION,
    IMAGELENGTH,
    IMAGEWIDTH,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    PREDICTOR,
    ROWSPERSTRIP,
    SAMPLEFORMAT,
    SAMPLESPERPIXEL,
    STRIPBYTECOUNTS,
    STRIPOFFSETS,
    TILEBYTECOUNTS,
    TILELENGTH,
    TILEOFFSETS,
    TILEWIDTH,
)

from scenescope.bands import UnfitError
from scenescope.data.tiff import STARTS, Tags, number_type

COMPRESSIONS = {1: "none", 5: "LZW", 8: "Deflate", 32773: "PackBits", 32946: "Deflate", 34925: "LZMA", 50000: "ZSTD"}
"""What is read here; others, such as JPEG, are for 8 bit."""
PHOTOMETRICS = (1, 2)
"""BlackIsZero and RGB: numbers as they are."""
TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64")

_NEEDED = {
    *(IMAGEWIDTH, IMAGELENGTH, BITSPERSAMPLE, COMPRESSION, PHOTOMETRIC_INTERPRETATION, SAMPLESPERPIXEL, ROWSPERSTRIP),
    *(PLANAR_CONFIGURATION, PREDICTOR, SAMPLEFORMAT, STRIPOFFSETS, STRIPBYTECOUNTS, TILEWIDTH, TILELENGTH, TILEOFFSETS),
    TILEBYTECOUNTS,
}
_MAX_TAGS = 4096
_GDAL_NODATA, _BAND_BY_BAND = 42113, 2
_GEOREFERENCE = {33550, 34264, 34735}
"""The tags of GeoTIFF: scale of a pixel, transform, keys of the coordinate reference system."""
_DIFFERENCES, _FLOAT_DIFFERENCES = 2, 3


@dataclass(frozen=True)
class StoredBands:
    """All numbers of an image, upright.

    Attributes:
        array: H x W x N of the file's own type.
        nodata: the number that stands for no data, where the file has one.
    """

    array: npt.NDArray[Any]
    nodata: float | None = None


def read_tags(file: IO[bytes]) -> Tags:
    """Return the tags of the first page."""
    file.seek(0)
    header = file.read(8)
    if header[2:4] in (b"+\0", b"\0+"):  # BigTIFF
        header += file.read(8)
    tags: Tags = TiffImagePlugin.ImageFileDirectory_v2(header)
    start = file.seek(tags.next)
    tags.load(file)
    # Pillow leaves out what it cannot read, and the default of the type of the numbers would be another.
    if lost := (_present(file, start, header) & _NEEDED) - tags.keys():
        raise ValueError(f"its header lacks the values of tag {min(lost)}")
    return tags


def tiff_facts(path: Path) -> tuple[int, bool]:
    """Return how many pixels a TIFF has, and whether it says where on earth they lie; (0, False) of other files.

    Only the tags of the first page are looked at, so that any kind of numbers will do.
    """
    try:
        with path.open("rb") as file:
            if not file.read(4).startswith(STARTS):
                return 0, False
            tags = read_tags(file)
            return math.prod(image_size(tags)), not _GEOREFERENCE.isdisjoint(tags.keys())
    # Damaged ones make Pillow raise nearly anything; whoever reads the file says what is wrong with it.
    except Exception:
        return 0, False


def _present(file: IO[bytes], start: int, header: bytes) -> set[int]:
    """The numbers of the tags that a page has."""
    order, big = "<" if header[:2] == b"II" else ">", len(header) > 8
    file.seek(start)
    count, entry = (f"{order}Q", 20) if big else (f"{order}H", 12)
    (entries,) = struct.unpack(count, file.read(struct.calcsize(count)))
    table = file.read(entry * min(entries, _MAX_TAGS))
    return {struct.unpack_from(f"{order}H", table, place)[0] for place in range(0, len(table) - 1, entry)}


def is_read(tags: Tags) -> bool:
    """Whether the bands of a TIFF are read here; what is not may be of a kind that Pillow reads."""
    return (
        tags.get(COMPRESSION, 1) in COMPRESSIONS
        and tags.get(PHOTOMETRIC_INTERPRETATION, 1) in PHOTOMETRICS
        and number_type(tags) in TYPES
        and len(set(tags.get(BITSPERSAMPLE, (1,)))) == 1
    )


def image_size(tags: Tags) -> tuple[int, int]:
    """Return width and height as they are stored."""
    return int(tags[IMAGEWIDTH]), int(tags[IMAGELENGTH])


def read_tiff_bands(file: IO[bytes], tags: Tags) -> StoredBands:
    """Read the first page of a TIFF that ``is_read``, as it is stored.

    Raises:
        UnfitError: its pieces cannot be those of an image of its size.
        Exception: of many kinds, where the file is damaged.
    """
    (width, height), bands = image_size(tags), int(tags.get(SAMPLESPERPIXEL, 1))
    dtype = np.dtype(number_type(tags)).newbyteorder(">" if tags.prefix == b"MM" else "<")
    tiled = TILEOFFSETS in tags
    piece_width = int(tags[TILEWIDTH]) if tiled else width
    piece_height = int(tags[TILELENGTH]) if tiled else min(int(tags.get(ROWSPERSTRIP, height)), height)
    offsets = tags[TILEOFFSETS if tiled else STRIPOFFSETS]
    sizes = tags[TILEBYTECOUNTS if tiled else STRIPBYTECOUNTS]
    by_band = tags.get(PLANAR_CONFIGURATION, 1) == _BAND_BY_BAND
    planes, deep = (bands, 1) if by_band else (1, bands)
    across, down = -(-width // piece_width), -(-height // piece_height)
    if not len(offsets) == len(sizes) == planes * across * down:
        raise UnfitError("its header tells of more or fewer pieces than it has; export it again")
    # A tile is no larger than twice the image, so nothing is decoded that the limit of pixels does not know of.
    if piece_width * piece_height > 4 * max(width, 256) * max(height, 256):
        raise UnfitError(f"its tiles of {piece_width} x {piece_height} pixels are larger than it; export it again")
    array = np.zeros((height, width, bands), dtype.newbyteorder("="))
    end = file.seek(0, io.SEEK_END)
    for number, (offset, size) in enumerate(zip(offsets, sizes, strict=True)):
        plane, place = divmod(number, across * down)
        top, left = (piece_height * (place // across), piece_width * (place % across))
        rows = piece_height if tiled else min(piece_height, height - top)
        if offset == size == 0:  # GDAL's way to leave out what holds nothing
            continue
        if offset + size > end:
            raise ValueError("it ends before its pixels do")
        file.seek(offset)
        raw = _decompressed(file.read(size), rows, piece_width * deep * dtype.itemsize, tags)
        piece = _numbers(raw, dtype, deep, int(tags.get(PREDICTOR, 1)))[: height - top, : width - left]
        target = array[top : top + rows, left : left + piece_width]
        target[:, :, plane : plane + deep] = piece
    return StoredBands(array, _nodata(tags))


def _decompressed(content: bytes, rows: int, row_bytes: int, tags: Tags) -> npt.NDArray[np.uint8]:
    """The bytes of a strip or tile, rows x bytes: the only strip of a gray image of 8 bit to libtiff."""
    if (compression := tags.get(COMPRESSION, 1)) == 1:
        return np.frombuffer(content, np.uint8, rows * row_bytes).reshape(rows, row_bytes)
    entries = [
        *((IMAGEWIDTH, row_bytes), (IMAGELENGTH, rows), (BITSPERSAMPLE, 8), (COMPRESSION, compression)),
        *((PHOTOMETRIC_INTERPRETATION, 1), (STRIPOFFSETS, 0), (SAMPLESPERPIXEL, 1), (ROWSPERSTRIP, rows)),
        (STRIPBYTECOUNTS, len(content)),
    ]
    start = 8 + 2 + 12 * len(entries) + 4
    packed = b"".join(
        struct.pack("<HHII", tag, 4, 1, start if tag == STRIPOFFSETS else value) for tag, value in entries
    )
    page = b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4) + content
    with Image.open(io.BytesIO(page), formats=("TIFF",)) as image:
        return np.array(image)


def _numbers(raw: npt.NDArray[np.uint8], dtype: np.dtype[Any], deep: int, predictor: int) -> npt.NDArray[Any]:
    """The numbers of a strip or tile, rows x columns x bands."""
    rows = len(raw)
    if predictor == _FLOAT_DIFFERENCES:
        # Differences of bytes; then the highest bytes of all numbers of a row come first, whatever the order elsewhere.
        summed = np.cumsum(raw.reshape(rows, -1, deep), axis=1, dtype=np.uint8)
        apart = summed.reshape(rows, dtype.itemsize, -1)
        return np.ascontiguousarray(apart.transpose(0, 2, 1)).view(dtype.newbyteorder(">")).reshape(rows, -1, deep)
    numbers = np.ascontiguousarray(raw).view(dtype).reshape(rows, -1, deep)
    if predictor != _DIFFERENCES:
        return numbers
    unsigned = np.dtype(f"u{dtype.itemsize}")
    summed = np.cumsum(numbers.view(unsigned.newbyteorder(dtype.byteorder)), axis=1, dtype=unsigned)
    return summed.view(dtype.newbyteorder("="))


def _nodata(tags: Tags) -> float | None:
    value: object = tags.get(_GDAL_NODATA)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            number = float(value.strip("\0 \n"))
            return number if math.isfinite(number) else None
    return None


def upright_array(array: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn H x W x N as the orientation 1..8 of TIFF and EXIF says."""
    turns: Sequence[Any] = (
        *(lambda a: a, lambda a: a[:, ::-1], lambda a: a[::-1, ::-1], lambda a: a[::-1]),
        *(lambda a: a.transpose(1, 0, 2), lambda a: a.transpose(1, 0, 2)[:, ::-1]),
        *(lambda a: a.transpose(1, 0, 2)[::-1, ::-1], lambda a: a.transpose(1, 0, 2)[::-1]),
    )
    turned: npt.NDArray[Any] = turns[orientation - 1](array) if 1 <= orientation <= 8 else array
    return turned
