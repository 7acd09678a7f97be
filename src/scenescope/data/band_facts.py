"""What the images of a data set hold that are not plain 8 bit: bands, type, values, and the range to propose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from scenescope.bands import MUCH, BandRule, UnfitError
from scenescope.data.tiff_bands import StoredBands

PERCENTILES = (1.0, 99.0)
"""The range that is proposed: what lies below and above is cut."""
SAMPLES = 512
"""As many pixels of an image, spread over it, enter the percentiles of a data set."""
DIGITS = 4
"""Of the numbers of a proposal."""
SHOWN = 16
"""As many bands are told one by one."""


@dataclass(frozen=True)
class BandFacts:
    """What an image holds.

    Attributes:
        count: of its bands.
        type: of its numbers, such as uint16.
        lows, highs: the least and the largest of each band that are finite; 0 where there is none.
        samples: numbers of some pixels that have data, n x bands.
        outside: of each band that a rule sees, the numbers outside its range; empty without a rule that fits.
        pixels: of the image.
        without_data: of them without data.
    """

    count: int
    type: str
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    samples: npt.NDArray[Any] = field(repr=False)
    outside: tuple[int, ...] = ()
    pixels: int = 0
    without_data: int = 0


def band_facts(stored: StoredBands, rule: BandRule | None) -> BandFacts:
    """Return what an image holds, and how it fits a rule."""
    array = stored.array
    count = array.shape[2]
    flat = array.reshape(-1, count)
    held = np.isfinite(flat).all(axis=1) if array.dtype.kind == "f" else np.ones(len(flat), np.bool_)
    if stored.nodata is not None:
        held &= (flat != np.asarray(stored.nodata).astype(flat.dtype)).any(axis=1)
    kept = flat[held]
    outside: tuple[int, ...] = ()
    if rule is not None and rule.ranges is not None:
        try:
            counts, num_held = rule.outside(array, stored.nodata)
            outside, without = tuple(counts), len(flat) - num_held
        except UnfitError:  # told as a fault
            without = len(flat) - len(kept)
    else:
        without = len(flat) - len(kept)
    empty = not len(kept)
    return BandFacts(
        count,
        str(array.dtype),
        (0.0,) * count if empty else tuple(map(float, kept.min(axis=0))),
        (0.0,) * count if empty else tuple(map(float, kept.max(axis=0))),
        kept[:: max(len(kept) // SAMPLES, 1)][:SAMPLES].copy(),
        outside,
        len(flat),
        without,
    )


@dataclass
class BandCounts:
    """What the images of a split hold; filled image by image.

    Attributes:
        by_kind: the facts of the images that are not plain 8 bit, by bands and type.
    """

    by_kind: dict[tuple[int, str], list[BandFacts]] = field(default_factory=dict)

    def add(self, found: BandFacts) -> None:
        """Take up what was found in an image."""
        self.by_kind.setdefault((found.count, found.type), []).append(found)

    def sentences(self, split: str, rule: BandRule | None) -> list[str]:
        """Return what there is in words, a sentence for each kind, and how it fits the rule."""
        told = []
        for (count, type_), facts in self.by_kind.items():
            bands = "; ".join(_band(facts, band) for band in range(min(count, SHOWN))) + "; ..." * (count > SHOWN)
            kind = f"{count} band{'s' * (count > 1)} of {type_}"
            told.append(f"{split}: images that are not plain 8-bit RGB: {len(facts)} of {kind} ({bands}).")
            without, pixels = sum(each.without_data for each in facts), sum(each.pixels for each in facts)
            if without:
                told.append(
                    f"{split}: {without / pixels:.2%} of the pixels of these images have no data (NaN or nodata)"
                    + ("; they are ignored." if rule is not None and rule.ranges is not None else ".")
                )
            if rule is None or rule.ranges is None:
                continue
            fitting = [each for each in facts if each.outside]
            held = sum(each.pixels - each.without_data for each in fitting)
            for seen, (low, high) in enumerate(rule.ranges if held else ()):
                share = sum(each.outside[seen] for each in fitting) / held
                if share > MUCH:
                    band = rule.bands[seen] if rule.bands is not None else seen
                    told.append(f"{split}: {share:.0%} of the numbers of band {band} lie outside {low:g} to {high:g}.")
        return told

    def to_json(self) -> list[dict[str, Any]]:
        """Return everything but the samples as JSON holds it."""
        return [
            {
                "bands": count,
                "type": type_,
                "images": len(facts),
                "low": [min(each.lows[band] for each in _with_data(facts)) for band in range(count)],
                "high": [max(each.highs[band] for each in _with_data(facts)) for band in range(count)],
                "outside_range": [sum(each) for each in zip(*(f.outside for f in facts if f.outside), strict=True)],
                "pixels": sum(each.pixels for each in facts),
                "pixels_without_data": sum(each.without_data for each in facts),
            }
            for (count, type_), facts in self.by_kind.items()
        ]


def propose_rule(splits: Iterable[BandCounts]) -> str | None:
    """Propose lines for classes.yaml by which the images can be read: percentiles of the numbers of each band.

    Returns:
        A sentence; None where there is nothing but 8 bit.
    """
    joined: dict[tuple[int, str], list[BandFacts]] = {}
    for split in splits:
        for kind, facts in split.by_kind.items():
            joined.setdefault(kind, []).extend(facts)
    if not joined:
        return None
    if len(joined) > 1:
        kinds = ", ".join(
            f"{len(facts)} of {count} x {type_}" for (count, type_), facts in sorted(joined.items(), key=str)
        )
        return f"The images are of several kinds, {kinds}, which no one range fits; bring them to one kind first."
    ((count, type_), facts) = next(iter(joined.items()))
    bands = f"`bands: {list(range(count))}`" if count not in (1, 3) else ""
    if type_ == "uint8":
        return f"The images have {count} bands of uint8: {bands}." if bands else None
    samples = np.concatenate([each.samples for each in facts]).astype(np.float64)
    if not len(samples):
        return None
    limits = (np.iinfo(type_).min, np.iinfo(type_).max) if np.dtype(type_).kind in "iu" else (-np.inf, np.inf)
    pairs = [_pair(np.percentile(samples[:, band], PERCENTILES), limits) for band in range(count)]
    written = pairs[0] if len(set(pairs)) == 1 else f"[{', '.join(pairs)}]"
    lines = f"{bands}, `range: {written}`" if bands else f"`range: {written}`"
    below, above = PERCENTILES[0], 100 - PERCENTILES[1]
    return (
        f"The images have {count} band{'s' * (count > 1)} of {type_}, and the files do not say what is black and white;"
        f" {lines} cuts {below:g} % of the numbers of each band below and {above:g} % above."
    )


def _band(facts: Sequence[BandFacts], band: int) -> str:
    facts = _with_data(facts)
    low, high = min(each.lows[band] for each in facts), max(each.highs[band] for each in facts)
    return f"band {band}: {low:.6g} to {high:.6g}"


def _with_data(facts: Sequence[BandFacts]) -> Sequence[BandFacts]:
    return [each for each in facts if len(each.samples)] or facts


def _pair(percentiles: npt.NDArray[Any], limits: tuple[float, float]) -> str:
    low, high = (min(max(float(f"{each:.{DIGITS}g}"), limits[0]), limits[1]) for each in percentiles)
    if high == low:
        low, high = (low, low + 1) if low + 1 <= limits[1] else (low - 1, low)
    return f"[{low:.10g}, {high:.10g}]"
