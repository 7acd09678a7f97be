"""Boundary IoU and boundary F from the counts of ``boundary.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scenescope.errors import DataError
from scenescope.evaluation.boundary import COUNTED, BoundaryCounts
from scenescope.evaluation.class_scores import Absent
from scenescope.evaluation.scores import mean_score, ratio


@dataclass(frozen=True)
class BoundaryScores:
    """What the counts along boundaries say, each number from 0 to 1.

    Attributes:
        mean_iou: mean Boundary IoU over the classes; None where no class has one.
        mean_f: mean boundary F over the classes; None where no class has one.
        names: the K class names.
        iou: Boundary IoU of each class; None for one without boundary in truth and prediction.
        f: boundary F of each class; None for one without contour in truth and prediction.
        width: d of Boundary IoU, below 1 as a share of the diagonal, else in pixels.
        tolerance: that of F, likewise.
        counts: what was counted, by name, for each class.
    """

    mean_iou: float | None
    mean_f: float | None
    names: tuple[str, ...]
    iou: tuple[float | None, ...]
    f: tuple[float | None, ...]
    width: float
    tolerance: float
    counts: dict[str, tuple[int, ...]]

    @classmethod
    def from_counts(cls, boundary: BoundaryCounts, names: Sequence[str], absent: Absent = "skip") -> BoundaryScores:
        """Score the counts, with the names of the K classes; ``absent`` as for the other scores.

        Raises:
            DataError: another number of names.
        """
        if len(names) != boundary.num_classes:
            raise DataError(f"Boundaries of {boundary.num_classes} classes do not fit {len(names)} class names.")
        counts = dict(zip(COUNTED, (tuple(row) for row in boundary.counts.tolist()), strict=True))
        iou = tuple(
            ratio(common, true + predicted - common)
            for true, predicted, common in zip(
                counts["true_region"], counts["predicted_region"], counts["common_region"], strict=True
            )
        )
        f = tuple(_f_score(*of_class) for of_class in zip(*(counts[name] for name in COUNTED[3:]), strict=True))
        return cls(
            mean_iou=_mean(iou, absent),
            mean_f=_mean(f, absent),
            names=tuple(names),
            iou=iou,
            f=f,
            width=boundary.width,
            tolerance=boundary.tolerance,
            counts=counts,
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as an object that JSON can hold."""
        return {
            "mean_iou": self.mean_iou,
            "mean_f": self.mean_f,
            "iou": dict(zip(self.names, self.iou, strict=True)),
            "f": dict(zip(self.names, self.f, strict=True)),
            "width": self.width,
            "tolerance": self.tolerance,
            "counts": {name: list(row) for name, row in self.counts.items()},
        }


def _f_score(true: int, true_met: int, predicted: int, predicted_met: int) -> float | None:
    if true + predicted == 0:
        return None
    # A contour that only one of the two has is all wrong.
    precision, recall = ratio(predicted_met, predicted) or 0.0, ratio(true_met, true) or 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _mean(values: Sequence[float | None], absent: Absent) -> float | None:
    # Scenes of one class have no contour at all.
    return None if all(value is None for value in values) else mean_score(values, absent)
