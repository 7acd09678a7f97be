import numpy as np
import pytest
import torch

from scenescope.explore.trace import attend
from scenescope.models.catalog import create_model


@pytest.fixture(scope="module")
def view(image):
    torch.manual_seed(0)
    network = create_model("dranet", backbone="resnet18", num_classes=3, output_stride=16)
    return attend(network, image)


def test_weights_of_a_point_are_its_row(view):
    centers = view.position_centers
    with torch.no_grad():
        rows = centers.module.eval().map(centers.features)[0]
    np.testing.assert_allclose(centers.weights([(50, 13)])[0], rows[3], atol=1e-5)
    np.testing.assert_allclose(centers.maps()[:, 0, 3], rows[3], atol=1e-5)
    assert centers.weights([(0, 0)]).shape == (1, 50)


def test_weights_lie_where_the_cells_of_their_centers_lie(view, monkeypatch):
    weights = np.zeros((1, 50), np.float32)
    weights[0, 0], weights[0, 1 + 4 + 2], weights[0, 1 + 4 + 9 + 7] = (
        0.36,
        0.4,
        0.24,
    )  # whole; 3 x 3 at 0,2; 6 x 6 at 1,1
    monkeypatch.setattr(view.position_centers, "weights", lambda points: weights)
    (spread,) = view.position_centers.spread([(0, 0)])
    expected = np.full((6, 6), 0.01)
    expected[0:2, 4:6] += 0.1
    expected[1, 1] += 0.24
    np.testing.assert_allclose(spread, expected, atol=1e-6)
