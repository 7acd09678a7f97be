"""Atrous spatial pyramid pooling (ASPP): features looked at in several rates of dilation at once.

Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scenescope.models.blocks import conv_norm_relu, resize, separable_conv_norm_relu
from scenescope.models.options import DeepLabV3Options


class AtrousPyramid(nn.Module):
    """Five views of the features, 256 channels each, and a convolution to 256 of all of them.

    The views are a 1 x 1 convolution, three dilated 3 x 3 ones, and the mean over all positions.

    Args:
        in_channels: width of the features.
        options: see DeepLabV3Options; the rates are 12, 24 and 36 at output stride 8, half of that at 16.
        separable: have depthwise-separable 3 x 3 convolutions, as V3+ and mmsegmentation's form of it.
    """

    def __init__(self, in_channels: int, options: DeepLabV3Options, *, separable: bool = False) -> None:
        super().__init__()
        self.align_corners = options.align_corners
        width = options.width
        dilations = [96 // options.output_stride * factor for factor in (1, 2, 3)]
        convolution = separable_conv_norm_relu if separable else conv_norm_relu
        self.branches = nn.ModuleList(
            [conv_norm_relu(in_channels, width, 1), *(convolution(in_channels, width, 3, each) for each in dilations)]
        )
        self.image_pool = conv_norm_relu(in_channels, width, 1)
        self.project = nn.Sequential(
            conv_norm_relu(5 * width, width, kernel_size=3 if options.wide_join else 1),
            nn.Dropout(0.0 if options.wide_join else 0.5),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return B x width x h x w from B x C x h x w features."""
        image = self.image_pool(features.mean(dim=(2, 3), keepdim=True))
        image = resize(image, features.shape[-2:], align_corners=self.align_corners)
        projected: Tensor = self.project(torch.cat([*(branch(features) for branch in self.branches), image], dim=1))
        return projected
