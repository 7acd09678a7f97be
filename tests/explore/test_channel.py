import numpy as np
import pytest
import torch

from scenescope.attention.channel import ChannelAttention
from scenescope.errors import ModelError
from scenescope.explore.channel import ChannelTrace


@pytest.mark.parametrize("form", ["official", "paper"])
def test_rows_and_maps_are_those_of_the_equation(form):
    torch.manual_seed(0)
    module = ChannelAttention(form)
    torch.nn.init.constant_(module.beta, 0.7)
    features = torch.randn(1, 6, 3, 4)
    view = ChannelTrace(module, features, np.zeros((3, 4), np.uint8))
    flat = features[0].double().flatten(1).numpy()
    for channel in range(6):
        energies = np.array([(flat[channel] * flat[other]).sum() for other in range(6)])
        weights = np.exp(-energies if form == "official" else energies)
        weights /= weights.sum()
        np.testing.assert_allclose(view.rows([channel])[0], weights, atol=1e-5)
        attended = 0.7 * sum(weights[other] * flat[other] for other in range(6)) + flat[channel]
        np.testing.assert_allclose(view.maps([channel])[0].ravel(), attended, rtol=1e-5, atol=1e-5)


def test_a_planted_channel_answers_to_its_class():
    torch.manual_seed(0)
    labels = np.array([[0, 0, 1], [0, 2, 1]], np.uint8)
    features = 0.1 * torch.randn(1, 8, 2, 3)
    features[0, 5][torch.from_numpy(labels == 1)] = 4.0
    view = ChannelTrace(ChannelAttention(), features, labels)  # beta is 0: the maps are the features
    assert view.responsive(1, 1) == [5]
    assert view.count == 8


def test_responses_by_hand():
    features = torch.tensor([[[[1.0, 3.0]], [[0.1, 0.1]]]])
    view = ChannelTrace(ChannelAttention(), features, np.array([[0, 2]], np.uint8))
    # The first: 3 inside, 1 outside, deviation 1. The second is flat.
    np.testing.assert_allclose(view.responses(2), [2, 0])
    np.testing.assert_allclose(view.responses(0), [-2, 0])


def test_what_does_not_exist_is_named():
    view = ChannelTrace(ChannelAttention(), torch.randn(1, 4, 2, 2), np.array([[0, 0], [0, 2]], np.uint8))
    for channel in (4, -1):
        with pytest.raises(ModelError, match=rf"no channel {channel}; .* channels 0 to 3"):
            view.rows([channel])
        with pytest.raises(ModelError, match="channels 0 to 3"):
            view.maps([0, channel])
    with pytest.raises(ModelError, match=r"Class 1 is not in this prediction.*its classes are 0, 2"):
        view.responses(1)
    view.labels = np.zeros((2, 2), np.uint8)
    with pytest.raises(ModelError, match="Class 0 fills this prediction"):
        view.responses(0)
