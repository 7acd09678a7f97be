"""Scores from a confusion matrix.

With n_ij the pixels of class i that were given class j, t_i = sum_j n_ij and p_i = sum_j n_ji:

    IoU_i = n_ii / (t_i + p_i - n_ii)        accuracy_i = recall_i = n_ii / t_i
    F1_i = Dice_i = 2 n_ii / (t_i + p_i)     precision_i = n_ii / p_i
    mIoU = mean_i IoU_i                      mean accuracy = mean_i accuracy_i
    pixel accuracy = sum_i n_ii / sum_i t_i  frequency-weighted IoU = sum_i t_i IoU_i / sum_i t_i

Long et al., "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from scenescope.errors import DataError, nearest
from scenescope.evaluation.class_scores import Absent, fractions
from scenescope.evaluation.confusion import ConfusionMatrix


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says, each number from 0 to 1.

    Attributes:
        mean_iou: mean IoU over the classes; see ``absent_as`` for those that never occur.
        pixel_accuracy: share of the scored pixels that are right.
        mean_accuracy: mean over classes of the share of its pixels that are right.
        frequency_weighted_iou: mean IoU weighted by how many pixels a class has.
        mean_precision: mean precision over the classes.
        mean_f1: mean F1 over the classes.
        names: the K class names.
        iou: IoU of each class; None for a class absent from both truth and prediction.
        accuracy: accuracy of each class, which is also its recall; None for a class absent from the truth.
        precision: share of what was given each class that is right; None for a class that was never given.
        f1: F1 of each class, which is also its Dice; None for a class absent from both.
        pixels: number of true pixels of each class.
        absent_as: "skip" leaves what has no value out of the means; "zero" counts it as 0, as the official code.
        matrix: the K x K confusion matrix, rows truth.
    """

    mean_iou: float
    pixel_accuracy: float
    mean_accuracy: float
    frequency_weighted_iou: float
    mean_precision: float
    mean_f1: float
    names: tuple[str, ...]
    iou: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]
    precision: tuple[float | None, ...]
    f1: tuple[float | None, ...]
    pixels: tuple[int, ...]
    absent_as: Absent
    matrix: tuple[tuple[int, ...], ...]

    @classmethod
    def from_matrix(
        cls, matrix: ConfusionMatrix | npt.ArrayLike, names: Sequence[str], absent: Absent = "skip"
    ) -> Scores:
        """Score K x K pixel counts, rows truth, with the names of the K classes.

        Raises:
            DataError: no scored pixel, a matrix of another size, or an unknown ``absent``.
        """
        counts = matrix.counts() if isinstance(matrix, ConfusionMatrix) else np.asarray(matrix, dtype=np.int64)
        if counts.shape != (len(names), len(names)):
            raise DataError(f"A matrix of shape {counts.shape} does not fit {len(names)} class names.")
        if absent not in get_args(Absent):
            raise DataError(
                f"absent={absent!r} is not known.{nearest(str(absent), get_args(Absent))} Known: skip, zero."
            )
        true, predicted, right = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
        total = int(true.sum())
        if total == 0:
            raise DataError("No pixel could be scored: every label is ignored. Check the masks and the ignored value.")
        pairs = fractions(np.stack([true, predicted, right])).items()
        by_class = {name: tuple(ratio(*pair) for pair in zip(*parts, strict=True)) for name, parts in pairs}
        iou, accuracy = by_class["iou"], by_class["recall"]
        weighted = sum(int(t) * (value or 0.0) for t, value in zip(true, iou, strict=True))
        return cls(
            mean_iou=mean_score(iou, absent),
            pixel_accuracy=int(right.sum()) / total,
            mean_accuracy=mean_score(accuracy, absent),
            frequency_weighted_iou=weighted / total,
            mean_precision=mean_score(by_class["precision"], absent),
            mean_f1=mean_score(by_class["f1"], absent),
            names=tuple(names),
            iou=iou,
            accuracy=accuracy,
            precision=by_class["precision"],
            f1=by_class["f1"],
            pixels=tuple(true.tolist()),
            absent_as=absent,
            matrix=tuple(tuple(row) for row in counts.tolist()),
        )

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of the classes absent from both truth and prediction."""
        return tuple(name for name, value in zip(self.names, self.iou, strict=True) if value is None)

    def iou_by_class(self) -> dict[str, float | None]:
        """Return the IoU of each class by name; None for an absent one."""
        return dict(zip(self.names, self.iou, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Return everything as an object that JSON can hold."""
        return {
            "mean_iou": self.mean_iou,
            "pixel_accuracy": self.pixel_accuracy,
            "mean_accuracy": self.mean_accuracy,
            "frequency_weighted_iou": self.frequency_weighted_iou,
            "mean_precision": self.mean_precision,
            "mean_f1": self.mean_f1,
            "iou": self.iou_by_class(),
            "accuracy": dict(zip(self.names, self.accuracy, strict=True)),
            "precision": dict(zip(self.names, self.precision, strict=True)),
            "recall": dict(zip(self.names, self.accuracy, strict=True)),
            "f1": dict(zip(self.names, self.f1, strict=True)),
            "pixels": dict(zip(self.names, self.pixels, strict=True)),
            "absent": list(self.absent),
            "absent_as": self.absent_as,
            "matrix": [list(row) for row in self.matrix],
        }


def ratio(part: int, whole: int) -> float | None:
    """Return part / whole, exact before the one division; None of nothing."""
    return int(part) / int(whole) if whole else None


def mean_score(values: Sequence[float | None], absent: Absent) -> float:
    """Return the mean over classes of which one at least has a value; the others are left out or count as 0."""
    kept = [value or 0.0 for value in values if value is not None or absent == "zero"]
    return sum(kept) / len(kept)
