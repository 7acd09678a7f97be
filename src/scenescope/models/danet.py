"""DANet: position and channel attention on a dilated backbone.

Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019, figure 2; where paper and released code
differ (no norm after query and key, sign of the channel energies, three losses), this follows the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scenescope.attention.channel import ChannelAttention
from scenescope.attention.position import PositionAttention
from scenescope.models.blocks import classifier, conv_norm_relu, resize, separable_conv_norm_relu
from scenescope.models.network import Head
from scenescope.models.options import DANetOptions
from scenescope.outputs import AttentionRows, SegmentationOutput


class DANetHead(Head):
    """The two branches on stage 4, each convolution - attention - convolution, and their sum.

    Either branch can be left out; with neither, one branch without attention remains (the ablation's baseline).
    With both branches each has an auxiliary classifier in training, as published.

    ``low_level_channels`` are not of the paper: the sum is refined at the size of stage 1 with what that stage sees, as
    in DeepLabV3+ (Chen et al., ECCV 2018, section 3.1). At output stride 16 a pole is narrower than a position of
    stage 4.

    Args:
        channels: widths of stages 1 to 4; C4 is the last.
        num_classes: K.
        options: see DANetOptions.
    """

    def __init__(self, channels: Sequence[int], num_classes: int, options: DANetOptions) -> None:
        super().__init__()
        in_channels = channels[-1]
        inner = in_channels // 4
        self.align_corners = options.align_corners
        self.position: PositionAttention | None = None
        self.channel: ChannelAttention | None = None
        if options.position:
            self.position_in = conv_norm_relu(in_channels, inner, kernel_size=3)
            self.position = PositionAttention(inner)
            self.position_out = conv_norm_relu(inner, inner, kernel_size=3)
        if options.channel:
            self.channel_in = conv_norm_relu(in_channels, inner, kernel_size=3)
            self.channel = ChannelAttention(options.channel_form)
            self.channel_out = conv_norm_relu(inner, inner, kernel_size=3)
        if not options.position and not options.channel:
            self.plain = nn.Sequential(conv_norm_relu(in_channels, inner, 3), conv_norm_relu(inner, inner, 3))
        if options.position and options.channel:
            self.loss_weights = {"position": 1.0, "channel": 1.0}  # official code
            self.position_classifier = classifier(inner, num_classes, options.dropout)
            self.channel_classifier = classifier(inner, num_classes, options.dropout)
        self.low_level: nn.Sequential | None = None
        if options.low_level_channels:
            self.low_level = conv_norm_relu(channels[0], options.low_level_channels, kernel_size=1)
            self.refine = separable_conv_norm_relu(inner + options.low_level_channels, inner, kernel_size=3)
        self.classifier = classifier(inner, num_classes, options.dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 4, or 1 with low-level channels, from the features of stages 1 to 4."""
        branches, rows = self.branches(stages[-1])
        fused: Any = sum(branches.values())  # elementwise, no norm or ReLU after
        if self.low_level is not None:
            low_level = self.low_level(stages[0])
            fused = resize(fused, low_level.shape[-2:], align_corners=self.align_corners)
            fused = self.refine(torch.cat([fused, low_level], dim=1))
        auxiliary = {}
        if self.training and len(branches) == 2:
            auxiliary["position"] = self.position_classifier(branches["position"])
            auxiliary["channel"] = self.channel_classifier(branches["channel"])
        return SegmentationOutput(self.classifier(fused), auxiliary, rows)

    def branches(self, stage4: Tensor) -> tuple[dict[str, Tensor], tuple[AttentionRows, ...]]:
        """Return the output of each branch by name, B x C4/4 x h x w, and in training what rows of S are made of."""
        outputs: dict[str, Tensor] = {}
        rows: list[AttentionRows] = []
        if self.position is not None:
            given = self.position_in(stage4)
            attended, *rows = self.position(given, need_rows=True) if self.training else (self.position(given),)
            outputs["position"] = self.position_out(attended)
        if self.channel is not None:
            outputs["channel"] = self.channel_out(self.channel(self.channel_in(stage4)))
        return outputs or {"plain": self.plain(stage4)}, tuple(rows)
