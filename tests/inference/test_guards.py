import threading

import pytest
import torch
from torch import nn

from scenescope.errors import ImageError, ModelError
from scenescope.inference.guards import eval_mode, memory_errors, require_finite, require_images, require_network
from scenescope.models.catalog import create_model


def test_a_network_of_another_kind_is_told_what_it_lacks():
    with pytest.raises(ModelError, match=r"^Conv2d is not a network .* \(it lacks num_classes, .*create_model"):
        require_network(nn.Conv2d(3, 3, 1))
    network = create_model("fcn", backbone="test_resnet", num_classes=3)
    with pytest.raises(ModelError, match=r"^DataParallel only wraps a network; give its \.module\.$"):
        require_network(nn.DataParallel(network))
    require_network(network)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(1, 3, 4, 4),
        torch.zeros(3, 4, 4, dtype=torch.uint8),
        torch.zeros(1, 4, 4, 3, dtype=torch.uint8),
        torch.zeros(1, 3, 0, 4, dtype=torch.uint8),
        torch.zeros(1, 3, 4, 4, dtype=torch.int16),
        None,
    ],
)
def test_what_is_no_batch_of_images_is_refused(images):
    with pytest.raises(ImageError, match=r"is not a batch of images; give .*B x 3 x H x W uint8 RGB"):
        require_images(images)


def test_numbers_of_any_size_are_finite_but_nan_and_infinity_are_not():
    require_finite(torch.full((1, 2, 3, 3), 3e38))  # their sum is not
    require_finite(torch.tensor([[3e38, -3e38]]))
    for wrong in (torch.nan, torch.inf, -torch.inf):
        logits = torch.zeros(1, 2, 3, 3)
        logits[0, 1, 2, 0] = wrong
        with pytest.raises(ModelError, match="not a number everywhere"):
            require_finite(logits)


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
    with eval_mode(network):
        assert not any(modes(network))
        assert not torch.is_grad_enabled()
    assert modes(network) == before
    assert torch.is_grad_enabled()


def test_modes_come_back_after_an_error():
    network = mixed()
    before = modes(network)
    with pytest.raises(RuntimeError, match="planted"), eval_mode(network):
        raise RuntimeError("planted")
    assert modes(network) == before


def test_the_last_of_several_threads_puts_the_modes_back():
    """One that ends must not wake the norms of a network that another still looks through."""
    network = mixed()
    before = modes(network)
    inside, go_on = threading.Event(), threading.Event()

    def look():
        with eval_mode(network):
            inside.set()
            assert go_on.wait(60)

    thread = threading.Thread(target=look)
    with eval_mode(network):
        thread.start()
        assert inside.wait(60)
    assert not any(modes(network))
    go_on.set()
    thread.join()
    assert modes(network) == before
    with eval_mode(network), eval_mode(network[2]):
        pass
    assert modes(network) == before


def test_more_memory_than_there_is_becomes_one_line():
    told = pytest.raises(ImageError, match=r"^An image needs more memory than there is; scale it down\.$")
    with told, memory_errors(ImageError, "An image", "scale it down"):
        torch.empty(2**50)
    with pytest.raises(ImageError), memory_errors(ImageError, "An image", "scale it down"):
        raise MemoryError


def test_other_errors_pass():
    told = pytest.raises(RuntimeError, match="shapes cannot be multiplied")
    with told, memory_errors(ImageError, "An image", "scale it down"):
        torch.ones(2, 3) @ torch.ones(2, 3)
