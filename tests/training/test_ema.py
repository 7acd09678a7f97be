"""The moving average by hand."""

import pytest
import torch
from torch import nn

from scenescope.training.ema import ModelEma


def test_average_by_hand_with_its_warm_start() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    ema = ModelEma(network, decay=0.15)
    nn.init.constant_(network.weight, 2.0)
    ema.update(network)  # decay 1/10
    assert ema.state["weight"].item() == pytest.approx(0.1 * 1 + 0.9 * 2)
    ema.update(network)  # decay 0.15, as 2/11 is larger
    assert ema.state["weight"].item() == pytest.approx(0.15 * 1.9 + 0.85 * 2)


def test_the_network_has_the_average_within_the_block_only() -> None:
    network = nn.BatchNorm1d(2)
    ema = ModelEma(network, decay=0.9)
    nn.init.constant_(network.weight, 5.0)
    network.num_batches_tracked.fill_(7)
    with ema.applied_to(network):
        assert network.weight.tolist() == [1.0, 1.0]
    assert network.weight.tolist() == [5.0, 5.0]
    assert network.num_batches_tracked.item() == 7


def test_integers_are_copied() -> None:
    network = nn.BatchNorm1d(2)
    ema = ModelEma(network, decay=0.9)
    network.num_batches_tracked.fill_(7)
    ema.update(network)
    assert ema.state["num_batches_tracked"].item() == 7


def test_goes_on_from_a_saved_average() -> None:
    network = nn.Linear(1, 1)
    ema = ModelEma(network, decay=0.5)
    ema.load({"weight": torch.tensor([[4.0]]), "bias": torch.tensor([3.0])}, num_updates=100)
    ema.update(network)
    assert ema.state["bias"].item() == pytest.approx(0.5 * 3 + 0.5 * network.bias.item())
