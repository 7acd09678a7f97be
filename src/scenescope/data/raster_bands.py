"""Windows of maps as a network sees them: the bands of a rule, and what holds nothing marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scenescope.bands import BandRule, UnfitError
from scenescope.data.raster import Raster, RasterFacts
from scenescope.errors import ImageError


def color_bands(facts: RasterFacts) -> list[int]:
    """Return the bands of a map but alpha."""
    return [index for index in range(facts.bands + (facts.alpha is not None)) if index != facts.alpha]


def chosen_bands(facts: RasterFacts, rule: BandRule | None) -> list[int]:
    """Return the bands that a rule names; without one red, green and blue, or gray three times.

    Raises:
        ImageError: the map has not these bands, numbers of a type that does not fit, or a palette instead of colors.
    """
    if facts.palette:
        raise ImageError(
            f"Cannot read {facts.path}: its numbers are places in a palette, no colors; expand it, such as"
            " gdal_translate -expand rgb IN OUT."
        )
    if rule is None or rule.bands is None:
        colors = color_bands(facts)
        if len(colors) not in (1, 3):
            raise ImageError(
                f"Cannot read {facts.path}: it has {len(colors)} bands; 1 for gray or 3 for RGB are read without a"
                " declaration, such as bands: [0, 1, 2]."
            )
        chosen = colors if len(colors) == 3 else colors * 3
    else:
        count = facts.bands + (facts.alpha is not None)
        _apply(np.zeros((0, 0, count), facts.dtype), facts, rule)
        chosen = list(rule.bands)
    _apply(np.zeros((0, 0, len(chosen)), facts.dtype), facts, _of_chosen(rule, len(chosen)))
    return chosen


def read_seen(
    raster: Raster, left: int, top: int, width: int, height: int, bands: Sequence[int], rule: BandRule | None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Read a window of a map as a network sees it.

    Args:
        bands: what ``chosen_bands`` has returned.

    Returns:
        height x width x C as ``BandRule.apply`` gives it, and height x width: where there is anything. What holds
        nothing is black in uint8, else NaN.

    Raises:
        ImageError: the file is damaged or cut short there.
    """
    numbers, valid = raster.read(left, top, width, height, bands)
    image = _apply(numbers, raster.facts, _of_chosen(rule, len(bands)))
    if image.dtype == np.uint8:
        image[~valid] = 0
    else:
        valid &= ~np.isnan(image).any(axis=2)
        image[~valid] = np.nan
    return image, valid


def _of_chosen(rule: BandRule | None, count: int) -> BandRule:
    """Return the rule for bands that are chosen already."""
    return replace(rule or BandRule(), bands=tuple(range(count)))


def _apply(numbers: npt.NDArray[Any], facts: RasterFacts, rule: BandRule) -> npt.NDArray[Any]:
    try:
        return rule.apply(numbers, facts.nodata)
    except UnfitError as error:
        raise ImageError(f"Cannot read {facts.path}: {error}.") from error
