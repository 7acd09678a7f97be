"""Small pieces that several heads are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as functional
from torch import Tensor, nn

from scenescope.errors import ModelError


def conv_norm_relu(
    in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return convolution without bias, batch norm and ReLU; the size of the picture stays."""
    padding = dilation * (kernel_size - 1) // 2
    return nn.Sequential(
        nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def separable_conv_norm_relu(in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> nn.Sequential:
    """Return a convolution within each channel and a 1 x 1 one across them, each with batch norm and ReLU."""
    return nn.Sequential(
        conv_norm_relu(in_channels, in_channels, kernel_size, dilation, groups=in_channels),
        conv_norm_relu(in_channels, out_channels, kernel_size=1),
    )


def classifier(
    in_channels: int,
    num_classes: int,
    dropout: float,
    layer: Callable[[float], nn.Module] = nn.Dropout2d,
    subpixel: int = 1,
) -> Any:
    """Return dropout and a 1 x 1 convolution with bias from features to class logits; see subpixel_logits."""
    return nn.Sequential(layer(dropout), *subpixel_logits(in_channels, num_classes, subpixel))


def subpixel_logits(in_channels: int, num_classes: int, subpixel: int) -> tuple[nn.Module, ...]:
    """Return a 1 x 1 convolution to the logits of ``subpixel`` x ``subpixel`` places within each position.

    1 is the published classifier. More places draw what is thinner than a position (Shi et al., "Real-Time Single Image
    and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016, section 3.2).

    Raises:
        ModelError: a number below 1.
    """
    if subpixel < 1:
        raise ModelError(f"subpixel={subpixel} is not a number of places along a position; give 1 for none, or 2.")
    convolution = nn.Conv2d(in_channels, num_classes * subpixel**2, kernel_size=1)
    return (convolution, nn.PixelShuffle(subpixel)) if subpixel > 1 else (convolution,)


def resize(features: Tensor, size: Sequence[int], *, align_corners: bool) -> Tensor:
    """Resize B x C x h x w features bilinearly to a height and width."""
    return functional.interpolate(features, tuple(size), mode="bilinear", align_corners=align_corners)
