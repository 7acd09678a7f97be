"""The vote against a loop, its gradient, and what it does not depend on."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scenescope.attention.compact_position import SIZES, CompactPositionAttention
from scenescope.attention.position import PositionAttention
from scenescope.attention.vote import SMALLEST, by_distance, cell_counts, vote_losses
from scenescope.cells import Cells
from scenescope.labels import IGNORE
from scenescope.outputs import AttentionRows, AttentionVectors

CELLS = Cells.where_they_look(4, (0, 0))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def some_labels(seed: int = 0, batch: int = 2, height: int = 12, width: int = 20, classes: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (batch, height // 2, width // 2), generator=generator)
    labels = labels.repeat_interleave(2, 1).repeat_interleave(2, 2)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = IGNORE
    labels[0, :4, :8] = IGNORE  # two cells without a scored pixel
    return labels.to(torch.uint8)


def slow_shares(labels: Tensor, classes: int, stride: int = 4) -> list[list[list[float]]]:
    """By the words: for each image and cell, the share of each class among its scored pixels."""
    images = []
    for image in labels.tolist():
        cells = []
        for top in range(0, len(image), stride):
            for left in range(0, len(image[0]), stride):
                pixels = [image[y][x] for y in range(top, top + stride) for x in range(left, left + stride)]
                scored = [pixel for pixel in pixels if pixel != IGNORE]
                cells.append([scored.count(k) / len(scored) if scored else 0.0 for k in range(classes)])
        images.append(cells)
    return images


def slow_vote_loss(query: Tensor, key: Tensor, shares: list[list[list[float]]], voters: object = None) -> float:
    total = 0.0
    for q, k, own, asked in zip(query.flatten(2).tolist(), key.tolist(), shares, voters or shares, strict=True):
        for j, wanted in enumerate(own):
            energies = [sum(q[d][j] * k[d][i] for d in range(len(q))) for i in range(len(asked))]
            largest = max(energies)
            weights = [math.exp(energy - largest) for energy in energies]
            weights = [weight / sum(weights) for weight in weights]
            votes = [
                sum(weight * shares_i[c] for weight, shares_i in zip(weights, asked, strict=True)) + SMALLEST
                for c in range(len(wanted))
            ]
            total -= sum(w * math.log(vote / sum(votes)) for w, vote in zip(wanted, votes, strict=True))
    return total


def test_counts_are_those_of_a_loop() -> None:
    labels = some_labels()
    counts = cell_counts(labels, 3, CELLS, (3, 5))
    shares = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(shares.flatten(2).transpose(1, 2), torch.tensor(slow_shares(labels, 3)))
    assert counts.sum() == (labels != IGNORE).sum()


def test_a_pixel_is_of_the_cell_that_looks_nearest_to_it() -> None:
    """Sides of 5 with corners aligned at stride 4: cells look at 0 and 4, and 2 is halfway."""
    labels = torch.tensor([[[0, 1, 2, 3, 4]]])
    counts = cell_counts(labels, 5, Cells.where_they_look(4, (1, 1)), (1, 2))
    assert counts[0, :, 0].t().tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 1]]


def test_the_loss_is_that_of_a_loop() -> None:
    labels = some_labels()
    query, key = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 15)
    losses = vote_losses(AttentionRows(query, key), cell_counts(labels, 3, CELLS, (3, 5)))
    assert losses.sum().item() == pytest.approx(slow_vote_loss(query, key, slow_shares(labels, 3)), rel=1e-5)
    assert losses[0, :2].tolist() == [0, 0]  # they are not asked


def test_centers_vote_by_the_scored_pixels_of_their_cells() -> None:
    labels = some_labels(height=24, width=24)
    counts = cell_counts(labels, 3, CELLS, (6, 6))
    query, key = torch.randn(2, 4, 6, 6), torch.randn(2, 4, 50)
    shares = slow_shares(labels, 3)
    voters = [
        share for side in SIZES for share in torch.tensor(slow_shares(labels, 3, 24 // side)).unbind(1)
    ]  # at 6 x 6 cells, a grid of 3 has centers of 8 x 8 pixels
    asked = torch.stack(voters, dim=1).tolist()
    losses = vote_losses(AttentionRows(query, key, SIZES), counts)
    assert losses.sum().item() == pytest.approx(slow_vote_loss(query, key, shares, asked), rel=1e-5)


@pytest.mark.parametrize("grids", [(), (1, 2)])
def test_its_gradient_is_exact(grids: tuple[int, ...]) -> None:
    labels = some_labels(batch=1)
    counts = cell_counts(labels, 3, CELLS, (3, 5))
    query = torch.randn(1, 2, 3, 5, dtype=torch.float64, requires_grad=True)
    key = torch.randn(1, 2, 5 if grids else 15, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda q, k: vote_losses(AttentionRows(q, k, grids), counts).sum(), (query, key))


def test_without_a_scored_pixel_there_is_neither_loss_nor_gradient() -> None:
    labels = torch.full((1, 12, 20), IGNORE, dtype=torch.uint8)
    query, key = torch.randn(1, 4, 3, 5, requires_grad=True), torch.randn(1, 4, 15, requires_grad=True)
    loss = vote_losses(AttentionRows(query, key), cell_counts(labels, 3, CELLS, (3, 5))).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss == 0
    for each in (query, key):
        assert each.grad is not None
        assert not each.grad.any()


def test_names_of_classes_and_ignored_positions_do_not_count() -> None:
    labels = some_labels()
    query, key = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 15)
    loss = vote_losses(AttentionRows(query, key), cell_counts(labels, 3, CELLS, (3, 5)))
    renamed = torch.where(labels == IGNORE, labels, (labels + 1) % 3)
    same = vote_losses(AttentionRows(query, key), cell_counts(renamed, 3, CELLS, (3, 5)))
    torch.testing.assert_close(same, loss)
    key[0, :, :2] = torch.randn(4, 2)  # the two cells of the first image without a scored pixel
    moved = vote_losses(AttentionRows(query, key), cell_counts(labels, 3, CELLS, (3, 5)))
    torch.testing.assert_close(moved, loss, rtol=1e-4, atol=1e-5)


def test_rows_that_attend_to_their_own_class_cost_nothing_and_others_much() -> None:
    labels = torch.zeros(1, 4, 8, dtype=torch.uint8)
    labels[:, :, 4:] = 1
    counts = cell_counts(labels, 2, CELLS, (1, 2))
    query = torch.tensor([[[[9.0, -9.0]]]])
    own, other = torch.tensor([[[9.0, -9.0]]]), torch.tensor([[[-9.0, 9.0]]])
    assert vote_losses(AttentionRows(query, own), counts).sum() < 1e-6
    assert vote_losses(AttentionRows(query, other), counts).sum() > 30


@pytest.mark.parametrize(("module", "grids"), [(PositionAttention(8), ()), (CompactPositionAttention(8).eval(), SIZES)])
def test_modules_give_the_rows_that_they_use(module: torch.nn.Module, grids: tuple[int, ...]) -> None:
    features = torch.randn(2, 8, 6, 7)
    plain = module(features)
    attended, rows = module(features, need_rows=True)
    torch.testing.assert_close(attended, plain, rtol=0, atol=0)
    assert rows.grids == grids
    made = torch.softmax(rows.query.flatten(2).transpose(1, 2) @ rows.key, dim=-1)
    expected = module.map(features) if grids else module.rows(features, range(42))  # type: ignore[operator]
    torch.testing.assert_close(made, expected)


def test_huge_energies_and_cells_that_nobody_of_their_class_is_seen_by_stay_finite() -> None:
    """Adaptive_Affinity_Fields#14: a class without an edge left made the affinity loss infinite or no number."""
    labels = torch.zeros(1, 4, 8, dtype=torch.uint8)
    labels[:, :, 4:] = 1
    counts = cell_counts(labels, 2, CELLS, (1, 2))
    query = torch.tensor([[[[1e4, -1e4]]]], requires_grad=True)
    key = torch.tensor([[[-1e4, 1e4]]], requires_grad=True)  # each sees the other alone: the softmax is exactly 0 and 1
    losses = vote_losses(AttentionRows(query, key), counts)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(losses, torch.full((1, 2), -math.log(SMALLEST)), rtol=1e-5, atol=0)
    for each in (query, key):
        assert each.grad is not None
        assert each.grad.isfinite().all()


def test_positions_without_keys_vote_by_their_distance() -> None:
    vectors = torch.randn(2, 6, 3, 5, requires_grad=True)
    flat = vectors.flatten(2).transpose(1, 2)
    weights = torch.softmax(-torch.cdist(flat, flat).square(), dim=-1)
    rows = by_distance(AttentionVectors(vectors))
    torch.testing.assert_close(torch.softmax(rows.query.flatten(2).transpose(1, 2) @ rows.key, dim=-1), weights)
    shares = torch.tensor(slow_shares(some_labels(), 3))
    votes = weights @ shares + SMALLEST
    expected = -(shares * (votes / votes.sum(dim=2, keepdim=True)).log()).sum(dim=2)
    losses = vote_losses(AttentionVectors(vectors), cell_counts(some_labels(), 3, CELLS, (3, 5)))
    torch.testing.assert_close(losses, expected)
    (ours,) = torch.autograd.grad(losses.sum(), vectors, retain_graph=True)
    torch.testing.assert_close(ours, torch.autograd.grad(expected.sum(), vectors)[0], rtol=1e-3, atol=1e-4)
