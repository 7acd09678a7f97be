"""The losses by hand, and their independence of how a batch is cut."""

import itertools
import math
from collections.abc import Callable
from typing import Literal

import pytest
import torch

from scenescope import losses
from scenescope.attention.vote import cell_counts, vote_losses
from scenescope.device import traits
from scenescope.labels import IGNORE
from scenescope.losses import SegmentationLoss, dice_loss, lovasz_loss, median_frequency_weights
from scenescope.models.catalog import create_model
from scenescope.outputs import AttentionRows, SegmentationOutput

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
REGIONS = {"dice": 0.5, "lovasz": 2.0}


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(4, 3, 5, 6)
    labels = torch.randint(0, 3, (4, 5, 6), dtype=torch.uint8)
    labels[0, :3] = IGNORE  # the parts of the batch have different numbers of scored pixels
    labels[3] = IGNORE
    return logits, labels


def total(
    loss: SegmentationLoss, logits: torch.Tensor, labels: torch.Tensor, normalizer: torch.Tensor | None = None
) -> torch.Tensor:
    divisor = loss.normalizer(labels) if normalizer is None else normalizer
    return loss(SegmentationOutput(logits, {}), labels, divisor)["total"]


def test_two_by_two_image_by_hand() -> None:
    logits = torch.zeros(1, 2, 2, 2)
    logits[0, 0, 0, 0] = math.log(3)  # probabilities 3/4, 1/4 there and 1/2, 1/2 elsewhere
    labels = torch.tensor([[[0, 1], [1, IGNORE]]], dtype=torch.uint8)
    expected = (math.log(4 / 3) + 2 * math.log(2)) / 3
    assert total(SegmentationLoss(), logits, labels).item() == pytest.approx(expected, rel=1e-6)
    weighted = (2 * math.log(4 / 3) + 5 * 2 * math.log(2)) / (2 + 5 + 5)
    loss = SegmentationLoss(class_weights=torch.tensor([2.0, 5.0]))
    assert total(loss, logits, labels).item() == pytest.approx(weighted, rel=1e-6)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 7.0])])
@pytest.mark.parametrize("ohem_fraction", [None, 0.3])
@pytest.mark.parametrize("regions", [{}, REGIONS])
def test_cutting_the_batch_changes_nothing(
    weights: torch.Tensor | None, ohem_fraction: float | None, regions: dict[str, float]
) -> None:
    logits, labels = batch()
    loss = SegmentationLoss(weights, ohem_fraction, **regions)
    whole = total(loss, logits, labels)
    normalizer = sum(loss.normalizer(part) for part in labels.split([1, 3]))
    assert isinstance(normalizer, torch.Tensor)
    parts = [total(loss, *part, normalizer) for part in zip(logits.split([1, 3]), labels.split([1, 3]), strict=True)]
    torch.testing.assert_close(sum(parts), whole)


@pytest.mark.parametrize("settings", [{}, {"ohem_fraction": 0.3}, REGIONS])
def test_without_a_scored_pixel_loss_and_gradient_are_zero(settings: dict[str, float]) -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    labels = torch.full((2, 4, 4), IGNORE, dtype=torch.uint8)
    value = total(SegmentationLoss(**settings), logits, labels)
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_ohem_fraction_keeps_the_hardest_pixels_of_each_image() -> None:
    logits, labels = batch()
    per_pixel = torch.nn.functional.cross_entropy(logits, labels.long(), ignore_index=IGNORE, reduction="none")
    kept = []
    for image, truth in zip(per_pixel, labels, strict=True):
        scored = sorted(image[truth != IGNORE].tolist(), reverse=True)
        kept += scored[: math.ceil(0.25 * len(scored))]
    value = total(SegmentationLoss(ohem_fraction=0.25), logits, labels)
    assert value.item() == pytest.approx(sum(kept) / len(kept), rel=1e-5)


def test_auxiliary_losses_are_weighted_and_reported() -> None:
    logits, labels = batch()
    other = torch.randn_like(logits)
    loss = SegmentationLoss(weights={"position": 0.5})
    terms = loss(SegmentationOutput(logits, {"position": other}), labels, loss.normalizer(labels))
    assert terms["main"].item() == pytest.approx(total(loss, logits, labels).item())
    assert terms["position"].item() == pytest.approx(total(loss, other, labels).item())
    assert terms["total"].item() == pytest.approx(terms["main"].item() + 0.5 * terms["position"].item())


