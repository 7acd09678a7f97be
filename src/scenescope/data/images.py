"""Reading images of any common kind as upright 8-bit RGB, with a limit on their size.

The formats are an explicit list: Pillow knows some forty, and its rare readers are where its faults are found.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from scenescope.bands import UnfitError
from scenescope.data import tiff
from scenescope.data.decoding import file_content, orientation, rgb_array
from scenescope.data.jpeg import MAX_SCANS, count_scans
from scenescope.errors import ImageError, ScenescopeError

# What Pillow says of damaged files beside its exceptions is in our own messages.
logging.getLogger("PIL").addHandler(logging.NullHandler())
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
tiff.silence_libtiff()

MAX_PIXELS = 200_000_000
"""The largest image that is decoded, in pixels, unless the caller says otherwise."""

USUAL_BYTES = 16
"""A pixel of more bytes, as those of many bands, counts for several."""

_AVIF = ("AVIF",) if importlib.util.find_spec("PIL._avif") is not None else ()

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", *_AVIF)
"""The readers of Pillow that are used; JPEG includes MPO, the format of stereo cameras and many telephones."""

SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "webp", "tif", "tiff", "bmp", "gif", "ppm", "pgm", "pbm", "pnm"),
        *(name.lower() for name in _AVIF),
    )
)
"""The endings, in lower case, by which a folder is searched for images."""

UNREAD_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("avif", "heic", "heif", "hif", "jxl", "jp2", "j2k", "jpx", "jpf", "psd", "exr", "hdr", "tga", "qoi"),
        *("dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf", "dcm"),
    )
).difference(SUFFIXES)
"""The endings of images that are not read; where a folder has one, that is to be told."""

_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_NAMES = {
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop's PSD",
    b"v/1\x01": "OpenEXR",
    b"SIMPLE  =": "FITS",
    b"\x89HDF": "HDF5",
    b"\x93NUMPY": "an array of numpy",
    b"%PDF": "PDF",
}
"""What is not read, by its first bytes."""


@dataclass(frozen=True)
class Header:
    """What an image's header says: (width, height) as displayed, and as stored before the EXIF rotation."""

    size: tuple[int, int]
    stored_size: tuple[int, int]


def read_image(path: Path | str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image as it is displayed: EXIF rotation applied, the first frame, transparency dropped.

    16-bit numbers are scaled from 0..65535 and numbers with a fraction from 0..1; an image that does not use that
    range is refused, since no other is known, see ``Stored.rgb``.

    Args:
        path: JPEG, MPO, PNG, WebP, TIFF, BMP, GIF, PPM, and AVIF where Pillow has it.
        max_pixels: a larger image is refused from its header, before anything is decoded.

    Returns:
        H x W x 3 uint8 RGB, 0..255.

    Raises:
        ImageError: missing, not an image, damaged, cut short, too large, or of a kind or range that is not read.
    """
    with opened(Path(path), max_pixels) as image:
        return rgb_array(image)


def scaled_down(image: np.ndarray, longest_side: int) -> np.ndarray:
    """Return an image, RGB or as a rule for bands gives it, whose longer side is at most so many pixels."""
    height, width = image.shape[:2]
    if max(height, width) <= longest_side:
        return image
    factor = longest_side / max(height, width)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    if image.shape[2:] != (3,) or image.dtype != np.uint8:
        return resized(image, size)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an H x W x C image, RGB or as a rule for bands gives it, of this width and height, smoothly."""
    if image.shape[2:] == (3,) and image.dtype == np.uint8:
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    # Without the overshoot of Lanczos: numbers stay in 0..1.
    each = (
        Image.fromarray(image[:, :, band]).resize(size, Image.Resampling.BILINEAR) for band in range(image.shape[2])
    )
    return np.stack([np.asarray(band) for band in each], axis=2)


def read_header(path: Path | str, max_pixels: int = MAX_PIXELS) -> Header:
    """Read the size of an image without decoding it (a PNG is decoded when its EXIF may follow the pixels).

    Raises:
        ImageError: as ``read_image``, as far as the header shows it.
    """
    with opened(Path(path), max_pixels) as image:
        width, height = image.size
        if orientation(image) not in (5, 6, 7, 8):
            return Header((width, height), (width, height))
        # Pillow reports a rotated TIFF, and only a TIFF, by its size as displayed.
        if image.format == "TIFF":
            return Header((width, height), (height, width))
        return Header((height, width), (width, height))


@contextlib.contextmanager
def opened(path: Path, max_pixels: int, content: bytes | None = None) -> Iterator[Image.Image]:
    """Open an image of an accepted format and size; whatever goes wrong while it is open becomes an ImageError.

    Args:
        content: the bytes of an image that lies in an archive; then ``path`` is only its name there.

    Raises:
        ImageError: see ``read_image``. A ScenescopeError raised by the caller's own block passes unchanged.
    """
    source = path if content is None else io.BytesIO(content)
    with read_errors(path, content) as start, _opened_as(source, start) as image:
        refuse_size(path, *image.size, max_pixels)
        if image.format in ("JPEG", "MPO") and (scans := count_scans(file_content(image))) > MAX_SCANS:
            raise UnfitError(
                f"a JPEG of {scans} scans, more than {MAX_SCANS}, would take long to decode; save it again"
            )
        yield image


def refuse_size(path: Path, width: int, height: int, max_pixels: int, bytes_per_pixel: int = 3) -> None:
    """Refuse an image that is larger than the limit, or holds as much as some such.

    Raises:
        ImageError: it is.
    """
    if width * height * max(bytes_per_pixel, USUAL_BYTES) > max_pixels * USUAL_BYTES:
        deep = f" of {bytes_per_pixel} bytes" if bytes_per_pixel > USUAL_BYTES else ""
        raise ImageError(
            f"Cannot read {path}: {width} x {height} pixels{deep} are more than the limit of {max_pixels:,}; "
            "scale the image down or raise the limit (--max-pixels, in Python max_pixels)."
        )


@contextlib.contextmanager
def read_errors(path: Path, content: bytes | None = None) -> Iterator[bytes]:
    """Give the first bytes of an image to whoever reads it; whatever goes wrong meanwhile becomes an ImageError.

    Raises:
        ImageError: see ``read_image``. A ScenescopeError raised by the caller's own block passes unchanged.
    """
    if content is None:
        require_file(path)
    try:
        start = _start(path) if content is None else content[:12]
        with _without_pillow_limit():
            yield start
    except ScenescopeError:
        raise
    except UnfitError as error:
        raise ImageError(f"Cannot read {path}: {error}.") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"Cannot read {path}: {_unknown(start)}.") from error
    except MemoryError as error:
        raise ImageError(f"Cannot read {path}: not enough memory to decode it; scale the image down.") from error
    except PermissionError as error:
        raise ImageError(f"Cannot read {path}: {error.strerror}; check its permissions.") from error
    # Damaged files make readers raise nearly anything: OSError, SyntaxError, ValueError, struct.error, EOFError,
    # KeyError, zlib.error, OverflowError, ...
    except Exception as error:
        raise _damaged(path, error) from error


