"""Channel attention against a slow loop written from equations 3 and 4 of the paper and from the released code."""

import math

import pytest
import torch

from scenescope.attention.channel import ChannelAttention, ChannelForm
from scenescope.errors import ModelError


def slow_channel_attention(features: torch.Tensor, beta: float, form: str) -> torch.Tensor:
    result = features.double().flatten(2).clone()
    for b in range(features.shape[0]):
        a = features[b].double().flatten(1)
        channels = len(a)
        for j in range(channels):
            gram = [float(a[j] @ a[i]) for i in range(channels)]
            energies = gram if form == "paper" else [max(gram) - value for value in gram]
            if form == "scaled":
                energies = [energy / math.sqrt(a.shape[1]) for energy in energies]
            total = sum(math.exp(energy) for energy in energies)
            result[b, j] += beta * sum(math.exp(energy) / total * a[i] for i, energy in enumerate(energies))
    return result.view(features.shape)


@pytest.mark.parametrize("form", ["official", "paper", "scaled"])
def test_equals_the_equation(form: ChannelForm) -> None:
    torch.manual_seed(0)
    module = ChannelAttention(form)
    torch.nn.init.constant_(module.beta, 0.3)
    features = torch.randn(2, 6, 3, 4)
    torch.testing.assert_close(
        module(features).double(), slow_channel_attention(features, 0.3, form), rtol=1e-5, atol=1e-6
    )


def test_official_form_reverses_the_order_of_similarity() -> None:
    features = torch.tensor([[[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]])[..., None]  # 1 x 3 x 2 x 1
    official = ChannelAttention("official").map(features)[0]
    paper = ChannelAttention("paper").map(features)[0]
    assert official[0].argmax() == 2
    assert paper[0].argmax() == 0


@pytest.mark.parametrize("form", ["official", "paper", "scaled"])
def test_is_the_identity_at_initialization_and_rows_sum_to_one(form: ChannelForm) -> None:
    features = torch.randn(2, 6, 3, 4)
    module = ChannelAttention(form)
    assert torch.equal(module(features), features)
    torch.testing.assert_close(module.map(features).sum(-1), torch.ones(2, 6))


def test_permuting_channels_permutes_the_output() -> None:
    module = ChannelAttention()
    torch.nn.init.constant_(module.beta, 1.0)
    features = torch.randn(1, 6, 3, 4)
    order = torch.randperm(6)
    torch.testing.assert_close(module(features)[:, order], module(features[:, order]))


def test_gram_is_float32_under_autocast() -> None:
    """A sum over N = 4096 products above 65504 would be infinite in float16 and give NaN."""
    features = torch.full((1, 4, 64, 64), 6.0)
    with torch.autocast("cpu", torch.float16):
        weights = ChannelAttention().map(features)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, torch.full((1, 4, 4), 0.25))


def test_refuses_another_form() -> None:
    with pytest.raises(ModelError, match="'softmax' is not known; choose 'official', 'paper' or 'scaled'"):
        ChannelAttention("softmax")  # type: ignore[arg-type]
