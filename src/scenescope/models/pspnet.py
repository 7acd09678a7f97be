"""PSPNet: what the picture shows at four coarse sizes, beside the features of every position.

Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, section 3.2 and figure 3; a yardstick of both papers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from scenescope.backbones.build import create_backbone
from scenescope.models.blocks import classifier, conv_norm_relu, resize
from scenescope.models.fcn import auxiliary_fcn_head
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput

PRESETS: dict[str, dict[str, Any]] = {"mmseg": {"backbone": "resnet101c.gluon_in1k", "align_corners": False}}
"""mmsegmentation is the form of its 512 x 1024 recipes (those with 769 x 769 crops align corners)."""
SIZES = (1, 2, 3, 6)
"""Sides of the grids that stage 4 is pooled to."""


class PSPNetHead(nn.Module):
    """Stage 4 and its pooled pyramid, a 3 x 3 convolution to C4/4 channels, dropout and a classifier."""

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.1, align_corners: bool = True) -> None:
        super().__init__()
        inner = in_channels // len(SIZES)
        self.align_corners = align_corners
        self.levels = nn.ModuleList(conv_norm_relu(in_channels, inner, kernel_size=1) for _ in SIZES)
        self.conv = conv_norm_relu(in_channels + len(SIZES) * inner, in_channels // 4, kernel_size=3)
        self.classifier = classifier(in_channels // 4, num_classes, dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 4 from the features of stages 1 to 4."""
        features = stages[-1]
        size = features.shape[-2:]
        pyramid = [
            resize(level(functional.adaptive_avg_pool2d(features, side)), size, align_corners=self.align_corners)
            for level, side in zip(self.levels, SIZES, strict=True)
        ]
        return SegmentationOutput(self.classifier(self.conv(torch.cat([features, *pyramid], dim=1))), {})


def pspnet(
    num_classes: int,
    backbone: str = "resnet50",
    *,
    pretrained: bool = False,
    output_stride: int = 8,
    multi_grid: Sequence[int] | None = None,
    align_corners: bool = True,
    auxiliary_head: bool = True,
    dropout: float = 0.1,
) -> SegmentationNetwork:
    """Build PSPNet; see create_backbone for the arguments. The loss of the stage-3 head weighs 0.4."""
    stages = create_backbone(backbone, output_stride=output_stride, multi_grid=multi_grid, pretrained=pretrained)
    return SegmentationNetwork(
        stages,
        PSPNetHead(stages.channels[-1], num_classes, dropout, align_corners),
        num_classes=num_classes,
        align_corners=align_corners,
        auxiliary_head=auxiliary_fcn_head(stages.channels[2], num_classes, dropout) if auxiliary_head else None,
        loss_weights={"stage3": 0.4} if auxiliary_head else {},
    )
