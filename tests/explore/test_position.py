import numpy as np
import pytest
import torch

from scenescope.errors import ImageError, ModelError
from scenescope.explore.position import position_attention
from scenescope.models.catalog import create_model


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = create_model("danet", backbone="resnet18", num_classes=4, output_stride=16)
    torch.nn.init.normal_(network.head.position.query.weight, std=5.0)  # attention that is far from even
    return network


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (70, 100, 3), np.uint8)


def slow_map(network, image):
    """The whole N x N map from its equation, in float64."""
    network.eval()
    with torch.no_grad():
        prepared = network.prepare(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))
        features = network.position_features(prepared)
        attention = network.head.position.double()
        query = attention.query(features.double())[0].flatten(1)
        key = attention.key(features.double())[0].flatten(1)
        attention.float()
    energy = torch.stack([torch.stack([(q * k).sum() for k in key.T]) for q in query.T])
    return (energy.exp() / energy.exp().sum(1, keepdim=True)).numpy(), features.shape[-2:]


def test_maps_are_the_rows_of_the_whole_map(network, image):
    whole, (rows, columns) = slow_map(network, image)
    assert (rows, columns) == (5, 7)
    points = [(0, 0), (99, 69), (50, 13), (14, 14), (15, 14)]
    cells = [0, 34, 3, 0 + 1 * 7, 1 + 1 * 7]  # floor(y 5 / 70) * 7 + floor(x 7 / 100), by hand
    maps = position_attention(network, image, points)
    for found, cell in zip(maps, cells, strict=True):
        assert found.shape == (5, 7)
        assert found.dtype == np.float32
        assert np.allclose(found.reshape(-1), whole[cell], atol=1e-5)
        assert found.sum() == pytest.approx(1, abs=1e-5)
    assert not np.allclose(maps[0], maps[1], atol=1e-3)


def test_more_memory_than_there_is_becomes_one_line(network, image, monkeypatch):
    monkeypatch.setattr(network, "position_features", lambda batch: torch.empty(2**50))
    told = r"^The attention in a picture of 100 x 70 pixels needs more memory than there is; scale the picture down\.$"
    with pytest.raises(ImageError, match=told):
        position_attention(network, image, [(1, 1)])


def test_the_network_stays_in_its_mode(network, image):
    network.train()
    position_attention(network, image, [(1, 1)])
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("point", [(100, 0), (0, 70), (-1, 0), (0, -1)])
def test_a_point_outside_names_the_range(network, image, point):
    with pytest.raises(ImageError, match=r"100 x 70 pixels; x may be 0 to 99 and y 0 to 69"):
        position_attention(network, image, [(3, 3), point])


@pytest.mark.parametrize(("name", "options"), [("fcn", {}), ("danet", {"position": False})])
def test_a_network_without_position_attention_names_one_that_has_it(image, name, options):
    without = create_model(name, backbone="resnet18", num_classes=2, output_stride=32, **options)
    with pytest.raises(ModelError, match=f"{name} has no position attention.*danet with position"):
        position_attention(without, image, [(0, 0)])
