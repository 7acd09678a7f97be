"""How far scores depend on the choice of the images: percentile intervals by the bootstrap.

N images are drawn with replacement from the N that were scored, their pixels are counted together, and the scores are
formed of these counts as they are of those of all images; the middle 95 % of 1,000 such scores are the interval. Efron,
"Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 1979; the percentile method.

Images are drawn and not pixels, since the pixels of one image are alike. The interval says nothing of other cameras or
other places, nor of training once more; neighboring frames of a video make it too narrow.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scenescope.evaluation.class_scores import Absent, mean_scores, per_class

FEW = 20
"""Images of which fewer make intervals too narrow: less than 95 % of them hold the truth."""

LEVEL = 0.95
RESAMPLES = 1000
SEED = 0

_HELD = 2**22
"""Numbers of a block of weights: so memory does not grow with the number of images."""

Interval = tuple[float, float]


def resampled_counts(
    counts: npt.NDArray[np.int64], resamples: int = RESAMPLES, seed: int = SEED
) -> npt.NDArray[np.int64]:
    """Return R x ... sums of the counts of N images that are drawn with replacement, R times.

    Draws depend on N, R and the seed alone, so two results of the same images are drawn alike.

    Args:
        counts: N x ... counts of single images, all together below 2**53.
        resamples: R.
    """
    generator = np.random.default_rng(seed)
    num_images = len(counts)
    # In float64 matrices are multiplied many times faster, and whole numbers of this size are exact.
    flat = counts.reshape(num_images, -1).astype(np.float64)
    found = np.empty((resamples, flat.shape[1]), np.int64)
    block = max(_HELD // num_images, 1)
    for start in range(0, resamples, block):
        stop = min(start + block, resamples)
        drawn = [generator.integers(num_images, size=num_images) for _ in range(start, stop)]
        weights = np.stack([np.bincount(each, minlength=num_images) for each in drawn])
        found[start:stop] = np.rint(weights.astype(np.float64) @ flat)
    return found.reshape(resamples, *counts.shape[1:])


def scored_images(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the N x 3 x K counts of those images that have a scored pixel: the others would dilute a draw."""
    return counts[counts[:, 0].any(axis=1)]


def interval(values: npt.NDArray[np.float64], level: float = LEVEL) -> Interval | None:
    """Return the middle share of the values that are numbers, by percentiles, or None where none is."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class Intervals:
    """The intervals of the scores of a data set.

    Args:
        counts: N x 3 x K counts of single images, see ``ImageCounts``.
        absent: what a class that a draw lacks does to the means of that draw.

    Attributes:
        images: how many have a scored pixel, and are drawn from.
        means: the interval of each mean score by its name; none of one image alone.
        classes: K intervals of each score of classes by its name; None for a class that has none.
    """

    def __init__(self, counts: npt.NDArray[np.int64], absent: Absent) -> None:
        scored = scored_images(counts)
        self.images = len(scored)
        self.means: dict[str, Interval | None] = {}
        self.classes: dict[str, list[Interval | None]] = {}
        if self.images > 1:
            drawn = resampled_counts(scored)
            self.means = {name: interval(values) for name, values in mean_scores(drawn, absent).items()}
            self.classes = {name: [interval(each) for each in values.T] for name, values in per_class(drawn).items()}

    @property
    def few(self) -> bool:
        """Whether there are too few images for intervals to be as wide as they say."""
        return self.images < FEW

    def to_json(self, names: tuple[str, ...]) -> dict[str, object]:
        """Return everything as an object that JSON can hold, with the names of the K classes."""
        by_class = {score: dict(zip(names, found, strict=True)) for score, found in self.classes.items()}
        drawn = {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED, "images": self.images}
        return {**drawn, **self.means, **by_class}