def _opened_as(source: Path | io.BytesIO, start: bytes) -> Image.Image:
    return tiff.TiffImage(source) if start.startswith(tiff.STARTS) else Image.open(source, formats=FORMATS)


def require_file(path: Path) -> None:
    """Refuse a path that cannot be an image, before anything is read.

    Raises:
        ImageError: nothing is there, or no file, or it is empty.
    """
    if problem := _not_a_file(path):
        raise ImageError(f"Cannot read {path}: {problem}.")


def _not_a_file(path: Path) -> str:
    """Why a path cannot be an image, or an empty string."""
    try:
        if path.is_dir():
            return "it is a directory; give an image in it"
        if not path.exists():
            return "no such file; check the path"
        if not path.is_file():
            return "it is not a regular file; give an image"
        return "" if path.stat().st_size else "the file is empty; copy or export it again"
    except (OSError, ValueError) as error:
        return f"{getattr(error, 'strerror', None) or error}; check the path"


def _damaged(path: Path, error: Exception) -> ImageError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"Cannot read {path}: the image is damaged or cut short ({reason}); copy or export it again.")


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)


def _unknown(start: bytes) -> str:
    """What a file is that no reader knows, by its first bytes."""
    name = next((name for bytes_, name in _NAMES.items() if start.startswith(bytes_)), "")
    if start[4:8] == b"ftyp" and start[8:12] in _BRANDS:
        name = "HEIC"
    if name:
        return f"{name} is not read; save the image as JPEG or PNG"
    if start.startswith(b"\xff\xd8\xff"):
        return (
            "a JPEG that is damaged at its start or of a kind that is not read, such as 12 bit or lossless; "
            "copy or export it again"
        )
    return f"not an image, or damaged at its start; {', '.join(FORMATS)} are read"


_limit_lock = threading.Lock()
_limit_users = 0
_limit_saved: int | None = None


@contextlib.contextmanager
def _without_pillow_limit() -> Iterator[None]:
    """Lift Pillow's global limit while one of our own images is open; the last to leave restores it.

    Pillow's limit (179 million pixels) is below ours and cannot be set for one call.
    """
    global _limit_users, _limit_saved
    with _limit_lock:
        if _limit_users == 0:
            _limit_saved, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _limit_users += 1
    try:
        yield
    finally:
        with _limit_lock:
            _limit_users -= 1
            if _limit_users == 0:
                Image.MAX_IMAGE_PIXELS = _limit_saved
