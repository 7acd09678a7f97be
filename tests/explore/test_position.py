import numpy as np
import pytest
import torch

from scenescope.explore.points import cell_labels
from scenescope.explore.trace import attend


@pytest.fixture(scope="module")
def whole(network, image):
    """Return the whole N x N map of the image from its equation, in float64; N = 5 * 7."""
    features = attend(network, image).position.features
    attention = network.head.position
    with torch.no_grad():
        query, key = (
            (layer.weight.double()[:, :, 0, 0] @ features[0].double().flatten(1) + layer.bias.double()[:, None])
            for layer in (attention.query, attention.key)
        )
    assert features.shape[-2:] == (5, 7)
    energy = torch.stack([torch.stack([(q * k).sum() for k in key.T]) for q in query.T])
    return (energy.exp() / energy.exp().sum(1, keepdim=True)).numpy()


POINTS = [(0, 0), (99, 69), (50, 13), (15, 16), (16, 16)]
CELLS = [0, 34, 3, 7, 8]  # floor(y / 16) * 7 + floor(x / 16), by hand


def test_maps_are_the_rows_of_the_whole_map(network, image, whole):
    maps = attend(network, image).position.maps(POINTS)
    assert maps.shape == (5, 5, 7)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps.reshape(5, -1), whole[CELLS], atol=1e-5)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1, atol=1e-5)
    assert not np.allclose(maps[0], maps[1], atol=1e-3)


@pytest.mark.parametrize("block", [1, 4, 35])
def test_received_are_the_columns_of_the_whole_map(network, image, whole, monkeypatch, block):
    monkeypatch.setattr("scenescope.explore.position.block_rows", lambda *_: block)
    maps = attend(network, image).position.received(POINTS)
    np.testing.assert_allclose(maps.reshape(5, -1), whole[:, CELLS].T, atol=1e-5)


@pytest.mark.parametrize("block", [1, 4, 35])
def test_attention_between_classes_is_the_mean_of_sums(network, image, whole, monkeypatch, block):
    monkeypatch.setattr("scenescope.explore.position.block_rows", lambda *_: block)
    view = attend(network, image)
    view.position.labels = np.repeat(np.arange(3, dtype=np.uint8), [20, 33, 47])[None].repeat(70, axis=0)
    between = view.position.between_classes()
    labels = cell_labels(view.position.labels, view.position.cells, (5, 7)).ravel()
    assert set(labels) == {0, 1, 2}
    for row in range(3):
        for column in range(3):
            paid = [sum(whole[j, i] for i in range(35) if labels[i] == column) for j in range(35) if labels[j] == row]
            assert between[row, column] == pytest.approx(sum(paid) / len(paid), abs=1e-5)
    assert np.isnan(between[3]).all()  # absent
    np.testing.assert_allclose(between[:3].sum(axis=1), 1, atol=1e-5)
