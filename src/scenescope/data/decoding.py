"""From an opened Pillow image to its numbers: upright, with all bits that the file has, and as 8-bit RGB."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace

import numpy as np
from PIL import ExifTags, Image, ImageFile
from PIL.TiffImagePlugin import EXTRASAMPLES

from scenescope.data import tiff
from scenescope.data.depth import Stored, UnfitError

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_WIDE_COLORS = re.compile("(RGB|RGBA|RGBX|R|G|B|A);16[BLN]")


def rgb_array(image: Image.Image) -> np.ndarray:
    """Decode a Pillow image of any mode as upright H x W x 3 uint8 RGB.

    Raises:
        UnfitError: see ``stored`` and ``Stored.rgb``.
    """
    return stored(image).rgb()


def stored(image: Image.Image) -> Stored:
    """Decode a Pillow image and turn it as its EXIF says, with all bits that it has.

    Raises:
        UnfitError: a TIFF whose last band is marked as alpha, but is something else.
    """
    tags, mode, turn = getattr(image, "tag_v2", None), image.mode, 1
    # All this has to be asked before decoding, for Pillow forgets it then.
    frames, wide, low = count_frames(image), is_wide(image), _low_bytes(image)
    if tags is not None:
        turn = orientation(image)
    image.load()
    # The EXIF of a PNG may follow the pixels.
    if tags is None:
        turn = orientation(image)
    flat = upright(image)
    if tags is not None:
        _require_alpha(flat, named=bool(tags.get(EXTRASAMPLES)))
    found = _join_bytes(flat, low) if wide else _numbers(flat, tags, image.format == "PPM")
    return replace(found, mode=mode, frames=frames, orientation=turn, transparent=is_transparent(flat))


def all_bands(image: Image.Image) -> np.ndarray:
    """Decode a Pillow image and turn it as its EXIF says: H x W x N of the type of its numbers, alpha a band as others.

    Palettes are made colors, and gray of less than 8 bit is spread over 0..255, as is shown.
    """
    wide, low, in_ppm = is_wide(image), _low_bytes(image), image.format == "PPM"  # asked before decoding
    flat = upright(image)
    if flat.mode in ("P", "PA"):
        flat = flat.convert("RGBA" if flat.has_transparency_data else "RGB")
    elif flat.mode == "1":
        flat = flat.convert("L")
    array = np.asarray(flat)
    if wide:
        array = array.astype(np.uint16) << 8 | (array if low is None else np.asarray(low))
    elif array.dtype.itemsize == 2 or (array.dtype == np.int32 and in_ppm):
        array = array.astype(np.uint16)  # of the order of bytes of this machine, and what a PGM has comes as 32 bit
    return array[:, :, None] if array.ndim == 2 else array


def upright(image: Image.Image) -> Image.Image:
    """Decode an image and turn it as its EXIF says."""
    image.load()
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation 1..8; damaged EXIF counts as upright, as in every viewer."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def raw_mode(image: Image.Image) -> str:
    """Return Pillow's name of how the pixels lie in the file, such as RGB;16B; empty once they are decoded."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    arguments = tiles[0].args
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def count_frames(image: Image.Image) -> int:
    """Return the frames or pages of an image that is not decoded yet, of a TIFF no more than MAX_FRAMES."""
    file = getattr(image, "fp", None)
    if file is None:
        return 1
    return tiff.count_pages(file) if image.format == "TIFF" else int(getattr(image, "n_frames", 1))


def is_transparent(image: Image.Image) -> bool:
    """Whether a decoded image is not opaque everywhere."""
    if not image.has_transparency_data or image.mode[0] in "IF":
        return False
    alpha = image if "A" in image.getbands() else image.convert("RGBA")
    return alpha.getchannel("A").getextrema() != (255, 255)


def is_wide(image: Image.Image) -> bool:
    """Whether an image that is not decoded yet has colors of 16 bit, of which Pillow keeps 8."""
    return image.mode in ("RGB", "RGBA") and (";16" in raw_mode(image) or maxval(image) > 255)


