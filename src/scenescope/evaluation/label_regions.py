"""Regions of a mask and how firmly a model disbelieves them.

A region is a connected area of one class in the mask, or a connected part of one in which the model sees one other
class: so an object that was forgotten inside a large area is found as well as one of a wrong class. A part that is half
of its area or more stands for it, so that nothing is told twice. For a region of A pixels with label i, in which the
model rather sees j,

    score = (sum over its pixels of log p_j - log p_i, less A (log t_j - log t_i)) / (A + RIM * rim)

where t_k, the mean of p_k over the pixels labeled k, is how sure the model usually is of a class. That is the
threshold of confident learning (Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset
labels", JAIR 70, 2021, equation 2), here as a correction of odds: a class that the model is never sure of is not
disbelieved for that. The rim are the pixels beside another region, each of which counts as RIM more in which the model
is undecided: drawn edges are off by a pixel or two, and slivers along them are little but rim.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scenescope.labels import IGNORE

RIM = 4.0
"""Undecided pixels that are added for each at the edge of a region."""

SMALLEST = 25
"""Pixels of the smallest region; there are many smaller ones, and nobody would look at them."""

_TOUCHING = np.ones((3, 3), dtype=bool)
"""Areas that touch at a corner are connected."""


@dataclass(frozen=True)
class Region:
    """A connected area of a mask, or a part of one in which the model sees one other class.

    Attributes:
        label: its class in the mask.
        answer: the class that the model rather sees in it.
        share: its pixels, of those of the connected area that it is all or part of.
        area: its pixels.
        rim: those of them beside another region.
        log_odds: the sum over its pixels of log p_answer - log p_label.
        probability: the mean over its pixels of p_label.
        box: left, top, width and height, in pixels.
    """

    label: int
    answer: int
    share: float
    area: int
    rim: int
    log_odds: float
    probability: float
    box: tuple[int, int, int, int]


class SelfConfidence:
    """How sure a model is of each of K classes where the mask has it; filled image by image."""

    def __init__(self, num_classes: int) -> None:
        self._sums = np.zeros(num_classes)
        self._pixels = np.zeros(num_classes, dtype=np.int64)

    def add(self, log_probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8]) -> None:
        """Take up an image: K x H x W and H x W."""
        scored = labels != IGNORE
        own, which = np.exp(_of_class(log_probabilities, labels)[scored]), labels[scored]
        self._sums += np.bincount(which, weights=own, minlength=len(self._sums))
        self._pixels += np.bincount(which, minlength=len(self._sums))

    def log_thresholds(self) -> npt.NDArray[np.float64]:
        """Return log t of each class; one without a pixel counts as seen twice, once surely."""
        thresholds: npt.NDArray[np.float64] = np.log((self._sums + 1) / (self._pixels + 2))
        return thresholds


def score(region: Region, log_thresholds: npt.NDArray[np.float64]) -> float:
    """Return how firmly a region is disbelieved; above 0 where the model sees its answer more surely than its label."""
    usual = log_thresholds[region.answer] - log_thresholds[region.label]
    return float((region.log_odds - region.area * usual) / (region.area + RIM * region.rim))


def find_regions(
    log_probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8]
) -> tuple[list[tuple[Region, npt.NDArray[np.bool_]]], int]:
    """Return the regions of an image, each with the pixels of its box that it has, and how many were too small.

    Args:
        log_probabilities: K x H x W.
        labels: H x W train ids; ignored pixels are of no region.
    """
    areas = _Connected(labels, IGNORE)
    by_class = np.stack([areas.sums(plane) for plane in log_probabilities])
    places = np.arange(len(areas.values))
    own = by_class[areas.values, places]
    by_class[areas.values, places] = -np.inf
    rival = by_class.argmax(axis=0)
    of_label = _of_class(log_probabilities, labels)
    probability = np.exp(of_label)
    area_odds = by_class[rival, places] - own

    answers = log_probabilities.argmax(axis=0)
    # Pairs of label and answer as one number; where both agree, or nothing is labeled, there is no part.
    pairs = np.where((labels != IGNORE) & (answers != labels), labels.astype(np.int32) * 256 + answers, -1)
    parts = _Connected(pairs, -1)
    around = np.zeros(len(parts.values) + 1, dtype=np.int64)  # the area that each part lies in
    around[parts.ids.ravel()] = areas.ids.ravel()
    area_sizes = areas.sizes[around[1:] - 1]
    itself = np.ones(len(areas.values), dtype=bool)
    itself[around[1:][parts.sizes * 2 >= area_sizes] - 1] = False
    label, answer = np.divmod(parts.values, 256)
    part_odds = parts.sums(log_probabilities.max(axis=0) - of_label)

    regions = areas.regions(areas.values, rival, area_odds, areas.sums(probability), areas.sizes, itself)
    regions += parts.regions(label, answer, part_odds, parts.sums(probability), area_sizes)
    large = [each for each in regions if each[0].area >= SMALLEST]
    return large, len(regions) - len(large)


class _Connected:
    """The connected areas of a map in which each has one value.

    Args:
        values: H x W.
        nothing: the value of what is in no area.

    Attributes:
        ids: H x W, 0 for nothing, else the number of the area, from 1 on.
        values: that of each of n areas.
        sizes: its pixels.
    """

    def __init__(self, values: npt.NDArray[np.integer], nothing: int) -> None:
        self.ids = np.zeros(values.shape, dtype=np.int32)
        found: list[int] = []
        for value in np.unique(values[values != nothing]):
            numbers, count = ndimage.label(values == value, _TOUCHING)
            np.add(numbers, len(found), out=self.ids, where=numbers > 0)
            found += [int(value)] * count
        self.values = np.array(found, dtype=np.int64)
        self.sizes = self.sums(np.ones(values.shape))
        self._rims = self.sums(self._beside_another())

    def sums(self, numbers: npt.NDArray[np.floating] | npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return the sum of H x W numbers over each area."""
        weights = numbers.ravel().astype(np.float64)
        return np.bincount(self.ids.ravel(), weights, minlength=len(self.values) + 1)[1:].astype(np.float64)

    def _beside_another(self) -> npt.NDArray[np.bool_]:
        """Whether a pixel has a neighbor, up, down, left or right, of another area or of none."""
        beside = np.zeros(self.ids.shape, dtype=bool)
        for axis in (0, 1):
            differs = np.diff(self.ids, axis=axis) != 0
            first, second = ([slice(None)] * 2 for _ in range(2))
            first[axis], second[axis] = slice(None, -1), slice(1, None)
            beside[tuple(first)] |= differs
            beside[tuple(second)] |= differs
        return beside

    def regions(
        self,
        labels: npt.NDArray[np.int64],
        answers: npt.NDArray[np.int64],
        log_odds: npt.NDArray[np.float64],
        probabilities: npt.NDArray[np.float64],
        wholes: npt.NDArray[np.float64],
        which: npt.NDArray[np.bool_] | None = None,
    ) -> list[tuple[Region, npt.NDArray[np.bool_]]]:
        """Return the areas, or some of them, as regions with their pixels.

        Args:
            labels: class in the mask, and so on, of each area.
            wholes: pixels of the area of the mask that each is all or part of.
            which: those that are wanted.
        """
        found = []
        for place, (rows, columns) in enumerate(ndimage.find_objects(self.ids)):
            if which is not None and not which[place]:
                continue
            region = Region(
                label=int(labels[place]),
                answer=int(answers[place]),
                share=float(self.sizes[place] / wholes[place]),
                area=int(self.sizes[place]),
                rim=int(self._rims[place]),
                log_odds=float(log_odds[place]),
                probability=float(probabilities[place] / self.sizes[place]),
                box=(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start),
            )
            found.append((region, self.ids[rows, columns] == place + 1))
        return found


def _of_class(log_probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return H x W: what is said of the labeled class of each pixel; of ignored ones it is that of class 0."""
    places = np.where(labels == IGNORE, 0, labels)[None].astype(np.int64)
    found: npt.NDArray[np.float32] = np.take_along_axis(log_probabilities, places, axis=0)[0]
    return found
