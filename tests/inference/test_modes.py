import pytest
import torch
from torch import nn

from scenescope.inference.modes import evaluating


def mixed() -> nn.Sequential:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1)))
    network[1].eval()  # a frozen norm within a network in training
    return network


def modes(network):
    return [module.training for module in network.modules()]


def test_every_module_gets_its_own_mode_back():
    network = mixed()
    before = modes(network)
    assert sorted(set(before)) == [False, True]
    with evaluating(network):
        assert not any(modes(network))
        assert not torch.is_grad_enabled()
    assert modes(network) == before
    assert torch.is_grad_enabled()


def test_modes_come_back_after_an_error():
    network = mixed()
    before = modes(network)
    with pytest.raises(RuntimeError, match="planted"), evaluating(network):
        raise RuntimeError("planted")
    assert modes(network) == before
