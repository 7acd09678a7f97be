"""Masks of other tools as labels: what a value or color means, and what is said of one that means nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scenescope.data.formats.annotations import IGNORED, Fault, Labels
from scenescope.data.masks import count_raw_values, pack, read_raw, shown_color
from scenescope.labels import Color

MAX_FAULTS = 5
"""Unknown values of a mask that are told one by one."""


def value_labels(path: Path, meanings: Mapping[int, int], content: bytes | None = None) -> Labels:
    """Read a mask of numbers.

    Args:
        path: an image with one number per pixel.
        meanings: index into the classes, UNLABELED or IGNORED for each value.
        content: the bytes of a mask that lies in an archive; then ``path`` is only its name there.

    Returns:
        Labels of pixels; a value without meaning is a fault and its pixels are ignored.

    Raises:
        ImageError, DataError: it cannot be read, or holds colors.
    """
    return _look_up(path, read_raw(path, colors=False, content=content).astype(np.int64), meanings, color=False)


def color_labels(path: Path, meanings: Mapping[Color, int]) -> Labels:
    """Read a mask of RGB colors, likewise.

    Raises:
        ImageError, DataError: it cannot be read, or holds numbers.
    """
    raw = read_raw(path, colors=True).astype(np.int64)
    codes = raw[:, :, 0] << 16 | raw[:, :, 1] << 8 | raw[:, :, 2]
    return _look_up(path, codes, {pack(color): label for color, label in meanings.items()}, color=True)


def _look_up(path: Path, codes: np.ndarray, meanings: Mapping[int, int], color: bool) -> Labels:
    kinds, places = np.unique(codes, return_inverse=True)
    table = np.array([meanings.get(code, IGNORED) for code in kinds.tolist()])
    unknown = [code for code in kinds.tolist() if code not in meanings]
    counts = count_raw_values(codes) if unknown else {}
    faults = []
    for code in unknown[:MAX_FAULTS]:
        name = f"color {shown_color(code)}" if color else f"value {code}"
        faults.append(Fault(str(path), name, f"has no class; {counts[code]:,} pixels, which are ignored", 0))
    if len(unknown) > MAX_FAULTS:
        rest = unknown[MAX_FAULTS:]
        pixels = sum(counts[code] for code in rest)
        faults.append(Fault(str(path), "", f"{len(rest)} more values have no class; {pixels:,} pixels", 0))
    return Labels(pixels=table[places].reshape(codes.shape), faults=faults)
