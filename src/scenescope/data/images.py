"""Reading pictures of any common kind as upright 8-bit RGB, with a limit on their size.

The formats are an explicit list: Pillow knows some forty, and its rare readers are where its faults are found.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from scenescope.errors import ImageError, ScenescopeError

MAX_PIXELS = 200_000_000
"""The largest picture that is decoded, in pixels, unless the caller says otherwise."""

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""The readers of Pillow that are used; JPEG includes MPO, the format of stereo cameras and many telephones."""

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm")
)
"""The endings, in lower case, by which a folder is searched for pictures."""

_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Header:
    """What a picture's header says: (width, height) as displayed, and as stored before the EXIF rotation."""

    size: tuple[int, int]
    stored_size: tuple[int, int]


def read_image(path: Path | str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture as it is displayed: EXIF rotation applied, the first frame, transparency dropped.

    16-bit grey is scaled to 8 bit; numbers with a fraction are taken as 0..1, 0..255 or 0..65535, whichever is the
    smallest range that holds them.

    Args:
        path: JPEG, MPO, PNG, WebP, TIFF, BMP, GIF or PPM.
        max_pixels: a larger picture is refused from its header, before anything is decoded.

    Returns:
        H x W x 3 uint8 RGB, 0..255.

    Raises:
        ImageError: missing, not a picture, damaged, cut short or too large.
    """
    with opened(Path(path), max_pixels) as picture:
        return rgb_array(upright(picture))


def read_header(path: Path | str, max_pixels: int = MAX_PIXELS) -> Header:
    """Read the size of a picture without decoding it (a PNG is decoded when its EXIF may follow the pixels).

    Raises:
        ImageError: as ``read_image``, as far as the header shows it.
    """
    with opened(Path(path), max_pixels) as picture:
        width, height = picture.size
        if _orientation(picture) not in (5, 6, 7, 8):
            return Header((width, height), (width, height))
        # Pillow reports a rotated TIFF, and only a TIFF, by its size as displayed.
        if picture.format == "TIFF":
            return Header((width, height), (height, width))
        return Header((height, width), (width, height))


@contextlib.contextmanager
def opened(path: Path, max_pixels: int, content: bytes | None = None) -> Iterator[Image.Image]:
    """Open a picture of an accepted format and size; whatever goes wrong while it is open becomes an ImageError.

    Args:
        content: the bytes of a picture that lies in an archive; then ``path`` is only its name there.

    Raises:
        ImageError: see ``read_image``. A ScenescopeError raised by the caller's own block passes unchanged.
    """
    if content is None and (problem := _not_a_file(path)):
        raise ImageError(f"Cannot read {path}: {problem}.")
    source = path if content is None else io.BytesIO(content)
    try:
        with _without_pillow_limit(), Image.open(source, formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise ImageError(
                    f"Cannot read {path}: {width} x {height} pixels are more than the limit of {max_pixels:,}; "
                    "scale the picture down or raise the limit (--max-pixels, in Python max_pixels)."
                )
            yield picture
    except ScenescopeError:
        raise
    except UnidentifiedImageError as error:
        start = _start(path) if content is None else content[:12]
        raise ImageError(f"Cannot read {path}: {_unknown(start)}.") from error
    except MemoryError as error:
        raise ImageError(f"Cannot read {path}: not enough memory to decode it; scale the picture down.") from error
    except PermissionError as error:
        raise ImageError(f"Cannot read {path}: {error.strerror}; check its permissions.") from error
    # Damaged files make Pillow's readers raise nearly anything: OSError, SyntaxError, ValueError, struct.error,
    # EOFError, KeyError, zlib.error, OverflowError, ...
    except Exception as error:
        raise _damaged(path, error) from error


def upright(picture: Image.Image) -> Image.Image:
    """Decode a picture and turn it as its EXIF says."""
    picture.load()
    turn = _TURNS.get(_orientation(picture))
    return picture if turn is None else picture.transpose(turn)


def conversions(picture: Image.Image) -> list[str]:
    """Return in words what is done to a picture that is no upright 8-bit RGB of one frame, before it is decoded."""
    frames, notes = getattr(picture, "n_frames", 1), []
    if frames > 1:
        notes.append(f"the first of {frames} frames")
    if picture.mode != "RGB":
        notes.append(f"{picture.mode} made RGB")
    if _orientation(picture) in _TURNS:
        notes.append("turned as its EXIF says")
    return notes


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation 1..8; damaged EXIF counts as upright, as in every viewer."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def rgb_array(picture: Image.Image) -> np.ndarray:
    """Return a decoded Pillow picture of any mode as H x W x 3 uint8 RGB; see ``read_image`` for the ranges."""
    if picture.mode.startswith("I;16"):
        grey = _to_byte(np.asarray(picture), 65535)
    elif picture.mode in ("I", "F"):
        numbers = np.nan_to_num(np.asarray(picture, dtype=np.float64), posinf=0.0, neginf=0.0)
        largest = float(numbers.max())
        ranges = (65535.0,) if picture.mode == "I" else (1.0, 255.0, 65535.0)
        grey = _to_byte(numbers, next((limit for limit in ranges if largest <= limit), largest))
    elif picture.mode == "RGB":
        return np.array(picture)
    elif picture.mode in ("P", "PA"):
        # By way of RGBA: straight to RGB, Pillow warns about palettes with transparency.
        return np.array(picture.convert("RGBA").convert("RGB"))
    else:
        return np.array(picture.convert("RGB"))
    return np.repeat(grey[:, :, None], 3, axis=2)


def _to_byte(numbers: np.ndarray, largest: float) -> np.ndarray:
    """Scale 0..largest to 0..255, rounded."""
    scaled: np.ndarray = np.rint(np.clip(numbers, 0, largest) * (255.0 / largest)).astype(np.uint8)
    return scaled


def _not_a_file(path: Path) -> str:
    """Why a path cannot be a picture, or an empty string."""
    try:
        if path.is_dir():
            return "it is a directory; give a picture in it"
        if not path.exists():
            return "no such file; check the path"
        if not path.is_file():
            return "it is not a regular file; give a picture"
        return "" if path.stat().st_size else "the file is empty; copy or export it again"
    except (OSError, ValueError) as error:
        return f"{getattr(error, 'strerror', None) or error}; check the path"


def _damaged(path: Path, error: Exception) -> ImageError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"Cannot read {path}: the picture is damaged or cut short ({reason}); copy or export it again.")


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)


def _unknown(start: bytes) -> str:
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        return "HEIC and AVIF are not read; save the picture as JPEG or PNG"
    return "not a picture, or damaged at its start; JPEG, PNG, WebP, TIFF, BMP, GIF and PPM are read"


_limit_lock = threading.Lock()
_limit_users = 0
_limit_saved: int | None = None


@contextlib.contextmanager
def _without_pillow_limit() -> Iterator[None]:
    """Lift Pillow's global limit while one of our own pictures is open; the last to leave restores it.

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
