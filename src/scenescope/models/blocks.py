"""Small pieces that several heads are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as functional
from torch import Tensor, nn


def conv_norm_relu(
    in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1, groups: int = 1, stride: int = 1
) -> nn.Sequential:
    """Return convolution without bias, batch norm and ReLU; the size of the image stays at stride 1."""
    padding = dilation * (kernel_size - 1) // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=False),
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
    in_channels: int, num_classes: int, dropout: float, layer: Callable[[float], nn.Module] = nn.Dropout2d
) -> Any:
    """Return dropout and a 1 x 1 convolution with bias from features to class logits."""
    return nn.Sequential(layer(dropout), nn.Conv2d(in_channels, num_classes, kernel_size=1))


def resize(features: Tensor, size: Sequence[int], *, align_corners: bool) -> Tensor:
    """Resize B x C x h x w features bilinearly to a height and width."""
    return functional.interpolate(features, tuple(size), mode="bilinear", align_corners=align_corners)
