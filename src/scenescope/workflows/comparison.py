"""Comparing two results over the same images: the difference, and how far it depends on the choice of the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scenescope.errors import DataError
from scenescope.evaluation.bootstrap import FEW, LEVEL, RESAMPLES, SEED, Interval, interval, resampled_counts
from scenescope.evaluation.class_scores import mean_scores, per_class
from scenescope.workflows.evaluation_result import EvaluationResult


@dataclass(frozen=True)
class Change:
    """A score in the first and in the second result.

    Attributes:
        first: None where there is no such score.
        second: likewise.
        interval: of the difference; None where it has none.
    """

    first: float | None
    second: float | None
    interval: Interval | None = None

    @property
    def difference(self) -> float | None:
        """The second less the first; None where one of them is missing."""
        return None if self.first is None or self.second is None else self.second - self.first

    def to_json(self) -> dict[str, Any]:
        """Return everything as an object that JSON can hold."""
        found = {"first": self.first, "second": self.second, "difference": self.difference}
        return found if self.interval is None else {**found, "interval": list(self.interval)}


@dataclass(frozen=True)
class Comparison:
    """What changes from a first result to a second.

    Attributes:
        means: each mean score by its name.
        classes: the IoU of each class by its name.
        images: the mean IoU of each scored image by its name, over the classes in it or its prediction; the most
            changed first.
    """

    means: dict[str, Change]
    classes: dict[str, Change]
    images: dict[str, Change]

    def sentence(self) -> str:
        """Say whether these images tell the two results apart in mean IoU."""
        found = self.means["mean_iou"].interval
        if found is None:
            return "One scored image has no interval."
        low, high = found
        few = f" Intervals of fewer than {FEW} images are too narrow." if len(self.images) < FEW else ""
        if low <= 0 <= high:
            return f"The interval of the mean IoU holds 0: these images do not tell the two apart.{few}"
        where, how = ("above", "better") if low > 0 else ("below", "worse")
        return f"The interval of the mean IoU lies {where} 0: the second is {how} beyond the choice of the images.{few}"

    def to_json(self) -> dict[str, Any]:
        """Return everything as an object that JSON can hold."""
        parts = {"means": self.means, "classes": self.classes, "images": self.images}
        changes = {what: {name: change.to_json() for name, change in part.items()} for what, part in parts.items()}
        return {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED, **changes}


def compare(first: EvaluationResult, second: EvaluationResult) -> Comparison:
    """Compare two results over the same images.

    Each draw takes the same images of both, so what makes an image hard for both cancels out.

    Raises:
        DataError: other classes, images or true labels, or another way with absent classes.
    """
    order = _require_same(first, second)
    scored = np.flatnonzero(first.counts[:, 0].any(axis=1))
    counts = first.counts[scored], second.counts[order][scored]
    several = len(scored) > 1
    # The same draws twice: they depend on the number of images alone.
    draws = [resampled_counts(each) if several else each[:0] for each in counts]
    means = [mean_scores(each.sum(axis=0), first.absent) for each in counts]
    drawn_means = [mean_scores(each, first.absent) for each in draws]
    iou = [per_class(each.sum(axis=0))["iou"] for each in counts]
    drawn_iou = [per_class(each)["iou"] for each in draws]
    of_images = [mean_scores(each, "skip")["mean_iou"] for each in counts]
    moved = np.argsort(-np.abs(of_images[1] - of_images[0]), kind="stable")
    return Comparison(
        means={
            name: _change(means[0][name], means[1][name], drawn_means[1][name] - drawn_means[0][name])
            for name in means[0]
        },
        classes={
            name: _change(iou[0][number], iou[1][number], (drawn_iou[1] - drawn_iou[0])[:, number])
            for number, name in enumerate(first.classes)
        },
        images={
            first.images[scored[place]]: _change(of_images[0][place], of_images[1][place]) for place in moved.tolist()
        },
    )


def _change(first: Any, second: Any, drawn: npt.NDArray[np.float64] | None = None) -> Change:
    values = [None if np.isnan(value) else float(value) for value in (first, second)]
    return Change(values[0], values[1], None if drawn is None else interval(drawn))


def _require_same(first: EvaluationResult, second: EvaluationResult) -> list[int]:
    """Return where each image of the first is in the second, or say what differs."""
    if len(first.classes) != len(second.classes):
        raise _refused(f"the first has {len(first.classes)} classes and the second {len(second.classes)}")
    for number, (name, other) in enumerate(zip(first.classes, second.classes, strict=True)):
        if name != other:
            raise _refused(f"class {number} is {name!r} in the first and {other!r} in the second")
    if first.absent != second.absent:
        raise _refused(f"--absent was {first.absent} in the first and {second.absent} in the second")
    places = {name: place for place, name in enumerate(second.images)}
    lacking = [
        f"{len(names)} images are in the {which} alone, such as {names[0]}"
        for which, names in (
            ("first", [name for name in first.images if name not in places]),
            ("second", sorted(places.keys() - set(first.images))),
        )
        if names
    ]
    if lacking:
        raise _refused(" and ".join(lacking))
    order = [places[name] for name in first.images]
    other = first.counts[:, 0] != second.counts[order, 0]
    if other.any():
        image, number = (int(place) for place in np.argwhere(other)[0])
        pixels, others = first.counts[image, 0, number], second.counts[order[image], 0, number]
        raise _refused(
            f"the labels of {int(other.any(axis=1).sum())} images do, such as {first.images[image]}, which has"
            f" {pixels:,} pixels of {first.classes[number]!r} in the first and {others:,} in the second"
        )
    return order


def _refused(what: str) -> DataError:
    return DataError(f"The results differ in what was scored: {what}; evaluate both on the same data.")
