"""TIFF beyond Pillow's table of kinds: plain images in other words are read, the rest is named by its header."""

from __future__ import annotations

import contextlib
import ctypes
import io
import struct
from typing import IO

import numpy as np
from PIL import TiffImagePlugin, _imaging
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    COMPRESSION,
    COMPRESSION_INFO,
    EXTRASAMPLES,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SAMPLEFORMAT,
    SAMPLESPERPIXEL,
    STRIPBYTECOUNTS,
    STRIPOFFSETS,
    TILEBYTECOUNTS,
    TILEOFFSETS,
)

from scenescope.data.depth import MAX_FRAMES, UnfitError

STARTS = tuple(TiffImagePlugin.PREFIXES)
"""What a TIFF begins with."""

_BLACK_IS_ZERO, _RGB, _BAND_BY_BAND = 1, 2, 2
_PHOTOMETRIC = {
    **{0: "WhiteIsZero", 1: "BlackIsZero", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELAB"},
    **{9: "ICCLAB", 10: "ITULAB", 32803: "raw of a sensor", 32844: "LogL", 32845: "LogLuv", 34892: "raw of a sensor"},
}
_TYPES = {1: "uint", 2: "int", 3: "float", 5: "complex int", 6: "complex"}
_COMPRESSIONS = COMPRESSION_INFO | {34712: "JPEG 2000", 34887: "LERC", 50002: "JPEG XL", 52546: "JPEG XL"}

_NEW_SUBFILE_TYPE, _MAX_BANDS = 254, 2000
_IN_NATIVE_ORDER = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}

Tags = TiffImagePlugin.ImageFileDirectory_v2


class TiffImage(TiffImagePlugin.TiffImageFile):
    """Pillow's reader, which also takes a single band that is stored band by band, and RGB marked as bands of gray.

    Raises:
        UnfitError: of a kind that is not read, with bands that are neither gray, color nor alpha, or a preview.
    """

    def _setup(self) -> None:
        tags, kind = self.tag_v2, _described(self.tag_v2)
        bands, extra = _bands(tags), tuple(tags.get(EXTRASAMPLES, ()))
        if bands == 1:
            tags[PLANAR_CONFIGURATION] = 1
        # So GDAL writes RGB of 16 bit, if it is not told PHOTOMETRIC=RGB.
        if bands >= 3 and tags.get(PHOTOMETRIC_INTERPRETATION) == _BLACK_IS_ZERO:
            tags[PHOTOMETRIC_INTERPRETATION] = _RGB
            if len(extra) == bands - 1:
                del tags[EXTRASAMPLES]
                if extra[2:]:
                    tags[EXTRASAMPLES] = extra[2:]
        try:
            super()._setup()
        except (SyntaxError, LookupError) as error:
            if not (_is_plausible(tags) and _is_whole(tags, self.fp)):
                raise
            raise UnfitError(f"{kind} is not read; {_remedy(tags)}") from error
        if tags.get(_NEW_SUBFILE_TYPE, 0) & 1:
            raise UnfitError(f"{kind} is but the preview of an image further on in the file; save that alone")
        # Pillow drops them without a word.
        if bands > len(self.getbands()) and self.mode != "CMYK":
            raise UnfitError(f"{kind} has bands that are neither gray, color nor alpha; {_remedy(tags)}")
        self._name_raw_modes()

    def _name_raw_modes(self) -> None:
        """Mend two slips of Pillow: planes of 16 bit are taken for 8, and what libtiff has swapped is swapped again."""
        order = "B" if self.tag_v2.prefix == b"MM" else "L"
        planes = len(self.getbands())
        by_band = self.tag_v2.get(PLANAR_CONFIGURATION) == _BAND_BY_BAND and number_type(self.tag_v2) == "uint16"
        for number, tile in enumerate(self.tile):
            raw, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
            if tile.codec_name == "libtiff":
                raw = _IN_NATIVE_ORDER.get(raw, raw)
            elif by_band and planes > 1:
                raw = f"{self.mode[number * planes // len(self.tile)]};16{order}"
            self.tile[number] = tile._replace(args=(raw, *rest))


def silence_libtiff() -> None:
    """Keep libtiff from printing what goes wrong, which Pillow raises as well, where its library can be reached."""
    with contextlib.suppress(AttributeError, OSError):
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)


def number_type(tags: Tags) -> str:
    """Return the type of the numbers, such as uint16."""
    return f"{_TYPES.get(tags.get(SAMPLEFORMAT, (1,))[0], 'unknown')}{tags.get(BITSPERSAMPLE, (1,))[0]}"


def true_numbers(array: np.ndarray, tags: Tags) -> np.ndarray:
    """Return decoded numbers with their sign: Pillow takes int8 for uint8, and uint32 for int32."""
    kind = number_type(tags)
    return array.view(kind) if kind in ("int8", "uint32") else array