@pytest.mark.parametrize(("target", "expected"), [("presence", [1.0, 0.0, 1.0]), ("area", [0.25, 0.0, 0.75])])
def test_logits_of_whole_images_by_hand(target: Literal["presence", "area"], expected: list[float]) -> None:
    """The second image is all ignored: it says nothing of its classes and does not count."""
    labels = torch.full((2, 2, 3), IGNORE, dtype=torch.uint8)
    labels[0] = torch.tensor([[0, 2, 2], [2, IGNORE, IGNORE]])
    logits = torch.tensor([[0.5, -1.0, 2.0], [3.0, 3.0, 3.0]])
    by_hand = sum(
        -y * math.log(1 / (1 + math.exp(-x))) - (1 - y) * math.log(1 - 1 / (1 + math.exp(-x)))
        for x, y in zip(logits[0].tolist(), expected, strict=True)
    )
    loss = SegmentationLoss(weights={"main": 0.8, "categorical": 0.2}, image_label_target=target)
    output = SegmentationOutput(torch.zeros(2, 3, 2, 3), {"categorical": logits})
    terms = loss(output, labels, loss.normalizer(labels))
    assert terms["categorical"].item() == pytest.approx(by_hand / 3, rel=1e-5)
    assert terms["total"].item() == pytest.approx(0.8 * math.log(3) + 0.2 * by_hand / 3, rel=1e-5)


def test_cutting_the_batch_changes_nothing_for_whole_images() -> None:
    _, labels = batch()
    labels[2] = IGNORE
    loss = SegmentationLoss(weights={"categorical": 1.0})
    output = SegmentationOutput(torch.randn(4, 3, 5, 6), {"categorical": torch.randn(4, 3)})
    normalizer = loss.normalizer(labels)
    assert normalizer[1] == 2
    whole = loss(output, labels, normalizer)["categorical"]
    parts = [
        loss(SegmentationOutput(output.logits[cut], {"categorical": output.auxiliary["categorical"][cut]}), labels[cut],
             normalizer)["categorical"]
        for cut in (slice(0, 1), slice(1, 4))
    ]  # fmt: skip
    torch.testing.assert_close(sum(parts), whole)


