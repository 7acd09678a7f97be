"""Compact channel attention against a slow loop written from its equation, in the form of the released code."""

import math

import torch

from scenescope.attention.compact_channel import CompactChannelAttention
from scenescope.backbones.build import count_parameters


def slow_compact_channel_attention(module: CompactChannelAttention, features: torch.Tensor) -> torch.Tensor:
    """softmax(rowmax - X Y^T) with a loop for every sum, in float64."""
    convolution, norm, _ = module.centers
    result = features.double().flatten(2).clone()
    for b, image in enumerate(features.double().flatten(2)):
        centers = []
        for weight, mean, variance, factor, bias in zip(
            convolution.weight[:, :, 0, 0], norm.running_mean, norm.running_var, norm.weight, norm.bias, strict=True
        ):
            mixed = sum(float(w) * channel for w, channel in zip(weight, image, strict=True))
            centers.append(((mixed - mean) / math.sqrt(variance + norm.eps) * factor + bias).clamp(min=0))
        for j, channel in enumerate(image):
            energies = [float(channel @ center) for center in centers]
            weights = [math.exp(max(energies) - energy) for energy in energies]
            attended = sum(weight / sum(weights) * center for weight, center in zip(weights, centers, strict=True))
            result[b, j] += float(module.beta) * attended
    return result.view(features.shape)


def awake(channels: int, num_centers: int | None = None) -> CompactChannelAttention:
    torch.manual_seed(0)
    module = CompactChannelAttention(channels, num_centers)
    torch.nn.init.constant_(module.beta, 0.3)
    torch.nn.init.normal_(module.centers[1].running_mean, std=0.1)
    torch.nn.init.uniform_(module.centers[1].weight, 0.5, 1.5)
    return module.eval().requires_grad_(False)


def test_equals_the_equation() -> None:
    module = awake(6, num_centers=4)
    features = torch.randn(2, 6, 3, 4)
    torch.testing.assert_close(
        module(features).double(), slow_compact_channel_attention(module, features), rtol=1e-5, atol=1e-6
    )


def test_the_least_similar_centre_gets_the_most_weight() -> None:
    """Two channels on two positions, each its own center."""
    module = CompactChannelAttention(2, num_centers=2).eval()
    torch.nn.init.eye_(module.centers[0].weight[:, :, 0, 0])
    features = torch.tensor([[[3.0, 0.0], [0.0, 3.0]]])[..., None]  # 1 x 2 x 2 x 1
    assert module.map(features)[0].argmax(dim=1).tolist() == [1, 0]


def test_is_the_identity_at_initialization_and_rows_sum_to_one() -> None:
    module = CompactChannelAttention(32)
    features = torch.randn(2, 32, 3, 5)
    assert torch.equal(module(features), features)
    assert module.map(features).shape == (2, 32, 2)
    torch.testing.assert_close(module.map(features).sum(-1), torch.ones(2, 32))


def test_permuting_positions_permutes_the_output() -> None:
    module = awake(32)
    features = torch.randn(1, 32, 1, 12)
    order = torch.randperm(12)
    torch.testing.assert_close(module(features)[..., order], module(features[..., order]))


def test_products_are_float32_under_autocast() -> None:
    """A sum over N = 4096 products of 36 is infinite in float16 and would give NaN."""
    module = CompactChannelAttention(4, num_centers=2).eval()
    torch.nn.init.constant_(module.centers[0].weight, 0.25)
    features = torch.full((1, 4, 64, 64), 6.0)
    with torch.autocast("cpu", torch.float16):
        weights = module.map(features)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, torch.full((1, 4, 2), 0.5))


def test_parameters_by_hand() -> None:
    assert count_parameters(CompactChannelAttention(512)) == 512 * 32 + 2 * 32 + 1