def white_is_zero(tags: Tags) -> bool:
    """Whether 0 is white and the largest number black."""
    return bool(tags.get(PHOTOMETRIC_INTERPRETATION, 0) == 0)


def count_pages(file: IO[bytes]) -> int:
    """Return the number of pages, up to MAX_FRAMES; in linear time, while Pillow's takes the square of it."""
    back = file.tell()
    file.seek(0)
    start = file.read(16)
    order = "<" if start[:2] == b"II" else ">"
    big = 43 in start[2:4]
    count, entry, link = (f"{order}Q", 20, f"{order}Q") if big else (f"{order}H", 12, f"{order}I")
    seen: set[int] = set()
    try:
        (place,) = struct.unpack_from(link, start, 8 if big else 4)
        while place and place not in seen and len(seen) < MAX_FRAMES:
            seen.add(place)
            file.seek(place)
            (entries,) = struct.unpack(count, file.read(struct.calcsize(count)))
            file.seek(entries * entry, io.SEEK_CUR)
            (place,) = struct.unpack(link, file.read(struct.calcsize(link)))
    # The chain is cut or leads nowhere; the first page may be whole.
    except (struct.error, OSError, OverflowError):
        pass
    file.seek(back)
    return max(1, len(seen))


def _described(tags: Tags) -> str:
    """What a TIFF is, by its header."""
    photometric, compression = tags.get(PHOTOMETRIC_INTERPRETATION), tags.get(COMPRESSION, 1)
    words = [_PHOTOMETRIC.get(photometric or 0, f"photometric {photometric}")]
    if tags.get(PLANAR_CONFIGURATION) == _BAND_BY_BAND:
        words.append("INTERLEAVE=BAND")
    if compression != 1:
        words.append(f"compression {_COMPRESSIONS.get(compression, compression)}")
    bands = _bands(tags)
    return f"this TIFF of {bands} band{'s' * (bands > 1)} of {number_type(tags)} ({', '.join(words)})"


def _bands(tags: Tags) -> int:
    return int(tags.get(SAMPLESPERPIXEL, 1))


def _is_plausible(tags: Tags) -> bool:
    """Whether a header says what there is elsewhere; damaged ones have 41,475 bands or 17 bits."""
    known = (PHOTOMETRIC_INTERPRETATION, _PHOTOMETRIC), (COMPRESSION, _COMPRESSIONS)
    bits = tags.get(BITSPERSAMPLE, (1,))[0]
    return (
        all(tags.get(tag, 1) in names for tag, names in known)
        and tags.get(SAMPLEFORMAT, (1,))[0] in _TYPES
        and bits in (1, 2, 4, 8, 10, 12, 14, 16, 24, 32, 64, 128)
        and 1 <= _bands(tags) <= _MAX_BANDS
    )


def _is_whole(tags: Tags, file: IO[bytes] | None) -> bool:
    """Whether the file holds all that its header says."""
    places = tags.get(STRIPOFFSETS) or tags.get(TILEOFFSETS) or ()
    sizes = tags.get(STRIPBYTECOUNTS) or tags.get(TILEBYTECOUNTS) or ()
    ends = [place + size for place, size in zip(places, sizes, strict=False)]
    return file is not None and bool(ends) and max(ends) <= file.seek(0, io.SEEK_END)


def _remedy(tags: Tags) -> str:
    """What to do about a kind that is not read."""
    bands, kind = _bands(tags), number_type(tags)
    if tags.get(COMPRESSION, 1) not in COMPRESSION_INFO:
        return "save it in another compression, such as gdal_translate -co COMPRESS=DEFLATE IN OUT"
    if bands == 1 and kind.startswith(("uint", "int")):
        return "save it as uint8 or uint16, in numpy array.astype(numpy.uint8), or with gdal_translate -ot Byte IN OUT"
    if bands == 2 or bands > 4 or kind != "uint8":
        declared = f"{f'bands: {list(range(min(bands, 4)))} and ' if bands > 1 else ''}range: [LOW, HIGH]"
    else:
        declared = f"bands: {list(range(bands))}"
    declared = f"declare what is seen of it by {declared} in classes.yaml (scenescope check proposes a range), or "
    chosen = " -b 1 -b 2 -b 3 -co PHOTOMETRIC=RGB" if bands >= 3 else " -b 1"
    if kind == "uint8":
        return f"{declared}save it as gray or RGB, such as gdal_translate{chosen} -co INTERLEAVE=PIXEL IN OUT"
    return (
        f"{declared}save it as gray or RGB of 8 bit, with one range for all images, such as "
        f"gdal_translate{chosen} -ot Byte -scale LOW HIGH 0 255 -co INTERLEAVE=PIXEL IN OUT"
    )
