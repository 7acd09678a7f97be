"""Squeeze-and-excitation by a loop over channels."""

import math

import torch

from scenescope.attention.squeeze_excitation import SqueezeExcitation


def test_equals_the_equation() -> None:
    torch.manual_seed(0)
    module = SqueezeExcitation(3, hidden_channels=2).requires_grad_(False)
    first, second = module.excitation[0], module.excitation[2]
    features = torch.randn(2, 3, 4, 5)
    for image, result in zip(features, module(features), strict=True):
        means = [float(channel.mean()) for channel in image]
        hidden = [
            max(0.0, sum(float(w) * m for w, m in zip(row, means, strict=True)) + float(bias))
            for row, bias in zip(first.weight, first.bias, strict=True)
        ]
        for channel in range(3):
            energy = sum(float(w) * h for w, h in zip(second.weight[channel], hidden, strict=True))
            weight = 1 / (1 + math.exp(-energy - float(second.bias[channel])))
            torch.testing.assert_close(result[channel], weight * image[channel])


def test_weights_do_not_know_positions() -> None:
    module = SqueezeExcitation(6)
    features = torch.randn(1, 6, 4, 4)
    shuffled = features.flatten(2)[..., torch.randperm(16)].view_as(features)
    torch.testing.assert_close(module.weights(shuffled), module.weights(features))
