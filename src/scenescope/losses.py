"""The loss of segmentation, normalised over the whole global batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as functional
from torch import Tensor

from scenescope.config import ImageLabelTarget
from scenescope.labels import IGNORE
from scenescope.outputs import SegmentationOutput


class SegmentationLoss:
    """The weighted sum of one loss for each output of a network.

    Logits of pixels, B x K x H x W, get cross-entropy: the sum over scored pixels divided by their number (or class
    weights). Logits of whole pictures, B x K, say which classes a picture shows and get binary cross-entropy, the
    mean over classes and pictures: Zhang et al., "Context Encoding for Semantic Segmentation", CVPR 2018, section
    3.1, and Zhong et al., "Squeeze-and-Attention Networks", CVPR 2020, equation 8.

    The divisors are normalisers that the caller adds up over all parts of the global batch (ranks and accumulation
    steps), so that cutting a batch into parts changes nothing. A batch without a scored pixel has loss 0 and zero
    gradient.

    Dice and Lovász-softmax may stand beside the cross-entropy of "main". They judge each class of a picture as a
    whole, so they are means over the classes present in a picture, then over the pictures with a scored pixel: over a
    whole batch they would depend on how it is cut. Class weights and hard examples concern the cross-entropy only.

    Args:
        class_weights: K weights, or None for 1 each.
        ohem_fraction: score only this share of each picture's pixels, those of highest loss (online hard example
            mining with a fixed share, so that the count is known beforehand); None scores all.
        weights: weight of each output by name; "main" weighs 1 unless named, another that is not named is an error.
        image_label_target: what logits of whole pictures are to say of a class: "presence", 1 if any scored pixel has
            it, or "area", its share of the scored pixels.
        dice: weight of the Dice loss of "main"; 0 leaves it out.
        lovasz: weight of the Lovász-softmax loss of "main"; 0 leaves it out.
    """

    def __init__(
        self,
        class_weights: Tensor | None = None,
        ohem_fraction: float | None = None,
        weights: Mapping[str, float] | None = None,
        image_label_target: ImageLabelTarget = "presence",
        dice: float = 0.0,
        lovasz: float = 0.0,
    ) -> None:
        self.class_weights = class_weights
        self.ohem_fraction = ohem_fraction
        self.regions = {name: weight for name, weight in (("dice", dice), ("lovasz", lovasz)) if weight}
        self.weights = {"main": 1.0} | dict(weights or {}) | self.regions
        self.image_label_target = image_label_target

    def normaliser(self, labels: Tensor) -> Tensor:
        """Return what B x H x W labels add to the two normalisers, float64: of pixels and of pictures.

        For pixels that is the number of scored ones, or the sum of their class weights; with ``ohem_fraction`` the
        number of pixels kept. For pictures it is the number of those with a scored pixel.
        """
        scored = labels != IGNORE
        pictures = scored.flatten(1).any(dim=1).sum().double()
        return torch.stack([self._pixel_normaliser(labels, scored), pictures])

    def __call__(self, output: SegmentationOutput, labels: Tensor, normaliser: Tensor) -> dict[str, Tensor]:
        """Return the loss terms by name: "main", each auxiliary, "dice", "lovasz" and "total", their weighted sum.

        Args:
            output: logits B x K x H x W, and auxiliary ones of that shape or B x K.
            labels: B x H x W integers, 0..K-1 or IGNORE.
            normaliser: of the whole global batch; 0 gives a loss of 0.
        """
        labels = labels.long()
        pixels, pictures = normaliser.clamp(min=1e-12).to(output.logits.dtype)
        terms = {
            name: self._over_pictures(logits, labels) / pictures
            if logits.ndim == 2
            else self._over_pixels(logits, labels) / pixels
            for name, logits in {"main": output.logits, **output.auxiliary}.items()
        }
        if self.regions:
            terms |= {name: loss / pictures for name, loss in self._over_regions(output.logits, labels).items()}
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return terms | {"total": total}

    def _pixel_normaliser(self, labels: Tensor, scored: Tensor) -> Tensor:
        if self.ohem_fraction is not None:
            return self._num_kept(scored).sum().double()
        if self.class_weights is None:
            return scored.sum().double()
        weights = self.class_weights.to(labels.device, torch.float64)
        # Counting what is ignored along with the rest is faster than leaving it out first.
        counts = torch.bincount(labels.flatten(), minlength=IGNORE + 1)[: len(weights)]
        return (counts * weights).sum()

    def _over_pictures(self, logits: Tensor, labels: Tensor) -> Tensor:
        # K + 1 bins: the last one takes what is ignored.
        bins = torch.where(labels == IGNORE, logits.shape[1], labels).flatten(1)
        counts = torch.stack([torch.bincount(picture, minlength=logits.shape[1] + 1)[:-1] for picture in bins])
        scored = counts.sum(dim=1, keepdim=True)
        targets = counts > 0 if self.image_label_target == "presence" else counts / scored.clamp(min=1)
        losses = functional.binary_cross_entropy_with_logits(logits, targets.to(logits), reduction="none")
        return (losses.mean(dim=1) * (scored[:, 0] > 0)).sum()

    def _over_pixels(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = None if self.class_weights is None else self.class_weights.to(logits)
        reduction = "sum" if self.ohem_fraction is None else "none"
        losses = functional.cross_entropy(logits, labels, weights, ignore_index=IGNORE, reduction=reduction)
        if self.ohem_fraction is None:
            return losses
        kept = self._num_kept(labels != IGNORE).tolist()
        return torch.stack(
            [image.flatten().topk(count).values.sum() for image, count in zip(losses, kept, strict=True)]
        ).sum()

    def _over_regions(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        sums = dict.fromkeys(self.regions, logits.new_zeros(()))
        for probabilities, truth in zip(logits.softmax(dim=1).flatten(2), labels.flatten(1), strict=True):
            scored = truth != IGNORE
            classes = truth[scored].unique()
            # An ignored pixel becomes one that is of no class and is given to none: it adds nothing to either loss.
            given = probabilities.index_select(0, classes).masked_fill(~scored, 0)
            belongs = truth == classes[:, None]
            for name in sums:
                sums[name] = sums[name] + _REGION_LOSSES[name](given, belongs).sum() / max(len(classes), 1)
        return sums

    def _num_kept(self, scored: Tensor) -> Tensor:
        assert self.ohem_fraction is not None
        # Less a hair, so that 0.3 of 30 is 9 and not 10.
        # On the CPU: not every device has float64.
        scored_pixels = scored.flatten(1).sum(1).cpu().double()
        return (scored_pixels * self.ohem_fraction - 1e-9).ceil().long().to(scored.device)


def dice_loss(probabilities: Tensor, truth: Tensor) -> Tensor:
    """Return 1 - 2 sum(p t) / (sum(p) + sum(t)) for each class: 0 if certain and right everywhere, 1 if nowhere.

    Drozdzal et al., "The Importance of Skip Connections in Biomedical Image Segmentation", 2016: without the squares
    in the divisor of Milletari et al., "V-Net", 2016.

    Args:
        probabilities: p, P x N: of P classes at N pixels, 0..1.
        truth: t, P x N booleans, in each row some pixel of that class.
    """
    common = (probabilities * truth).sum(dim=1)
    return 1 - 2 * common / (probabilities.sum(dim=1) + truth.sum(dim=1))


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
            weights[rows].scatter_(1, order, torch.where(members, 1, intersection / (union - 1)) / union)
    return (errors * weights).sum(dim=1)


_REGION_LOSSES = {"dice": dice_loss, "lovasz": lovasz_loss}


def median_frequency_weights(pixels: Tensor, power: float = 1.0) -> Tensor:
    """Return class weights (median frequency / frequency) ** power; the frequency is a class's share of all pixels.

    That is not SegNet's median-frequency balancing (after Eigen and Fergus, ICCV 2015), which takes the share in only
    those pictures that show the class and so lets a class of few pictures weigh less: on CamVid's training pictures
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
