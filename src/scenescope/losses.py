"""The loss of segmentation, normalized over the whole global batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

import torch
import torch.nn.functional as functional
from torch import Tensor

from scenescope.attention.vote import cell_counts, vote_losses
from scenescope.cells import Cells
from scenescope.config import ImageLabelTarget
from scenescope.device import nondeterministic, traits
from scenescope.labels import IGNORE
from scenescope.outputs import SegmentationOutput

Number = TypeVar("Number", int, Tensor)


class SegmentationLoss:
    """The weighted sum of one loss for each output of a network.

    Logits of pixels, B x K x H x W, get cross-entropy: the sum over scored pixels divided by their number (or class
    weights). Logits of whole images, B x K, say which classes an image shows and get binary cross-entropy, the
    mean over classes and images: Zhang et al., "Context Encoding for Semantic Segmentation", CVPR 2018, section
    3.1, and Zhong et al., "Squeeze-and-Attention Networks", CVPR 2020, equation 8.

    The divisors are normalizers that the caller adds up over all parts of the global batch (ranks and accumulation
    steps), so that cutting a batch into parts changes nothing. A batch without a scored pixel has loss 0 and zero
    gradient.

    Dice and Lovász-softmax may stand beside the cross-entropy of "main". They judge each class of an image as a
    whole, so they are means over the classes present in an image, then over the images with a scored pixel: over a
    whole batch they would depend on how it is cut. Class weights and hard examples concern the cross-entropy only.

    The vote (``attention/vote.py``) may stand beside them, for networks that say what the rows of S are made of: the
    mean over all cells with a scored pixel.

    Args:
        class_weights: K weights, or None for 1 each.
        ohem_fraction: score only this share of each image's pixels, those of highest loss (online hard example
            mining with a fixed share, so that the count is known beforehand); None scores all.
        weights: weight of each output by name; "main" weighs 1 unless named, another that is not named is an error.
        image_label_target: what logits of whole images are to say of a class: "presence", 1 if any scored pixel has
            it, or "area", its share of the scored pixels.
        dice: weight of the Dice loss of "main"; 0 leaves it out.
        lovasz: weight of the Lovász-softmax loss of "main"; 0 leaves it out.
        attention: weight of the loss of the vote; 0 leaves it out.
        grid: where the cells of attention lie on images of a size, see ``SegmentationNetwork.grid``; for the vote.
    """

    def __init__(
        self,
        class_weights: Tensor | None = None,
        ohem_fraction: float | None = None,
        weights: Mapping[str, float] | None = None,
        image_label_target: ImageLabelTarget = "presence",
        dice: float = 0.0,
        lovasz: float = 0.0,
        attention: float = 0.0,
        grid: Callable[[Sequence[int]], tuple[Cells, tuple[int, int]]] | None = None,
    ) -> None:
        self.class_weights = class_weights
        self.ohem_fraction = ohem_fraction
        self.region_weights = {name: weight for name, weight in (("dice", dice), ("lovasz", lovasz)) if weight}
        self.weights = {"main": 1.0} | dict(weights or {}) | self.region_weights
        if attention:
            self.weights["attention"] = attention
        self.grid = grid if attention else None
        self.image_label_target = image_label_target

    def normalizer(self, labels: Tensor) -> Tensor:
        """Return what B x H x W labels add to the three normalizers, float64: of pixels, of images and of cells.

        For pixels that is the number of scored ones, or the sum of their class weights; with ``ohem_fraction`` the
        number of pixels kept. For images and for cells of attention it is the number of those with a scored pixel; 0
        cells where no vote is asked for.
        """
        scored = labels != IGNORE
        images = scored.flatten(1).any(dim=1).sum().double()
        cells = torch.zeros_like(images)
        if self.grid is not None:
            counts = cell_counts(torch.where(scored, 0, IGNORE), 1, *self.grid(labels.shape[-2:]))
            cells = (counts > 0).sum().double()
        return torch.stack([self._pixel_normalizer(labels, scored), images, cells])

    def __call__(self, output: SegmentationOutput, labels: Tensor, normalizer: Tensor) -> dict[str, Tensor]:
        """Return the loss terms by name: "main", each auxiliary, "dice", "lovasz", "attention" and "total", their sum.

        No number is looked at on the way, so that a GPU is never waited for.

        Args:
            output: logits B x K x H x W, and auxiliary ones of that shape or B x K.
            labels: B x H x W integers, 0..K-1 or IGNORE.
            normalizer: of the whole global batch; 0 gives a loss of 0.
        """
        labels = labels.long()
        pixels, images, cells = normalizer.clamp(min=1e-12).to(output.logits.dtype)
        terms = {
            name: self._image_loss(logits, labels) / images
            if logits.ndim == 2
            else self._pixel_loss(logits, labels) / pixels
            for name, logits in {"main": output.logits, **output.auxiliary}.items()
        }
        if self.region_weights:
            terms |= {name: loss / images for name, loss in self._region_loss(output.logits, labels).items()}
        if self.grid is not None:
            terms["attention"] = self._vote_loss(output, labels) / cells
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return terms | {"total": total}

    def _pixel_normalizer(self, labels: Tensor, scored: Tensor) -> Tensor:
        if self.ohem_fraction is not None:
            return self._share(scored.flatten(1).sum(1)).sum().double()
        if self.class_weights is None:
            return scored.sum().double()
        weights = self.class_weights.to(labels.device, torch.float64)
        # Counting what is ignored along with the rest is faster than leaving it out first.
        counts = torch.bincount(labels.flatten(), minlength=IGNORE + 1)[: len(weights)]
        return (counts * weights).sum()

    def _image_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        counts = _counts(labels, logits.shape[1])
        scored = counts.sum(dim=1, keepdim=True)
        targets = counts > 0 if self.image_label_target == "presence" else counts / scored.clamp(min=1)
        losses = functional.binary_cross_entropy_with_logits(logits, targets.to(logits), reduction="none")
        return (losses.mean(dim=1) * (scored[:, 0] > 0)).sum()

    def _pixel_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        # Not waited for: it is small, and nobody changes it.
        weights = None if self.class_weights is None else self.class_weights.to(logits, non_blocking=True)
        if self.ohem_fraction is None:
            return _cross_entropy(logits, labels, weights, "sum")
        losses = _cross_entropy(logits, labels, weights, "none").flatten(1)
        # What is ignored has loss 0, so the most that can be kept is known without counting.
        hardest = losses.topk(self._share(losses.shape[1])).values
        kept = self._share((labels != IGNORE).flatten(1).sum(1))
        return (hardest * (torch.arange(hardest.shape[1], device=kept.device) < kept[:, None])).sum()

    def _region_loss(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        num_classes = logits.shape[1]
        present = _counts(labels, num_classes) > 0
        sums = dict.fromkeys(self.region_weights, logits.new_zeros(()))
        for probabilities, truth, shown in zip(
            logits.softmax(dim=1).flatten(2), labels.flatten(1), present, strict=True
        ):
            # On a GPU all classes are cheaper than waiting to hear which are there.
            all_of_them = traits(logits.device).queued
            classes = torch.arange(num_classes, device=logits.device) if all_of_them else shown.nonzero()[:, 0]
            # An ignored pixel becomes one that is of no class and is given to none: it adds nothing to either loss.
            given = probabilities.index_select(0, classes).masked_fill(truth == IGNORE, 0)
            belongs = truth == classes[:, None]
            for name in sums:
                losses = _REGION_LOSSES[name](given, belongs)
                sums[name] = sums[name] + (losses * shown[classes]).sum() / shown.sum().clamp(min=1)
        return sums

    def _vote_loss(self, output: SegmentationOutput, labels: Tensor) -> Tensor:
        assert self.grid is not None
        counts = cell_counts(labels, output.logits.shape[1], *self.grid(labels.shape[-2:]))
        losses = [vote_losses(rows, counts).sum() for rows in output.attention]
        return torch.stack(losses).mean()

    def _share(self, scored: Number) -> Number:
        """Return how many of so many scored pixels are kept, rounded up, in whole numbers all the way."""
        assert self.ohem_fraction is not None
        share = Fraction(self.ohem_fraction).limit_denominator(10**6)  # so 0.3 of 30 is 9, and not 10
        kept: Number = (scored * share.numerator + share.denominator - 1) // share.denominator
        return kept


def _counts(labels: Tensor, num_classes: int) -> Tensor:
    """Return how many pixels of each of B images have each class, B x K; ``bincount`` would look at the labels."""
    bins = torch.where(labels == IGNORE, num_classes, labels).flatten(1)
    counts = torch.zeros(len(bins), num_classes + 1, dtype=torch.int64, device=labels.device)
    return counts.scatter_add_(1, bins, torch.ones((), dtype=torch.int64, device=labels.device).expand_as(bins))[:, :-1]


def _cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None, reduction: str) -> Tensor:
    """Return the cross-entropy of each pixel, B x H x W, 0 where it is ignored; or their sum."""
    if not nondeterministic(logits):
        return functional.cross_entropy(logits, labels, weights, ignore_index=IGNORE, reduction=reduction)
    # torch has no deterministic form of it for GPUs.
    scored = labels != IGNORE
    known = labels.masked_fill(~scored, 0)
    losses = -logits.log_softmax(dim=1).gather(1, known[:, None])[:, 0]
    losses = (losses if weights is None else losses * weights[known]).masked_fill(~scored, 0)
    return losses.sum() if reduction == "sum" else losses


def dice_loss(probabilities: Tensor, truth: Tensor) -> Tensor:
    """Return 1 - 2 sum(p t) / (sum(p) + sum(t)) for each class: 0 if certain and right everywhere, 1 if nowhere.

    Drozdzal et al., "The Importance of Skip Connections in Biomedical Image Segmentation", 2016: without the squares
    in the divisor of Milletari et al., "V-Net", 2016.

    Args:
        probabilities: p, P x N: of P classes at N pixels, 0..1.
        truth: t, P x N booleans; what a class without a pixel answers means nothing, but is finite.
    """
    common = (probabilities * truth).sum(dim=1)
    return 1 - 2 * common / (probabilities.sum(dim=1) + truth.sum(dim=1)).clamp(min=1)


CLASSES_SORTED = 4
"""How many classes Lovász-softmax sorts at once."""


def lovasz_loss(probabilities: Tensor, truth: Tensor) -> Tensor:
    """Return the Lovász extension of the Jaccard loss (1 - IoU) for each class: 0 if right everywhere, 1 if nowhere.

    The errors, 1 - p at the class's pixels and p at all others, are taken from the largest to the smallest; each
    weighs what the Jaccard loss grows by when its pixel becomes a wrong one too. Berman et al., "The Lovász-Softmax
    loss", CVPR 2018, definition 2 and algorithm 1. Arguments as of ``dice_loss``.
    """
    errors = torch.where(truth, 1 - probabilities, probabilities)
    weights = torch.zeros_like(errors)
    with torch.no_grad():
        # A few classes at a time: sorting needs several times the memory of what it sorts, and has a thread for each.
        for first in range(0, len(errors), CLASSES_SORTED):
            rows = slice(first, first + CLASSES_SORTED)
            order = errors[rows].argsort(dim=1, descending=True)
            members = truth[rows].gather(1, order)
            count = members.sum(dim=1, keepdim=True)
            intersection = (count - members.cumsum(dim=1)).to(errors)
            union = count + (~members).cumsum(dim=1)
            # In closed form: algorithm 1 subtracts consecutive losses, which are nearly equal.
            weights[rows].scatter_(1, order, torch.where(members, 1, intersection / (union - 1).clamp(min=1)) / union)
    return (errors * weights).sum(dim=1)


_REGION_LOSSES = {"dice": dice_loss, "lovasz": lovasz_loss}


def median_frequency_weights(pixels: Tensor, power: float = 1.0) -> Tensor:
    """Return class weights (median frequency / frequency) ** power; the frequency is a class's share of all pixels.

    That is not SegNet's median-frequency balancing (after Eigen and Fergus, ICCV 2015), which takes the share in only
    those images that show the class and so lets a class of few images weigh less: on CamVid's training images
    Bicyclist weighs 8.9 there and 15.4 here, with power 0.5 3.9. An absent class gets weight 0.

    Args:
        pixels: K numbers of pixels.
        power: 1, or 0.5 for the square root.
    """
    frequency = pixels.double() / pixels.sum().clamp(min=1)
    present = frequency > 0
    weights = torch.zeros_like(frequency)
    weights[present] = (frequency[present].median() / frequency[present]) ** power
    return weights.float()
