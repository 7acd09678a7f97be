"""The connected areas of a label map, and what is written about each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from scenescope.data.formats.keyholes import Ring, bridged
from scenescope.data.formats.outlines import Outlines, trace
from scenescope.data.formats.runs import Labels, Runs
from scenescope.errors import ImageError

MAX_REGIONS = 1_000_000
"""So many areas of one image are written; no tool opens a file of more."""


@dataclass(frozen=True, eq=False)
class Region:
    """Pixels of one class that are connected by their edges. Coordinates count from the image's top left corner.

    Attributes:
        label: the class, 0..K-1.
        area: pixels.
        box: left, top, right, bottom of the smallest box around its pixels; that of the pixel at (0, 0) is 0, 0, 1, 1.
        centroid: (x, y), the mean of the centers of its pixels; that of the pixel at (0, 0) is (0.5, 0.5).
        probability: mean probability of its class over its pixels, 0 to 1, where probabilities were given.
        rings: the exterior and the holes, each P x 2 corners (x, y) of pixels; see ``outlines`` for what holds of them.
    """

    label: int
    area: int
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    probability: float | None
    rings: list[Ring]

    def polygon(self) -> Ring:
        """Return all rings as one, P x 2, with a bridge to each hole, for whatever knows no holes."""
        return bridged(self.rings)


class Regions:
    """All regions of a label map, by their first pixels in the order of reading.

    Args:
        labels: H x W; pixels of 255 are of no region.
        probabilities: K x H x W, as of a prediction, or None.

    Attributes:
        areas: H x W, the number of each pixel's region, counted from 1, or 0.
        labels: R, the class of each region.
        sizes: R, its pixels.

    Raises:
        ImageError: more than a million regions.
    """

    def __init__(self, labels: Labels, probabilities: npt.NDArray[np.float32] | None = None) -> None:
        runs = Runs(labels)
        self.areas, self.labels, self.sizes = runs.areas(), runs.labels, runs.sizes()
        if len(self) > MAX_REGIONS:
            raise ImageError(
                f"The labels fall into {len(self):,} areas, more than the {MAX_REGIONS:,} that are written; leave out"
                " small ones (--min-area 10) and fill holes (--fill-holes 10)."
            )
        row, first = np.divmod(runs.place, max(labels.shape[1], 1))
        behind = first + runs.length
        # A run of pixels first..behind-1 has its center at the mean of both.
        sums = [runs.sum(runs.length * (first + behind) / 2), runs.sum(runs.length * (row + 0.5))]
        self.centroids = np.stack(sums, 1) / self.sizes[:, None]
        self.boxes = np.tile(np.array((*labels.shape[::-1], 0, 0), np.int64), (len(self) + 1, 1))
        for side, values in ((0, first), (1, row)):
            np.minimum.at(self.boxes[:, side], runs.region, values)
        for side, values in ((2, behind), (3, row + 1)):
            np.maximum.at(self.boxes[:, side], runs.region, values)
        self.boxes = self.boxes[1:]
        self.probabilities: npt.NDArray[np.float64] | None = None
        if probabilities is not None:
            classes = np.minimum(labels, len(probabilities) - 1)[None]
            own = np.take_along_axis(probabilities, classes, axis=0)
            totals = np.bincount(self.areas.reshape(-1), own.reshape(-1), len(self) + 1)
            self.probabilities = totals[1:] / self.sizes

    @cached_property
    def outlines(self) -> Outlines:
        """The outlines of all regions."""
        return trace(self.areas)

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Region]:
        for index in range(len(self)):
            left, top, right, bottom = self.boxes[index].tolist()
            x, y = self.centroids[index].tolist()
            probability = None if self.probabilities is None else float(self.probabilities[index])
            label, size = int(self.labels[index]), int(self.sizes[index])
            yield Region(label, size, (left, top, right, bottom), (x, y), probability, self.outlines.of(index + 1))
