"""Which bands of an image a network sees, and the range of their numbers: declared for a data set, never guessed.

A number v of a band with the range (low, high) is seen as (v - low) / (high - low), cut to 0..1. So 0 and 1 are to a
network what 0 and 255 are of 8 bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scenescope.errors import DataError

Range = tuple[float, float]

MAX_BANDS = 1024
"""Bands that a network can see."""
MUCH = 0.05
"""A larger share of numbers outside their range is told."""
LITTLE = 1 / 64
"""Numbers that use no more of their range are told: of another scale, most likely."""


class UnfitError(ValueError):
    """A whole image that is not read; says what it is and what to do."""


@dataclass(frozen=True)
class BandRule:
    """What an image has to be, and how its numbers are seen.

    Make one with ``declared_rule``.

    Attributes:
        bands: indices into the bands of a file, from 0; None for gray or RGB, gray being seen as RGB.
        ranges: low and high of each band that is seen; None for 8 bit as they are.
    """

    bands: tuple[int, ...] | None = None
    ranges: tuple[Range, ...] | None = None

    @property
    def in_channels(self) -> int:
        """The number of bands that a network sees."""
        return 3 if self.bands is None else len(self.bands)

    def __str__(self) -> str:
        """Return what images have to be, in words."""
        if self.bands is None:
            return f"gray or RGB with {self._told_ranges()}"
        listed = f"band{'s' * (len(self.bands) > 1)} {', '.join(map(str, self.bands))} (counted from 0)"
        return f"{listed} {'of uint8' if self.ranges is None else f'with {self._told_ranges()}'}"

    def _told_ranges(self) -> str:
        assert self.ranges is not None
        one = len(set(self.ranges)) == 1
        told = ", ".join(f"{low:g} to {high:g}" for low, high in (self.ranges[:1] if one else self.ranges))
        return f"{'the range' if one else 'the ranges'} {told}"

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as JSON holds it; ``rule_of`` reads it."""
        return {"bands": self.bands, "range": self.ranges}

    def apply(self, stored: npt.NDArray[Any], nodata: float | None = None) -> npt.NDArray[Any]:
        """Return an image as a network sees it.

        A pixel has no data where a band is not finite, or holds ``nodata``: one of them if that is outside its range,
        else all of them, since it may be a number like others there.

        Args:
            stored: H x W x N numbers, or H x W, as they are in a file.
            nodata: the number that the file has for no data.

        Returns:
            H x W x C: float32 in 0..1, and NaN in all bands of a pixel without data; or uint8 where the rule has no
            ranges.

        Raises:
            UnfitError: a band is missing, or the numbers are of a type that does not fit the rule.
        """
        numbers = self.select(stored)
        if self.ranges is None:
            return np.ascontiguousarray(numbers)
        low, high = np.array(self.ranges).T
        wide = numbers.dtype.itemsize > (4 if numbers.dtype.kind == "f" else 2)
        exact = numbers.astype(np.float64 if wide else np.float32)
        seen: npt.NDArray[Any] = (exact - low.astype(exact.dtype)) / (high - low).astype(exact.dtype)
        seen = np.clip(seen, 0, 1, out=seen).astype(np.float32, copy=False)
        seen[self._without_data(numbers, nodata)] = np.nan
        return seen

    def select(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the bands of H x W x N or H x W numbers that the rule names, H x W x C of the same type.

        Raises:
            UnfitError: a band is missing, or the numbers are of a type that does not fit the rule.
        """
        stored = stored[:, :, None] if stored.ndim == 2 else stored
        if stored.dtype == np.bool_:
            stored = stored.astype(np.uint8)
        count = stored.shape[2]
        has = f"{count} band{'s' * (count > 1)} of {stored.dtype}"
        if self.bands is not None:
            if max(self.bands) >= count:
                raise UnfitError(f"it has {has}, and expected are {self}; give images with these bands")
            chosen = stored if self.bands == tuple(range(count)) else stored[:, :, list(self.bands)]
        elif count in (1, 3):
            chosen = stored if count == 3 else np.repeat(stored, 3, axis=2)
        else:
            raise UnfitError(
                f"it has {has}, and expected is {self}; name the bands to use, such as bands: [0, 1, 2] in classes.yaml"
                " or data.bands=[0,1,2]"
            )
        self._require_fit(stored.dtype, has)
        return chosen

    def _require_fit(self, dtype: np.dtype[Any], has: str) -> None:
        if self.ranges is None:
            if dtype != np.uint8:
                raise UnfitError(
                    f"it has {has}, and expected are {self}; declare what of them is black and white, such as range:"
                    " [LOW, HIGH] in classes.yaml or data.range=[LOW,HIGH] (scenescope check proposes one)"
                )
            return
        if dtype.kind not in "iuf":
            raise UnfitError(f"it has {has}; whole numbers and floats are read, so convert it")
        if dtype.kind in "iu":
            least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
            if any(low < least or high > most for low, high in self.ranges):
                raise UnfitError(
                    f"it has {has}, {least} to {most}, which is another depth than {self} is for; convert it to the"
                    " depth of the others, or correct the range"
                )

    def _without_data(self, numbers: npt.NDArray[Any], nodata: float | None) -> npt.NDArray[np.bool_]:
        assert self.ranges is not None
        missing: npt.NDArray[np.bool_] = np.zeros(numbers.shape[:2], np.bool_)
        if numbers.dtype.kind == "f":
            missing |= ~np.isfinite(numbers).all(axis=2)
        if nodata is not None and np.isfinite(nodata):
            # As the file rounds it: -3.4e38 in float32 is another number than in float64.
            same = numbers == (np.asarray(nodata).astype(numbers.dtype) if numbers.dtype.kind == "f" else nodata)
            outside = np.array([not low <= nodata <= high for low, high in self.ranges])
            missing |= same.all(axis=2) | same[:, :, outside].any(axis=2)
        return missing

    def outside(self, stored: npt.NDArray[Any], nodata: float | None = None) -> tuple[list[int], int]:
        """Count the numbers below or above the range of each band that is seen, and the pixels that have data.

        Raises:
            UnfitError: as ``apply``.
        """
        numbers = self.select(stored)
        if self.ranges is None:
            return [0] * self.in_channels, numbers.shape[0] * numbers.shape[1]
        held = numbers[~self._without_data(numbers, nodata)]
        return [
            int(np.count_nonzero((held[:, band] < low) | (held[:, band] > high)))
            for band, (low, high) in enumerate(self.ranges)
        ], len(held)

    def remark(self, stored: npt.NDArray[Any], seen: npt.NDArray[Any], nodata: float | None = None) -> str:
        """Say that an image hardly fits the ranges, or that pixels of it have no data; empty where all is well.

        Args:
            seen: what ``apply`` has made of it.

        Raises:
            UnfitError: as ``apply``.
        """
        if self.ranges is None:
            return ""
        counts, held = self.outside(stored, nodata)
        told = []
        if held < (pixels := seen.shape[0] * seen.shape[1]):
            told.append(f"{1 - held / pixels:.1%} of its pixels have no data and get no class (255)")
        if held and max(counts) > MUCH * held:
            told.append(f"{max(counts) / held:.0%} of the numbers of a band are outside {self._told_ranges()}")
        elif held:
            spread = float((np.nanmax(seen, axis=(0, 1)) - np.nanmin(seen, axis=(0, 1))).max())
            if 0 < spread < LITTLE:
                told.append(
                    f"its numbers use {spread:.1%} of {self._told_ranges()}; see that they are of the same scale"
                )
        return "; ".join(told)


def declared_rule(bands: object, ranges: object) -> BandRule | None:
    """Make the rule of what a file or a recipe declares; None where neither is given.

    Args:
        bands: a list of indices from 0, or None.
        ranges: [low, high] for all bands, or one such pair for each, or None.

    Raises:
        DataError: something else is given.
    """
    if bands is None and ranges is None:
        return None
    if bands is not None and not (
        isinstance(bands, Sequence)
        and not isinstance(bands, str)
        and 0 < len(bands) <= MAX_BANDS
        and all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in bands)
    ):
        raise DataError(f"`bands` is {bands!r}; expected a list of indices from 0, such as [0, 1, 2].")
    chosen = None if bands is None else tuple(bands)
    if ranges is None:
        return BandRule(chosen)
    count = 3 if chosen is None else len(chosen)
    if _is_pair(ranges):
        return BandRule(chosen, ((float(ranges[0]), float(ranges[1])),) * count)  # type: ignore[index]
    if not (isinstance(ranges, Sequence) and not isinstance(ranges, str) and ranges and all(map(_is_pair, ranges))):
        raise DataError(
            f"`range` is {ranges!r}; expected the numbers that are black and white, the smaller one first, such as"
            " [0, 3000], or one such pair for each band."
        )
    if len(ranges) != count:
        named = f"{count} bands" if chosen is not None else "RGB, as `bands` is not given,"
        raise DataError(f"`range` has {len(ranges)} pairs for {named}; give one pair for all, or one for each band.")
    return BandRule(chosen, tuple((float(low), float(high)) for low, high in ranges))


def rule_of(values: Mapping[str, Any] | None) -> BandRule | None:
    """Read a rule from what ``BandRule.to_dict`` has given, by way of JSON.

    Raises:
        DataError: it is no rule.
    """
    return None if values is None else declared_rule(values.get("bands"), values.get("range"))


def rule_for(in_channels: int) -> BandRule | None:
    """Return the rule of a network that declares none: none for 3 bands (8-bit RGB), else 8-bit bands."""
    return None if in_channels == 3 else BandRule(tuple(range(in_channels)))


def as_shown(seen: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return what a network sees as people see it, H x W x 3 uint8 RGB; 8-bit RGB is returned as it is.

    The first three bands are red, green and blue; of one or two, the first is gray. What has no data is black.

    Args:
        seen: H x W x C uint8, or float32 in 0..1.
    """
    if seen.dtype == np.uint8 and seen.shape[2] == 3:
        return seen
    colors = seen[:, :, :3] if seen.shape[2] >= 3 else np.repeat(seen[:, :, :1], 3, axis=2)
    if colors.dtype == np.uint8:
        return np.ascontiguousarray(colors)
    shown: npt.NDArray[np.uint8] = np.rint(np.nan_to_num(colors) * 255).astype(np.uint8)
    return shown


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) == 2
        and all(isinstance(each, int | float) and not isinstance(each, bool) and np.isfinite(each) for each in value)
        and value[0] < value[1]
    )