def one_image(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities of 3 classes at 12 pixels in float64, and which pixels are of which."""
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(3, 12, dtype=torch.float64, generator=generator)
    return probabilities, torch.arange(12) % 3 == torch.arange(3)[:, None]


def test_dice_of_a_two_by_two_image_by_hand() -> None:
    probabilities = torch.tensor([[0.75, 0.5, 0.5, 0.0], [0.25, 0.5, 0.5, 1.0]])
    truth = torch.tensor([[True, True, False, False], [False, False, True, True]])
    expected = [1 - 2 * 1.25 / (1.75 + 2), 1 - 2 * 1.5 / (2.25 + 2)]
    assert dice_loss(probabilities, truth).tolist() == pytest.approx(expected)


def test_lovasz_of_a_two_by_two_image_by_hand() -> None:
    """As the pixels go wrong, the worst first, the IoU falls from 1 to 1/2, 1/3 and 0."""
    probabilities, truth = torch.tensor([[0.25, 0.75, 0.5, 0.0]]), torch.tensor([[True, True, False, False]])
    assert lovasz_loss(probabilities, truth).tolist() == pytest.approx([0.75 / 2 + 0.5 / 6 + 0.25 / 3])


@pytest.mark.parametrize("seed", range(5))
def test_lovasz_is_the_mean_jaccard_loss_over_all_thresholds(seed: int) -> None:
    """The extension of a set function is its integral over thresholds t of the set of errors above t."""
    probabilities, truth = one_image(seed)
    for value, given, true in zip(lovasz_loss(probabilities, truth), probabilities, truth, strict=True):
        errors = [1 - p if t else p for p, t in zip(given.tolist(), true.tolist(), strict=True)]
        expected = 0.0
        for low, high in itertools.pairwise(sorted({0.0, *errors, 1.0})):
            wrong = {pixel for pixel, error in enumerate(errors) if error >= high}
            predicted = {pixel for pixel, t in enumerate(true.tolist()) if t != (pixel in wrong)}
            there = {pixel for pixel, t in enumerate(true.tolist()) if t}
            expected += (high - low) * (1 - len(there & predicted) / len(there | predicted))
        assert float(value) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", [dice_loss, lovasz_loss])
def test_losses_of_regions_reach_from_0_to_1(loss: Loss) -> None:
    _, truth = one_image()
    right, wrong = truth.float(), (~truth).float()
    assert loss(right, truth).tolist() == pytest.approx([0, 0, 0])
    assert loss(wrong, truth).tolist() == pytest.approx([1, 1, 1])
    # Missing the class is as bad as it gets, whatever is said of the other pixels.
    assert loss(torch.zeros_like(right), truth).tolist() == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("loss", [dice_loss, lovasz_loss])
def test_gradients_of_losses_of_regions_are_those_of_finite_differences(loss: Loss) -> None:
    probabilities, truth = one_image()
    assert torch.autograd.gradcheck(lambda given: loss(given, truth), probabilities.requires_grad_())


@pytest.mark.parametrize("loss", [dice_loss, lovasz_loss])
def test_losses_of_regions_do_not_know_where_a_pixel_is(loss: Loss) -> None:
    probabilities, truth = one_image()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(loss(probabilities[:, order], truth[:, order]), loss(probabilities, truth))


def test_losses_of_regions_are_means_over_the_classes_of_an_image_and_then_over_images() -> None:
    """Against one image at a time and one class at a time, without the ignored pixels."""
    logits, labels = batch()
    labels[1][labels[1] == 2] = 0
    terms = SegmentationLoss(torch.tensor([0.5, 2.0, 7.0]), ohem_fraction=0.5, **REGIONS)
    given = terms(SegmentationOutput(logits, {}), labels, terms.normalizer(labels))
    for name, loss in (("dice", dice_loss), ("lovasz", lovasz_loss)):
        images = []
        for image, truth in zip(logits.softmax(dim=1), labels, strict=True):
            classes = [k for k in range(3) if (truth == k).any()]
            scored = truth != IGNORE
            values = [float(loss(image[k][scored][None], (truth == k)[scored][None])) for k in classes]
            images += [sum(values) / len(values)] if values else []
        assert len(images) == 3
        assert given[name].item() == pytest.approx(sum(images) / 3, rel=1e-5)
    expected = given["main"] + 0.5 * given["dice"] + 2 * given["lovasz"]
    assert given["total"].item() == pytest.approx(expected.item())


def test_what_is_predicted_at_ignored_pixels_changes_no_loss_of_a_region() -> None:
    logits, labels = batch()
    loss = SegmentationLoss(**REGIONS)
    logits.requires_grad_()
    value = total(loss, logits, labels)
    value.backward()
    ignored = (labels == IGNORE)[:, None].expand_as(logits)
    assert logits.grad is not None
    assert (logits.grad[ignored] == 0).all()
    assert (logits.grad[~ignored] != 0).any()
    torch.testing.assert_close(total(loss, logits.detach().masked_fill(ignored, 9.0), labels), value.detach())


def test_losses_of_regions_are_computed_in_float32_under_autocast() -> None:
    logits, labels = batch()
    loss = SegmentationLoss(**REGIONS)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = total(loss, logits, labels)
    assert torch.equal(mixed, total(loss, logits, labels))


def test_losses_of_regions_that_weigh_nothing_are_not_computed() -> None:
    logits, labels = batch()
    loss = SegmentationLoss(dice=0.0, lovasz=0.5)
    assert loss(SegmentationOutput(logits, {}), labels, loss.normalizer(labels)).keys() == {"main", "lovasz", "total"}


def test_median_frequency_weights_by_hand() -> None:
    pixels = torch.tensor([100, 400, 25, 0])
    torch.testing.assert_close(median_frequency_weights(pixels), torch.tensor([1.0, 0.25, 4.0, 0.0]))
    torch.testing.assert_close(median_frequency_weights(pixels, 0.5), torch.tensor([1.0, 0.5, 2.0, 0.0]))


def test_a_class_of_few_images_weighs_by_its_share_of_all_pixels_and_not_as_in_segnet() -> None:
    images = torch.tensor([[60, 40, 0], [60, 30, 10]])  # pixels of each class in two images
    shown = ((images > 0) * images.sum(dim=1, keepdim=True)).sum(dim=0)
    in_segnet = images.sum(dim=0) / shown
    torch.testing.assert_close(in_segnet.median() / in_segnet, torch.tensor([35 / 60, 1.0, 3.5]))
    torch.testing.assert_close(median_frequency_weights(images.sum(dim=0)), torch.tensor([35 / 60, 1.0, 7.0]))


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 7.0])])
@pytest.mark.parametrize("ohem_fraction", [None, 0.3])
@pytest.mark.parametrize("asked", ["traits", "nondeterministic"])
def test_a_gpu_computes_the_same_without_looking_or_deterministically(
    weights: torch.Tensor | None, ohem_fraction: float | None, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All classes in place of those that are there, and gathered log-probabilities in place of torch's loss."""
    logits, labels = batch()
    labels[1] = 2  # no class but one
    logits.requires_grad_()
    loss = SegmentationLoss(weights, ohem_fraction, **REGIONS)
    expected = total(loss, logits, labels)
    (gradient,) = torch.autograd.grad(expected, logits)
    monkeypatch.setattr(losses, asked, {"traits": lambda _: traits("cuda"), "nondeterministic": lambda _: True}[asked])
    got = total(loss, logits, labels)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad(got, logits)[0], gradient)


