"""The confusion matrix: how many pixels of each true class were given each class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scenescope.device import traits
from scenescope.errors import DataError, LabelError
from scenescope.evaluation.distributed import summed
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
        self._unseen: Tensor | None = None

    def update(self, labels: Tensor, predictions: Tensor) -> None:
        """Count the pixels of some images.

        Args:
            labels: true classes 0..K-1 or IGNORE (255, not counted), of any shape and integer type.
            predictions: predicted classes 0..K-1, of the same shape.

        Raises:
            DataError: other shapes, or a prediction that is no class.
            LabelError: a label that is neither a class nor ignored. On a GPU it is told of when counts are asked for.
        """
        if labels.shape != predictions.shape:
            raise DataError(
                f"Labels of shape {tuple(labels.shape)} cannot be scored against predictions of shape"
                f" {tuple(predictions.shape)}; both must be of one size."
            )
        if labels.numel() == 0:
            return
        if traits(labels.device).queued and labels.dtype == predictions.dtype == torch.uint8:
            self._count_unseen(labels, predictions)
            return
        refuse_beyond("Label", labels, IGNORE, LabelError)
        refuse_beyond("Prediction", predictions, self.num_classes - 1, DataError)
        # One row for each of the 256 label values: counting then checks the labels as well, and the narrow index
        # makes it several times faster than int64.
        index_type = torch.int16 if _LABEL_VALUES * self.num_classes <= 2**15 else torch.int32
        index = labels.reshape(-1).to(index_type).mul_(self.num_classes).add_(predictions.reshape(-1).to(index_type))
        counts = torch.bincount(index, minlength=_LABEL_VALUES * self.num_classes).view(_LABEL_VALUES, -1)
        self._add(counts)

    def all_reduce(self) -> None:
        """Add up the counts of all processes of ``torch.distributed``; each then holds the sum.

        Raises:
            DataError, LabelError: as ``update``, which on a GPU does not wait to see.
        """
        self._look()
        self.matrix = summed(self.matrix)

    def counts(self) -> npt.NDArray[np.int64]:
        """Return the K x K counts as an array.

        Raises:
            DataError, LabelError: as ``update``, which on a GPU does not wait to see.
        """
        self._look()
        return self.matrix.cpu().numpy().copy()

    def _count_unseen(self, labels: Tensor, predictions: Tensor) -> None:
        """Count every pair of bytes, whatever they mean: so nothing has to be looked at yet."""
        if self._unseen is None:
            self._unseen = torch.zeros(_LABEL_VALUES**2, dtype=torch.int64, device=labels.device)
        index = labels.reshape(-1).long().mul_(_LABEL_VALUES).add_(predictions.reshape(-1))
        self._unseen.scatter_add_(0, index, torch.ones((), dtype=torch.int64, device=labels.device).expand_as(index))

    def _look(self) -> None:
        if self._unseen is None:
            return
        counts, self._unseen = self._unseen.view(_LABEL_VALUES, _LABEL_VALUES).cpu(), None
        refuse_beyond("Prediction", counts.any(dim=0).nonzero()[:, 0], self.num_classes - 1, DataError)
        self._add(counts[:, : self.num_classes])

    def _add(self, counts: Tensor) -> None:
        """Add 256 x K counts, a row for each value of a label."""
        strange = counts[self.num_classes : IGNORE].any(dim=1)
        if strange.any():
            value = self.num_classes + int(strange.int().argmax())
            raise LabelError(
                f"Label {value} is neither one of the {self.num_classes} classes (0 to {self.num_classes - 1})"
                f" nor {IGNORE} (ignored)."
            )
        self.matrix += counts[: self.num_classes].to(self.matrix.device)


def refuse_beyond(what: str, values: Tensor, largest: int, error: type[DataError]) -> None:
    """Refuse values that are no integers or outside 0..largest."""
    if values.dtype.is_floating_point or values.dtype == torch.bool:
        raise error(f"{what}s are {values.dtype}; give integers.")
    low, high = (int(value) for value in torch.aminmax(values))
    if low < 0 or high > largest:
        raise error(f"{what} {low if low < 0 else high} is not possible; give 0 to {largest}.")
