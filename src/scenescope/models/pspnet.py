"""PSPNet: what the image shows at four coarse sizes, beside the features of every position.

Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, section 3.2 and figure 3; a baseline of both papers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scenescope.cells import pool_to_grid
from scenescope.models.blocks import classifier, conv_norm_relu, resize
from scenescope.models.network import Head
from scenescope.models.options import PSPNetOptions
from scenescope.outputs import SegmentationOutput

SIZES = (1, 2, 3, 6)
"""Sides of the grids that stage 4 is pooled to."""


class PSPNetHead(Head):
    """Stage 4 and its pooled pyramid, a 3 x 3 convolution to C4/4 channels, dropout and a classifier."""

    def __init__(self, channels: Sequence[int], num_classes: int, options: PSPNetOptions) -> None:
        super().__init__()
        in_channels = channels[-1]
        inner = in_channels // len(SIZES)
        self.align_corners = options.align_corners
        self.levels = nn.ModuleList(conv_norm_relu(in_channels, inner, kernel_size=1) for _ in SIZES)
        self.conv = conv_norm_relu(in_channels + len(SIZES) * inner, in_channels // 4, kernel_size=3)
        self.classifier = classifier(in_channels // 4, num_classes, options.dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 4 from the features of stages 1 to 4."""
        features = stages[-1]
        size = features.shape[-2:]
        pyramid = [
            resize(level(pool_to_grid(features, side)), size, align_corners=self.align_corners)
            for level, side in zip(self.levels, SIZES, strict=True)
        ]
        return SegmentationOutput(self.classifier(self.conv(torch.cat([features, *pyramid], dim=1))), {})
