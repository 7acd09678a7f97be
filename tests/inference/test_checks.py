import pytest
import torch
from torch import nn

from scenescope.errors import ImageError, ModelError
from scenescope.inference.checks import require_finite, require_images, require_network
from scenescope.models.catalog import create_model


def test_a_network_of_another_kind_is_told_what_it_lacks():
    with pytest.raises(ModelError, match=r"^Conv2d is no network of scenescope \(it lacks num_classes, .*create_model"):
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
def test_what_is_no_batch_of_pictures_is_refused(images):
    with pytest.raises(ImageError, match=r"is no batch of pictures; give .*B x 3 x H x W uint8 RGB"):
        require_images(images)


def test_numbers_of_any_size_are_finite_but_nan_and_infinity_are_not():
    require_finite(torch.full((1, 2, 3, 3), 3e38))  # their sum is not
    require_finite(torch.tensor([[3e38, -3e38]]))
    for wrong in (torch.nan, torch.inf, -torch.inf):
        logits = torch.zeros(1, 2, 3, 3)
        logits[0, 1, 2, 0] = wrong
        with pytest.raises(ModelError, match="no number everywhere"):
            require_finite(logits)