def test_the_share_of_hard_pixels_is_rounded_up_exactly() -> None:
    """In float32 three tenths of thirty are a hair more than nine."""
    loss = SegmentationLoss(ohem_fraction=0.3)
    for scored, kept in ((30, 9), (31, 10), (10, 3), (0, 0), (5_000_000, 1_500_000)):
        assert loss._share(scored) == loss._share(torch.tensor(scored)).item() == kept


def test_hard_pixels_are_found_without_64_bit_fractions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some devices have none (MPS)."""
    logits, labels = batch()
    loss = SegmentationLoss(ohem_fraction=0.3)
    normalizer = loss.normalizer(labels)

    def refuse(tensor: torch.Tensor) -> torch.Tensor:
        raise TypeError("no float64 here")

    monkeypatch.setattr(torch.Tensor, "double", refuse)
    assert total(loss, logits, labels, normalizer).isfinite()


def test_the_vote_is_the_mean_over_scored_cells_of_the_whole_batch() -> None:
    """Parts of a batch have other numbers of scored cells; cutting it changes nothing, and no weight leaves it out."""
    torch.manual_seed(0)
    network = create_model("danet", num_classes=3, backbone="resnet10t", pretrained=False, output_stride=16)
    labels = torch.randint(0, 3, (4, 64, 80))
    labels[0, :40] = labels[2] = IGNORE
    query, key, logits = torch.randn(4, 8, 4, 5), torch.randn(4, 8, 20), torch.randn(4, 3, 64, 80)
    loss = SegmentationLoss(attention=0.5, grid=network.grid)
    whole = loss(SegmentationOutput(logits, {}, (AttentionRows(query, key),)), labels, loss.normalizer(labels))
    scored = 20 + 20 + 20 - 10
    assert loss.normalizer(labels)[2] == scored
    counts = cell_counts(labels, 3, *network.grid((64, 80)))
    torch.testing.assert_close(whole["attention"], vote_losses(AttentionRows(query, key), counts).sum() / scored)
    torch.testing.assert_close(whole["total"], whole["main"] + 0.5 * whole["attention"])
    normalizer = sum(loss.normalizer(part) for part in labels.split([1, 3]))
    assert isinstance(normalizer, torch.Tensor)
    parts = [
        loss(SegmentationOutput(logits[rows], {}, (AttentionRows(query[rows], key[rows]),)), labels[rows], normalizer)
        for rows in (slice(0, 1), slice(1, 4))
    ]
    torch.testing.assert_close(parts[0]["attention"] + parts[1]["attention"], whole["attention"])
    without = SegmentationLoss(grid=network.grid)
    assert "attention" not in without(SegmentationOutput(logits, {}), labels, without.normalizer(labels))


@pytest.mark.parametrize("size", [(64, 80), (61, 95), (33, 17), (1, 1), (129, 129)])
@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_cells_of_the_vote_are_those_that_attention_has(size: tuple[int, int], scale: float) -> None:
    network = create_model(
        "danet", num_classes=3, backbone="resnet10t", pretrained=False, output_stride=16, input_scale=scale
    )
    network.train().head.eval()  # one cell is too few for the norms
    seen: list[tuple[int, int]] = []
    network.head.position.register_forward_pre_hook(lambda module, given: seen.append(tuple(given[0].shape[-2:])))  # type: ignore[union-attr]
    network.backbone.eval()
    network(torch.zeros(1, 3, *size))
    cells, counts = network.grid(size)
    assert counts == seen[0]
    assert cells == network.cells(torch.zeros(1, 1, *counts), size)
