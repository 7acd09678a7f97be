"""Cross-entropy of segmentation, normalised over the whole global batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as functional
from torch import Tensor

from scenescope.labels import IGNORE
from scenescope.outputs import SegmentationOutput


class SegmentationLoss:
    """Cross-entropy of the main logits plus weighted cross-entropies of the auxiliary logits.

    Each cross-entropy is the weighted sum over scored pixels divided by a normaliser that the caller adds up over
    all parts of the global batch (ranks and accumulation steps), so that cutting a batch into parts changes
    nothing. A batch without a scored pixel has loss 0 and zero gradient.

    Args:
        class_weights: K weights, or None for 1 each.
        hard_fraction: score only this share of each picture's pixels, those of highest loss (online hard example
            mining with a fixed share, so that the count is known beforehand); None scores all.
        auxiliary_weights: weight of each auxiliary output by name; an output that is not named is an error.
    """

    def __init__(
        self,
        class_weights: Tensor | None = None,
        hard_fraction: float | None = None,
        auxiliary_weights: Mapping[str, float] | None = None,
    ) -> None:
        self.class_weights = class_weights
        self.hard_fraction = hard_fraction
        self.auxiliary_weights = dict(auxiliary_weights or {})

    def normaliser(self, labels: Tensor) -> Tensor:
        """Return what B x H x W labels add to the normaliser, a float64 scalar.

        That is the number of scored pixels, or the sum of their class weights; with ``hard_fraction`` the number
        of pixels kept.
        """
        scored = labels != IGNORE
        if self.hard_fraction is not None:
            return self._num_kept(scored).sum().double()
        if self.class_weights is None:
            return scored.sum().double()
        weights = self.class_weights.to(labels.device, torch.float64)
        counts = torch.bincount(labels[scored].long(), minlength=len(weights))
        return (counts * weights).sum()

    def __call__(self, output: SegmentationOutput, labels: Tensor, normaliser: Tensor) -> dict[str, Tensor]:
        """Return the loss terms by name: "main", each auxiliary (unweighted) and "total", the weighted sum.

        Args:
            output: logits B x K x H x W.
            labels: B x H x W integers, 0..K-1 or IGNORE.
            normaliser: of the whole global batch; 0 gives a loss of 0.
        """
        labels = labels.long()
        divisor = normaliser.clamp(min=1e-12).to(output.logits.dtype)
        terms = {"main": self._summed(output.logits, labels) / divisor}
        total = terms["main"]
        for name, logits in output.auxiliary.items():
            terms[name] = self._summed(logits, labels) / divisor
            total = total + self.auxiliary_weights[name] * terms[name]
        return terms | {"total": total}

    def _summed(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = None if self.class_weights is None else self.class_weights.to(logits)
        reduction = "sum" if self.hard_fraction is None else "none"
        losses = functional.cross_entropy(logits, labels, weights, ignore_index=IGNORE, reduction=reduction)
        if self.hard_fraction is None:
            return losses
        kept = self._num_kept(labels != IGNORE).tolist()
        return torch.stack(
            [image.flatten().topk(count).values.sum() for image, count in zip(losses, kept, strict=True)]
        ).sum()

    def _num_kept(self, scored: Tensor) -> Tensor:
        assert self.hard_fraction is not None
        # Less a hair, so that 0.3 of 30 is 9 and not 10.
        return (scored.flatten(1).sum(1).double() * self.hard_fraction - 1e-9).ceil().long()


def median_frequency_weights(pixels: Tensor, power: float = 1.0) -> Tensor:
    """Return class weights (median frequency / frequency) ** power from the number of pixels of each class.

    Power 1 is SegNet's median-frequency balancing, 0.5 its square root. An absent class gets weight 0.
    """
    frequency = pixels.double() / pixels.sum().clamp(min=1)
    present = frequency > 0
    weights = torch.zeros_like(frequency)
    weights[present] = (frequency[present].median() / frequency[present]) ** power
    return weights.float()
