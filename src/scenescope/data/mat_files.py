"""Label maps in MATLAB files: ``GTcls.Segmentation`` of SBD, ``LabelMap`` of PASCAL Context, ``S`` of COCO-Stuff."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from scenescope.data.images import MAX_PIXELS
from scenescope.errors import ImageError, ScenescopeError

VARIABLES = ("GTcls", "LabelMap", "S")
"""The variables that are read; all else in the file is passed over."""

MAX_BYTES = 2**24
"""A file whose variables take more is refused: those of these data sets take a megabyte or two."""

_HEADER, _COMPRESSED = 128, 15


def read_matrix(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read the label map of a ``.mat`` file as H x W numbers of an unsigned type.

    scipy's reader makes arrays of what it finds and executes nothing.

    Raises:
        ImageError: missing, damaged, too large, of MATLAB's version 7.3, or without one of the three variables.
    """
    # Here and not above: only three data sets need scipy.
    from scipy.io import loadmat, whosmat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = io.BytesIO(_inflated(path))
            for name, shape, _ in whosmat(file):
                if name in VARIABLES and int(np.prod(shape, dtype=object)) > max_pixels:
                    raise _too_large(path, shape, max_pixels)
            file.seek(0)
            matrix = _label_map(loadmat(file, variable_names=VARIABLES))
    except ScenescopeError:
        raise
    except OSError as error:
        raise ImageError(f"Cannot read {path}: {error.strerror or error}; check the path.") from error
    except NotImplementedError as error:
        raise ImageError(f"Cannot read {path}: MATLAB 7.3 files are not read; save it again with -v7.") from error
    except MemoryError as error:
        raise ImageError(f"Cannot read {path}: not enough memory to decode it; copy the file again.") from error
    # Damaged files make the reader raise nearly anything: ValueError, TypeError, zlib.error, KeyError, ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            f"Cannot read {path}: the MATLAB file is damaged or cut short ({reason}); copy it again."
        ) from error
    if matrix is None:
        raise ImageError(
            f"Cannot read {path}: it holds no label map; expected GTcls.Segmentation (SBD), LabelMap (PASCAL Context) "
            "or S (COCO-Stuff), two-dimensional, of whole numbers from 0 on."
        )
    if matrix.size > max_pixels:
        raise _too_large(path, matrix.shape, max_pixels)
    return matrix


def _inflated(path: Path) -> bytes:
    """The file with its variables inflated up to a limit: scipy inflates them whatever they grow to.

    Raises:
        ImageError: they are larger.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    parts, place = [content], len(content)
    # MATLAB 4 compresses nothing, and 7.3 is refused.
    if order is not None:
        parts, place = [content[:_HEADER]], _HEADER
    left = MAX_BYTES - place
    while left >= 0 and place + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        part = content[place : place + 8 + size]
        if kind == _COMPRESSED:
            part = zlib.decompressobj().decompress(part[8:], left + 1)
        left -= len(part)
        parts.append(part)
        place += 8 + size
    if left < 0:
        raise ImageError(
            f"Cannot read {path}: its variables take more than {MAX_BYTES:,} bytes; save the label map alone."
        )
    return b"".join(parts)


def _label_map(variables: dict[str, Any]) -> np.ndarray | None:
    """The label map as unsigned integers, or None where there is none."""
    found = next((variables[name] for name in VARIABLES if name in variables), None)
    if found is not None and found.dtype.names is not None:
        found = found["Segmentation"][0, 0] if "Segmentation" in found.dtype.names and found.size == 1 else None
    if found is None or found.ndim != 2 or found.size == 0 or found.dtype.kind not in "buif":
        return None
    # MATLAB's numbers are floating point unless somebody asks for others.
    if found.min() < 0 or found.max() > 65535 or not (found == np.floor(found)).all():
        return None
    unsigned: np.ndarray = found.astype(np.uint8 if found.max() <= 255 else np.uint16)
    return unsigned


def _too_large(path: Path, shape: tuple[int, ...], max_pixels: int) -> ImageError:
    size = " x ".join(map(str, reversed(shape)))
    return ImageError(f"Cannot read {path}: {size} values are more than the limit of {max_pixels:,} (max_pixels).")
