"""Cross-entropy by hand, and its independence of how a batch is cut."""

import math

import pytest
import torch

from scenescope.labels import IGNORE
from scenescope.losses import SegmentationLoss, median_frequency_weights
from scenescope.outputs import SegmentationOutput


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(4, 3, 5, 6)
    labels = torch.randint(0, 3, (4, 5, 6), dtype=torch.uint8)
    labels[0, :3] = IGNORE  # the parts of the batch have different numbers of scored pixels
    labels[3] = IGNORE
    return logits, labels


def total(
    loss: SegmentationLoss, logits: torch.Tensor, labels: torch.Tensor, normaliser: torch.Tensor | None = None
) -> torch.Tensor:
    divisor = loss.normaliser(labels) if normaliser is None else normaliser
    return loss(SegmentationOutput(logits, {}), labels, divisor)["total"]


def test_two_by_two_picture_by_hand() -> None:
    logits = torch.zeros(1, 2, 2, 2)
    logits[0, 0, 0, 0] = math.log(3)  # probabilities 3/4, 1/4 there and 1/2, 1/2 elsewhere
    labels = torch.tensor([[[0, 1], [1, IGNORE]]], dtype=torch.uint8)
    expected = (math.log(4 / 3) + 2 * math.log(2)) / 3
    assert total(SegmentationLoss(), logits, labels).item() == pytest.approx(expected, rel=1e-6)
    weighted = (2 * math.log(4 / 3) + 5 * 2 * math.log(2)) / (2 + 5 + 5)
    loss = SegmentationLoss(class_weights=torch.tensor([2.0, 5.0]))
    assert total(loss, logits, labels).item() == pytest.approx(weighted, rel=1e-6)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 7.0])])
@pytest.mark.parametrize("hard_fraction", [None, 0.3])
def test_cutting_the_batch_changes_nothing(weights: torch.Tensor | None, hard_fraction: float | None) -> None:
    logits, labels = batch()
    loss = SegmentationLoss(weights, hard_fraction)
    whole = total(loss, logits, labels)
    normaliser = sum(loss.normaliser(part) for part in labels.split([1, 3]))
    assert isinstance(normaliser, torch.Tensor)
    parts = [total(loss, *part, normaliser) for part in zip(logits.split([1, 3]), labels.split([1, 3]), strict=True)]
    torch.testing.assert_close(sum(parts), whole)


@pytest.mark.parametrize("hard_fraction", [None, 0.3])
def test_without_a_scored_pixel_loss_and_gradient_are_zero(hard_fraction: float | None) -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    labels = torch.full((2, 4, 4), IGNORE, dtype=torch.uint8)
    value = total(SegmentationLoss(hard_fraction=hard_fraction), logits, labels)
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_hard_fraction_keeps_the_hardest_pixels_of_each_picture() -> None:
    logits, labels = batch()
    per_pixel = torch.nn.functional.cross_entropy(logits, labels.long(), ignore_index=IGNORE, reduction="none")
    kept = []
    for image, truth in zip(per_pixel, labels, strict=True):
        scored = sorted(image[truth != IGNORE].tolist(), reverse=True)
        kept += scored[: math.ceil(0.25 * len(scored))]
    value = total(SegmentationLoss(hard_fraction=0.25), logits, labels)
    assert value.item() == pytest.approx(sum(kept) / len(kept), rel=1e-5)


def test_auxiliary_losses_are_weighted_and_reported() -> None:
    logits, labels = batch()
    other = torch.randn_like(logits)
    loss = SegmentationLoss(auxiliary_weights={"position": 0.5})
    terms = loss(SegmentationOutput(logits, {"position": other}), labels, loss.normaliser(labels))
    assert terms["main"].item() == pytest.approx(total(loss, logits, labels).item())
    assert terms["position"].item() == pytest.approx(total(loss, other, labels).item())
    assert terms["total"].item() == pytest.approx(terms["main"].item() + 0.5 * terms["position"].item())


def test_median_frequency_weights_by_hand() -> None:
    pixels = torch.tensor([100, 400, 25, 0])
    torch.testing.assert_close(median_frequency_weights(pixels), torch.tensor([1.0, 0.25, 4.0, 0.0]))
    torch.testing.assert_close(median_frequency_weights(pixels, 0.5), torch.tensor([1.0, 0.5, 2.0, 0.0]))
