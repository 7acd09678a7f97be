"""The formulas of all scores, for the counts of one image, of a data set, or of a thousand draws of images at once.

With t_i the true pixels of class i, p_i the predicted ones and n_ii those that are both:

    IoU_i = n_ii / (t_i + p_i - n_ii)        F1_i = Dice_i = 2 n_ii / (t_i + p_i)
    precision_i = n_ii / p_i                 recall_i = accuracy_i = n_ii / t_i

Counts are ... x 3 x K whole numbers: true, predicted, both.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Absent = Literal["skip", "zero"]
Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


def fractions(counts: Counts) -> dict[str, tuple[Counts, Counts]]:
    """Return numerator and denominator, ... x K each, of every score of classes by its name."""
    true, predicted, right = (counts[..., number, :] for number in range(3))
    return {
        "iou": (right, true + predicted - right),
        "f1": (2 * right, true + predicted),
        "precision": (right, predicted),
        "recall": (right, true),
    }


def per_class(counts: Counts) -> dict[str, Values]:
    """Return every score of classes, ... x K in 0..1, by its name; NaN for a class that has none."""
    return {name: _divided(*pair) for name, pair in fractions(counts).items()}


def mean_scores(counts: Counts, absent: Absent) -> dict[str, Values]:
    """Return every score of all classes together, of shape ..., by its name; NaN where no pixel is scored.

    Args:
        absent: "skip" leaves a class without a value out of a mean, "zero" counts it as 0.
    """
    true, right = counts[..., 0, :], counts[..., 2, :]
    total = true.sum(axis=-1)
    scores = per_class(counts)
    return {
        "mean_iou": _mean(scores["iou"], total, absent),
        "mean_f1": _mean(scores["f1"], total, absent),
        "mean_precision": _mean(scores["precision"], total, absent),
        "mean_accuracy": _mean(scores["recall"], total, absent),
        "pixel_accuracy": _divided(right.sum(axis=-1), total),
        "frequency_weighted_iou": _divided((true * np.nan_to_num(scores["iou"])).sum(axis=-1), total),
    }


def _mean(values: Values, total: Counts, absent: Absent) -> Values:
    counted = values.shape[-1] if absent == "zero" else (~np.isnan(values)).sum(axis=-1)
    return _divided(np.nansum(values, axis=-1), np.where(total, counted, 0))


def _divided(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Values:
    """Return part / whole; NaN of nothing."""
    values: Values = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole != 0)
    return values
