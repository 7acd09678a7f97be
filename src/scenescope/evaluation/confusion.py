"""The confusion matrix: how many pixels of each true class were given each class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scenescope.errors import DataError, LabelError
from scenescope.evaluation.processes import summed
from scenescope.labels import IGNORE, MAX_CLASSES

_LABEL_VALUES = IGNORE + 1


class ConfusionMatrix:
    """K x K int64 counts of pixels: rows are true classes, columns predicted ones.

    Counts are integers, so any order and any split into batches and processes gives the same matrix.

    Args:
        num_classes: K.
        device: where the counts are kept; updates come from there.
    """

    def __init__(self, num_classes: int, device: torch.device | str = "cpu") -> None:
        if not 1 <= num_classes <= MAX_CLASSES:
            raise DataError(f"{num_classes} classes given; between 1 and {MAX_CLASSES} are possible.")
        self.num_classes = num_classes
        self.matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)

    def update(self, labels: Tensor, predictions: Tensor) -> None:
        """Count the pixels of some pictures.

        Args:
            labels: true classes 0..K-1 or IGNORE (255, not counted), of any shape and integer type.
            predictions: predicted classes 0..K-1, of the same shape.

        Raises:
            DataError: other shapes, or a prediction that is no class.
            LabelError: a label that is neither a class nor ignored.
        """
        if labels.shape != predictions.shape:
            raise DataError(
                f"Labels of shape {tuple(labels.shape)} cannot be scored against predictions of shape"
                f" {tuple(predictions.shape)}; both must be of one size."
            )
        if labels.numel() == 0:
            return
        refuse_beyond("Label", labels, IGNORE, LabelError)
        refuse_beyond("Prediction", predictions, self.num_classes - 1, DataError)
        # One row for each of the 256 label values: counting then checks the labels as well, and the narrow index
        # makes it several times faster than int64.
        index_type = torch.int16 if _LABEL_VALUES * self.num_classes <= 2**15 else torch.int32
        index = labels.reshape(-1).to(index_type).mul_(self.num_classes).add_(predictions.reshape(-1).to(index_type))
        counts = torch.bincount(index, minlength=_LABEL_VALUES * self.num_classes).view(_LABEL_VALUES, -1)
        strange = counts[self.num_classes : IGNORE].any(dim=1)
        if strange.any():
            value = self.num_classes + int(strange.int().argmax())
            raise LabelError(
                f"Label {value} is neither one of the {self.num_classes} classes (0 to {self.num_classes - 1})"
                f" nor {IGNORE} (ignored)."
            )
        self.matrix += counts[: self.num_classes].to(self.matrix.device)

    def all_reduce(self) -> None:
        """Add up the counts of all processes of ``torch.distributed``; each then holds the sum."""
        self.matrix = summed(self.matrix)

    def counts(self) -> npt.NDArray[np.int64]:
        """Return the K x K counts as an array."""
        return self.matrix.cpu().numpy().copy()


def refuse_beyond(what: str, values: Tensor, largest: int, error: type[DataError]) -> None:
    """Refuse values that are no integers or outside 0..largest."""
    if values.dtype.is_floating_point or values.dtype == torch.bool:
        raise error(f"{what}s are {values.dtype}; give integers.")
    low, high = (int(value) for value in torch.aminmax(values))
    if low < 0 or high > largest:
        raise error(f"{what} {low if low < 0 else high} is not possible; give 0 to {largest}.")
