"""DRANet: DANet's successor, whose positions and channels attend to a few centers, with a gated decoder.

Fu et al., "Scene Segmentation With Dual Relation-Aware Attention Network", IEEE Transactions on Neural Networks and
Learning Systems 32(6), 2021; layers and widths are those of the released code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scenescope.attention.compact_channel import CompactChannelAttention
from scenescope.attention.compact_position import CompactPositionAttention
from scenescope.models.blocks import classifier, conv_norm_relu, resize
from scenescope.models.network import Head
from scenescope.models.options import DRANetOptions
from scenescope.outputs import SegmentationOutput


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


class DRANetHead(Head):
    """Two branches on stage 4, each convolution - compact attention - convolution, joined and decoded with stage 1.

    Args:
        channels: C1 to C4, the widths of stages 1 to 4.
        num_classes: K.
        options: see DRANetOptions.
    """

    stage3_weight = 0.2

    def __init__(self, channels: Sequence[int], num_classes: int, options: DRANetOptions) -> None:
        super().__init__()
        inner, joined = channels[-1] // 4, channels[-1] // 8
        self.compact_position = nn.Sequential(
            conv_norm_relu(channels[-1], inner, 3), CompactPositionAttention(inner), conv_norm_relu(inner, inner, 3)
        )
        self.compact_channel = nn.Sequential(
            conv_norm_relu(channels[-1], inner, 3), CompactChannelAttention(inner), conv_norm_relu(inner, inner, 3)
        )
        self.join = conv_norm_relu(2 * inner, joined, kernel_size=3)
        self.decoder = GatedDecoder(channels[0], joined, options.align_corners)
        self.classifier = classifier(joined, num_classes, options.dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 1 from the features of stages 1 to 4."""
        before, attention, after = self.compact_position
        given = before(stages[-1])
        positions, *rows = attention(given, need_rows=True) if self.training else (attention(given),)
        high = self.join(torch.cat([after(positions), self.compact_channel(stages[-1])], dim=1))
        return SegmentationOutput(self.classifier(self.decoder(stages[0], high)), {}, tuple(rows))
