"""Images read by a declared rule: any bands, any depth, from TIFF, PNG, arrays of numpy and what Pillow reads."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL.TiffImagePlugin import COMPRESSION, SAMPLESPERPIXEL

from scenescope.bands import BandRule, UnfitError
from scenescope.data import tiff
from scenescope.data.decoding import all_bands
from scenescope.data.images import MAX_PIXELS, Header, opened, read_errors, refuse_size
from scenescope.data.tiff import number_type
from scenescope.data.tiff_bands import (
    COMPRESSIONS,
    StoredBands,
    image_size,
    is_read,
    read_tags,
    read_tiff_bands,
    upright_array,
)
from scenescope.errors import ImageError

_ARRAY = b"\x93NUMPY"
_ORIENTATION = 274


def read_bands(path: Path, rule: BandRule, max_pixels: int = MAX_PIXELS) -> npt.NDArray[Any]:
    """Read an image by a rule, upright: H x W x C as ``BandRule.apply`` gives it.

    Raises:
        ImageError: as ``read_image``, or the file lacks a band or has a depth that does not fit the rule.
    """
    stored = read_stored_bands(path, max_pixels)
    return apply_rule(stored, rule, path)


def read_noted_bands(path: Path, rule: BandRule, max_pixels: int = MAX_PIXELS) -> tuple[npt.NDArray[Any], str]:
    """Read an image by a rule, and say what is to be known of how it fits, see ``BandRule.remark``.

    Raises:
        ImageError: as ``read_bands``.
    """
    stored = read_stored_bands(path, max_pixels)
    seen = apply_rule(stored, rule, path)
    return seen, rule.remark(stored.array, seen, stored.nodata)


def measure_bands(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Return how many pixels and pages an image has that a rule reads, without reading it.

    Raises:
        ImageError: as ``read_bands``, as far as the header shows it.
    """
    with read_errors(path) as start, path.open("rb") as file:
        if start.startswith(_ARRAY):
            return math.prod(_array_header(path, file, max_pixels)[0][:2]), 1
        if start.startswith(tiff.STARTS) and is_read(tags := read_tags(file)):
            width, height = image_size(tags)
            refuse_size(path, width, height, max_pixels)
            return width * height, tiff.count_pages(file)
    with opened(path, max_pixels) as image:
        several = getattr(image, "is_animated", False) and image.format != "MPO"
        return image.width * image.height, 2 if several else 1


def measure_tiff(path: Path, max_pixels: int = MAX_PIXELS, content: bytes | None = None) -> tuple[Header, int] | None:
    """Return the sizes and the orientation of a TIFF whose bands a rule reads, read to its end; None of all else.

    Raises:
        ImageError: as ``read_stored_bands``.
    """
    with read_errors(path, content) as start:
        if not start.startswith(tiff.STARTS):
            return None
        with _opened(path, content) as file:
            tags = read_tags(file)
    if not is_read(tags):
        return None
    height, width = read_stored_bands(path, max_pixels, content).array.shape[:2]
    turned = int(tags.get(_ORIENTATION, 1))
    stored = (height, width) if turned in (5, 6, 7, 8) else (width, height)
    return Header((width, height), stored), turned


def apply_rule(stored: StoredBands, rule: BandRule, path: Path) -> npt.NDArray[Any]:
    """Apply a rule to what a file holds.

    Raises:
        ImageError: the file lacks a band or has a depth that does not fit the rule.
    """
    with read_errors(path, b""):
        return rule.apply(stored.array, stored.nodata)


def read_stored_bands(path: Path, max_pixels: int = MAX_PIXELS, content: bytes | None = None) -> StoredBands:
    """Read all numbers of an image, H x W x N of the file's own type, upright.

    TIFF of any bands and depth, ``.npy`` (H x W or H x W x N, never pickled), PNG of 8 and 16 bit, and what else
    ``read_image`` takes.

    Args:
        content: the bytes of an image that is no file; then ``path`` is only its name.

    Raises:
        ImageError: missing, not an image, damaged, cut short, too large, or of a kind that is not read.
    """
    with read_errors(path, content) as start:
        if start.startswith(_ARRAY):
            return StoredBands(_read_array(path, max_pixels, content))
        if start.startswith(tiff.STARTS):
            with _opened(path, content) as file:
                tags = read_tags(file)
                if is_read(tags):
                    depth = tags.get(SAMPLESPERPIXEL, 1) * np.dtype(number_type(tags)).itemsize
                    refuse_size(path, *image_size(tags), max_pixels, depth)
                    stored = read_tiff_bands(file, tags)
                    return StoredBands(upright_array(stored.array, int(tags.get(_ORIENTATION, 1))), stored.nodata)
                if tags.get(SAMPLESPERPIXEL, 1) > 4 or not number_type(tags).startswith("uint"):
                    raise UnfitError(
                        f"this TIFF has {tags.get(SAMPLESPERPIXEL, 1)} bands of {number_type(tags)} in compression"
                        f" {tags.get(COMPRESSION, 1)}; read are {', '.join(dict.fromkeys(COMPRESSIONS.values()))}, such"
                        " as gdal_translate -co COMPRESS=DEFLATE IN OUT"
                    )
    with opened(path, max_pixels, content) as image:
        return StoredBands(all_bands(image))


def read_wide_integers(path: Path, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.int64] | None:
    """Read the single band of a TIFF of 64-bit integers, which numpy's are and Pillow does not read; None of others.

    Raises:
        ImageError: as ``read_bands``.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    try:
        with read_errors(path) as start, path.open("rb") as file:
            if not start.startswith(tiff.STARTS):
                return None
            tags = read_tags(file)
    except ImageError:  # whoever reads it otherwise tells more of it
        return None
    if number_type(tags) not in ("int64", "uint64") or tags.get(SAMPLESPERPIXEL, 1) != 1 or not is_read(tags):
        return None
    return read_stored_bands(path, max_pixels).array[:, :, 0].astype(np.int64)


@contextlib.contextmanager
def _opened(path: Path, content: bytes | None) -> Iterator[IO[bytes]]:
    with path.open("rb") if content is None else io.BytesIO(content) as file:
        yield file


def _read_array(path: Path, max_pixels: int, content: bytes | None) -> npt.NDArray[Any]:
    with _opened(path, content) as file:
        _array_header(path, file, max_pixels)
        file.seek(0)
        array: npt.NDArray[Any] = np.load(file, allow_pickle=False)
    return array[:, :, None] if array.ndim == 2 else array


def _array_header(path: Path, file: IO[bytes], max_pixels: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if len(shape) not in (2, 3) or dtype.kind not in "buif":
        raise UnfitError(f"an array of shape {shape} and type {dtype}; an image is H x W or H x W x bands of numbers")
    refuse_size(path, shape[1], shape[0], max_pixels, dtype.itemsize * (shape[2] if len(shape) == 3 else 1))
    return shape, dtype
