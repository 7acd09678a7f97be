"""What was counted for each single image: enough for its scores, and for those of any choice of images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scenescope.device import traits
from scenescope.evaluation.distributed import summed
from scenescope.labels import IGNORE

_LABEL_VALUES = IGNORE + 1


class ImageCounts:
    """N x 3 x K int64 counts of pixels: for each image and class the true ones, the predicted ones, those in both.

    These are the sums of rows, of columns, and the diagonal of the image's confusion matrix; no score needs more of
    it, so the K x K matrices of all images need not be kept.

    Args:
        num_images: N, of the whole data set, whatever share of it this process sees.
        num_classes: K.
        device: where the counts are kept; updates come from there.
    """

    def __init__(self, num_images: int, num_classes: int, device: torch.device | str = "cpu") -> None:
        self.num_classes = num_classes
        self.counts = torch.zeros(num_images, 3, num_classes, dtype=torch.int64, device=device)

    def update(self, positions: list[int], labels: Tensor, predictions: Tensor) -> None:
        """Count the pixels of some images; ``ConfusionMatrix.update`` says what it refuses in the same tensors.

        Args:
            positions: of the B images in the data set.
            labels: B x H x W true classes 0..K-1 or IGNORE (255, not counted).
            predictions: B x H x W predicted classes 0..K-1.
        """
        labels, predictions = labels.to(torch.uint8).flatten(1), predictions.to(torch.uint8).flatten(1)
        counted = (
            labels,
            predictions.masked_fill(labels == IGNORE, IGNORE),
            labels.masked_fill(labels != predictions, IGNORE),
        )
        histograms = torch.stack([_histogram(values) for values in counted], dim=1)
        self.counts[positions] = histograms[:, :, : self.num_classes].to(self.counts.device)

    def all_reduce(self) -> None:
        """Add up the counts of all processes of ``torch.distributed``; each then holds those of all images."""
        self.counts = summed(self.counts)

    def array(self) -> npt.NDArray[np.int64]:
        """Return the N x 3 x K counts as an array."""
        return self.counts.cpu().numpy().copy()


def _histogram(values: Tensor) -> Tensor:
    """Return B x 256 int64: how often each byte occurs in each row of B x P uint8."""
    if not traits(values.device).queued:
        return torch.stack([torch.bincount(row, minlength=_LABEL_VALUES) for row in values])
    # torch.bincount waits for the GPU to learn the largest value.
    counts = torch.zeros(len(values), _LABEL_VALUES, dtype=torch.int64, device=values.device)
    one = torch.ones((), dtype=torch.int64, device=values.device)
    return counts.scatter_add_(1, values.long(), one.expand(values.shape))
