import threading

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


def test_the_last_of_several_threads_puts_the_modes_back():
    """One that ends must not wake the norms of a network that another still looks through."""
    network = mixed()
    before = modes(network)
    inside, go_on = threading.Event(), threading.Event()

    def look():
        with evaluating(network):
            inside.set()
            assert go_on.wait(60)

    thread = threading.Thread(target=look)
    with evaluating(network):
        thread.start()
        assert inside.wait(60)
    assert not any(modes(network))
    go_on.set()
    thread.join()
    assert modes(network) == before
    with evaluating(network), evaluating(network[2]):
        pass
    assert modes(network) == before
