"""DRANet: DANet's successor, whose positions and channels attend to a few centres, with a gated decoder.

Fu et al., "Scene Segmentation With Dual Relation-Aware Attention Network", IEEE Transactions on Neural Networks and
Learning Systems 32(6), 2021; layers and widths are those of the released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scenescope.attention.compact_channel import CompactChannelAttention
from scenescope.attention.compact_position import CompactPositionAttention
from scenescope.backbones.build import create_backbone
from scenescope.models.blocks import classifier, conv_norm_relu, resize
from scenescope.models.fcn import auxiliary_fcn_head
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput

PRESETS: dict[str, dict[str, Any]] = {
    "official": {"backbone": "resnet101s.gluon_in1k", "multi_grid": (4, 8, 16)},
}
"""The published network."""


class GatedDecoder(nn.Module):
    """Join features of stage 4 with those of stage 1, as far as a gate lets the latter in at each position.

        low  = conv(stage 1)                             reduced to C1/8 channels
        g    = sigmoid(conv([low, high]))                1 x h x w, high resized to the size of stage 1
        out  = conv(conv([gamma * g * low, high]))       gamma learned, starts at 1

    Args:
        low_channels: C1, the width of stage 1.
        high_channels: width of the features to join, and of the output.
        align_corners: how these are resized.
    """

    def __init__(self, low_channels: int, high_channels: int, align_corners: bool) -> None:
        super().__init__()
        reduced = max(low_channels // 8, 1)
        self.align_corners = align_corners
        self.low = conv_norm_relu(low_channels, reduced, kernel_size=3)
        self.gate = nn.Conv2d(reduced + high_channels, 1, kernel_size=1)
        self.gamma = nn.Parameter(torch.ones(()))
        self.conv = nn.Sequential(
            conv_norm_relu(reduced + high_channels, high_channels, 3), conv_norm_relu(high_channels, high_channels, 3)
        )

    def forward(self, stage1: Tensor, high: Tensor) -> Tensor:
        """Return B x high_channels x h1 x w1 features at the size of stage 1."""
        low = self.low(stage1)
        high = resize(high, low.shape[-2:], align_corners=self.align_corners)
        gate = torch.sigmoid(self.gate(torch.cat([low, high], dim=1)))
        joined: Tensor = self.conv(torch.cat([self.gamma * gate * low, high], dim=1))
        return joined


class DRANetHead(nn.Module):
    """Two branches on stage 4, each convolution - compact attention - convolution, joined and decoded with stage 1.

    Args:
        channels: C1 to C4, the widths of stages 1 to 4.
        num_classes: K.
        align_corners: how features are resized in the decoder.
        dropout: probability of dropping a channel before the classifier.
    """

    def __init__(
        self, channels: Sequence[int], num_classes: int, *, align_corners: bool = True, dropout: float = 0.1
    ) -> None:
        super().__init__()
        inner, joined = channels[-1] // 4, channels[-1] // 8
        self.compact_position = nn.Sequential(
            conv_norm_relu(channels[-1], inner, 3), CompactPositionAttention(inner), conv_norm_relu(inner, inner, 3)
        )
        self.compact_channel = nn.Sequential(
            conv_norm_relu(channels[-1], inner, 3), CompactChannelAttention(inner), conv_norm_relu(inner, inner, 3)
        )
        self.join = conv_norm_relu(2 * inner, joined, kernel_size=3)
        self.decoder = GatedDecoder(channels[0], joined, align_corners)
        self.classifier = classifier(joined, num_classes, dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 1 from the features of stages 1 to 4."""
        branches = [self.compact_position(stages[-1]), self.compact_channel(stages[-1])]
        high = self.join(torch.cat(branches, dim=1))
        return SegmentationOutput(self.classifier(self.decoder(stages[0], high)), {})


def dranet(
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
    """Build DRANet; see DRANetHead and create_backbone for the arguments.

    The loss of the stage-3 head weighs 0.2.
    """
    stages = create_backbone(backbone, output_stride=output_stride, multi_grid=multi_grid, pretrained=pretrained)
    return SegmentationNetwork(
        stages,
        DRANetHead(stages.channels, num_classes, align_corners=align_corners, dropout=dropout),
        num_classes=num_classes,
        align_corners=align_corners,
        auxiliary_head=auxiliary_fcn_head(stages.channels[2], num_classes, dropout) if auxiliary_head else None,
        loss_weights={"stage3": 0.2} if auxiliary_head else {},
    )
