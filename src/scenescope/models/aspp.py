"""Atrous spatial pyramid pooling (ASPP): features looked at in several rates of dilation at once.

Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scenescope.models.blocks import conv_norm_relu, resize, separable_conv_norm_relu

WIDTH = 256


class AtrousPyramid(nn.Module):
    """Five views of the features, 256 channels each, and a convolution to 256 of all of them.

    The views are a 1 x 1 convolution, three dilated 3 x 3 ones, and the mean over all positions.

    Args:
        in_channels: width of the features.
        output_stride: of the features; the rates are 12, 24 and 36 at 8, half of that at 16.
        align_corners: how the mean is spread over the positions again; both ways give the same.
        separable: have depthwise-separable 3 x 3 convolutions, as V3+ and mmsegmentation's form of it.
        width: of each view and of the output, in place of 256.
        wide_join: join the views by a 3 x 3 convolution as mmsegmentation does, not by a 1 x 1 one and dropout.
    """

    def __init__(
        self,
        in_channels: int,
        output_stride: int,
        align_corners: bool,
        separable: bool = False,
        width: int = WIDTH,
        wide_join: bool = False,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.separable = separable
        self.width = width
        self.wide_join = wide_join
        rates = [96 // output_stride * factor for factor in (1, 2, 3)]
        convolution = separable_conv_norm_relu if separable else conv_norm_relu
        self.views = nn.ModuleList(
            [conv_norm_relu(in_channels, width, 1), *(convolution(in_channels, width, 3, rate) for rate in rates)]
        )
        self.picture = conv_norm_relu(in_channels, width, 1)
        self.project = nn.Sequential(
            conv_norm_relu(5 * width, width, kernel_size=3 if wide_join else 1), nn.Dropout(0.0 if wide_join else 0.5)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return B x width x h x w from B x C x h x w features."""
        picture = self.picture(features.mean(dim=(2, 3), keepdim=True))
        picture = resize(picture, features.shape[-2:], align_corners=self.align_corners)
        projected: Tensor = self.project(torch.cat([*(view(features) for view in self.views), picture], dim=1))
        return projected