def maxval(image: Image.Image) -> int:
    """Return the number that is white in a PGM or PPM that is not decoded yet; 0 for other formats."""
    tiles = getattr(image, "tile", None)
    if image.format != "PPM" or not tiles or raw_mode(image).startswith("1"):
        return 0
    arguments = tiles[0].args
    # Pillow names it where it has to scale; its own reader of 16 bit knows 65535 alone.
    return int(arguments[1]) if isinstance(arguments, tuple) else 65535 if ";16" in arguments else 255


def file_content(image: Image.Image) -> bytes:
    """Return the whole file of an image that is not decoded yet."""
    file = getattr(image, "fp", None)
    if file is None:
        return b""
    place = file.tell()
    file.seek(0)
    content: bytes = file.read()
    file.seek(place)
    return content


def _join_bytes(high: Image.Image, low: Image.Image | None) -> Stored:
    """Colors of 16 bit; where the low bytes are out of reach, as if they were equal to the high ones."""
    upper = np.asarray(high)[:, :, :3].astype(np.uint16)
    return Stored(upper << 8 | (upper if low is None else np.asarray(low)[:, :, :3]), "uint16", 65535)


def _numbers(image: Image.Image, tags: tiff.Tags | None, in_ppm: bool) -> Stored:
    """The numbers of an image of any mode but colors of 16 bit."""
    array = np.asarray(image)
    if tags is not None:
        array = tiff.true_numbers(array, tags)
    if array.dtype in (np.uint8, np.bool_):
        return Stored(_rgb(image))
    if image.mode == "F":
        return Stored(array, "float32", 1, tags is not None and tiff.white_is_zero(tags))
    if tags is None:
        # What a PGM has is scaled to 16 bit, but comes as 32.
        return Stored(array, "uint16" if in_ppm else array.dtype.name, 65535)
    kind = tiff.number_type(tags)
    return Stored(array, kind, {"int8": 255, "uint12": 4095}.get(kind, 65535), tiff.white_is_zero(tags))


def _rgb(image: Image.Image) -> np.ndarray:
    """The pixels of an 8-bit image of any mode."""
    # By way of alpha: straight to RGB, Pillow warns about palettes with transparency and knows no premultiplied gray.
    between = {"P": "RGBA", "PA": "RGBA", "La": "LA"}.get(image.mode)
    if between is not None:
        image = image.convert(between)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _low_bytes(image: Image.Image) -> Image.Image | None:
    """Of 16-bit colors Pillow keeps the high bytes: the low ones, upright, by reading the file in the other order."""
    if _WIDE_COLORS.fullmatch(raw_mode(image)) is None or not isinstance(image, ImageFile.ImageFile):
        return None
    other = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
    twin = type(image)(io.BytesIO(file_content(image)))
    for number, tile in enumerate(twin.tile):
        first, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        swapped = str(first)[:-1] + other[str(first)[-1]]
        twin.tile[number] = tile._replace(args=(swapped, *rest) if rest else swapped)
    return upright(twin)


def _require_alpha(image: Image.Image, *, named: bool) -> None:
    """Refuse a band that is called alpha or nothing at all and holds something: near infrared, most often."""
    bands = image.getbands()
    if len(bands) == 4 and ("X" in bands or ("A" in bands and not named)):
        low, high = image.getchannel(3).getextrema()
        refused, what = low != high, "is no color, and nothing says what it is"
    else:
        counts = image.getchannel("A").histogram() if "A" in bands else [1]
        refused = counts[0] + counts[-1] < sum(counts) / 2
        what = "is marked as alpha, but most of its pixels are neither clear nor opaque"
    if refused:
        colors = " ".join(f"-b {number}" for number in range(1, len(bands)))
        raise UnfitError(
            f"band {len(bands)} of this TIFF {what}; "
            f"it would be dropped: declare what is seen by bands: {list(range(len(bands)))} in classes.yaml, or leave "
            f"it out, such as gdal_translate {colors} IN OUT"
        )
