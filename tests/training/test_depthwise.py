"""Gradients of depthwise convolutions put together from smaller ones are those of torch."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from scenescope.training.depthwise import FastDepthwiseGradients


def gradients(
    features: Tensor, weight: Tensor, stride: int, padding: int, dilation: int
) -> tuple[Tensor, Tensor, Tensor]:
    features, weight = features.clone().requires_grad_(), weight.clone().requires_grad_()
    output = functional.conv2d(features, weight, None, stride, padding, dilation, len(weight))
    pull = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).reshape(output.shape)
    return output, *torch.autograd.grad(output, [features, weight], pull)


def uses_own_gradient(output: Tensor) -> bool:
    return "Depthwise" in type(output.grad_fn).__name__


CASES = [
    (kernel, stride, padding * dilation, dilation, size)
    for kernel, stride, dilation, size in itertools.product((3, 5), (1, 2), (1, 2, 3), ((7, 10), (9, 6)))
    for padding in {0, kernel // 2}
    if dilation == 1 or (stride == 1 and padding)
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation", "size"), CASES)
def test_they_are_those_of_torch(kernel: int, stride: int, padding: int, dilation: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 6, *size, dtype=torch.float64)
    weight = torch.randn(6, 1, kernel, kernel, dtype=torch.float64)
    expected = gradients(features, weight, stride, padding, dilation)
    with FastDepthwiseGradients():
        found = gradients(features, weight, stride, padding, dilation)
    assert uses_own_gradient(found[0]) == ((kernel, stride, dilation) != (3, 1, 1))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_what_is_not_meant_is_left_alone() -> None:
    features = torch.randn(1, 6, 9, 9)
    with FastDepthwiseGradients():
        for layer in (
            nn.Conv2d(6, 6, 5, groups=6),  # with a bias
            nn.Conv2d(6, 12, 5, groups=6, bias=False),  # two outputs of each channel
            nn.Conv2d(6, 6, 5, groups=2, bias=False),
            nn.Conv2d(6, 6, 7, groups=6, bias=False),
            nn.Conv2d(6, 6, (3, 5), groups=6, bias=False),
            nn.Conv2d(6, 6, 5, groups=6, bias=False, padding="same"),
            nn.Conv2d(6, 6, 3, groups=6, bias=False, dilation=2),  # makes the image smaller
            nn.Conv2d(6, 6, 3, groups=6, bias=False, stride=2, padding=3),  # wider than the kernel reaches
        ):
            assert not uses_own_gradient(layer(features))
        with torch.no_grad():
            assert nn.Conv2d(6, 6, 5, groups=6, bias=False)(features).grad_fn is None


def test_under_autocast_they_are_in_its_format_and_gradients_in_that_of_the_weights() -> None:
    layer = nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False)
    features = torch.randn(1, 4, 8, 8, requires_grad=True)
    with FastDepthwiseGradients(), torch.autocast("cpu", torch.bfloat16):
        output = layer(features)
    assert output.dtype == torch.bfloat16
    output.float().sum().backward()
    assert features.grad is not None
    assert layer.weight.grad is not None
    assert (features.grad.dtype, layer.weight.grad.dtype) == (torch.float32, torch.float32)
    # Of a sum, the gradient of a weight is the sum of what it meets: all of the image for the one in the middle.
    middle = layer.weight.grad[:, 0, 2, 2]
    torch.testing.assert_close(middle, features.detach().sum(dim=(0, 2, 3)), atol=0.1, rtol=0.02)
