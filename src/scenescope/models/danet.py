"""DANet: position and channel attention on a dilated backbone.

Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019, figure 2; where paper and released code
differ (no norm after query and key, sign of the channel energies, three losses), this follows the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scenescope.attention.channel import ChannelAttention, ChannelForm
from scenescope.attention.position import PositionAttention
from scenescope.backbones.build import create_backbone
from scenescope.errors import ModelError
from scenescope.models.blocks import classifier, conv_norm_relu, resize, separable_conv_norm_relu
from scenescope.models.fcn import auxiliary_fcn_head
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput

PRESETS: dict[str, dict[str, Any]] = {
    "official": {"backbone": "resnet101s.gluon_in1k", "multi_grid": (4, 8, 16)},
    "official-2018": {"backbone": "resnet101", "multi_grid": (4, 8, 16)},
    "mmseg": {"backbone": "resnet101c.gluon_in1k", "align_corners": False, "auxiliary_head": True},
    "tramac": {"backbone": "resnet50s.gluon_in1k"},
    "paper": {"backbone": "resnet101", "multi_grid": (4, 8, 16), "channel_form": "paper"},
}
"""In what the published forms differ. The code of 2020 has the deep stem, that of 2018, which trained the released
network, the 7 x 7 one; mmsegmentation is the form of its 512 x 1024 recipes (those with 769 x 769 crops align corners);
"tramac" is awesome-semantic-segmentation-pytorch; "paper" has the channel energies as the paper writes them."""


class DANetHead(nn.Module):
    """The two branches on stage 4, each convolution - attention - convolution, and their sum.

    Either branch can be left out; with neither, one branch without attention remains (the ablation's baseline).
    With both branches each has an auxiliary classifier in training, as published.

    ``skip`` is not of the paper: the sum is refined at the size of stage 1 with what that stage sees, as in DeepLabV3+
    (Chen et al., ECCV 2018, section 3.1). At output stride 16 a pole is narrower than a position of stage 4.

    Args:
        channels: widths of stages 1 to 4; C4 is the last.
        num_classes: K.
        position: have the position branch.
        channel: have the channel branch.
        channel_form: "official", "paper" or "scaled", see ChannelAttention.
        skip: number of channels of stage 1 that enter the refinement; 0 leaves it out.
        align_corners: how the sum is resized to stage 1.
        dropout: probability of dropping a channel before every classifier.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        *,
        position: bool = True,
        channel: bool = True,
        channel_form: ChannelForm = "official",
        skip: int = 0,
        align_corners: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if skip < 0:
            raise ModelError(f"skip={skip} is not a number of channels; give 0 for no skip, or such as 24.")
        in_channels = channels[-1]
        inner = in_channels // 4
        self.align_corners = align_corners
        self.position: PositionAttention | None = None
        self.channel: ChannelAttention | None = None
        if position:
            self.position_in = conv_norm_relu(in_channels, inner, kernel_size=3)
            self.position = PositionAttention(inner)
            self.position_out = conv_norm_relu(inner, inner, kernel_size=3)
        if channel:
            self.channel_in = conv_norm_relu(in_channels, inner, kernel_size=3)
            self.channel = ChannelAttention(channel_form)
            self.channel_out = conv_norm_relu(inner, inner, kernel_size=3)
        if not position and not channel:
            self.plain = nn.Sequential(conv_norm_relu(in_channels, inner, 3), conv_norm_relu(inner, inner, 3))
        if position and channel:
            self.position_classifier = classifier(inner, num_classes, dropout)
            self.channel_classifier = classifier(inner, num_classes, dropout)
        self.low_level: nn.Sequential | None = None
        if skip:
            self.low_level = conv_norm_relu(channels[0], skip, kernel_size=1)
            self.refine = separable_conv_norm_relu(inner + skip, inner, kernel_size=3)
        self.classifier = classifier(inner, num_classes, dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 4, or 1 with a skip, from the features of stages 1 to 4."""
        branches = self.branches(stages[-1])
        fused: Any = sum(branches.values())  # elementwise, no norm or ReLU after
        if self.low_level is not None:
            low_level = self.low_level(stages[0])
            fused = resize(fused, low_level.shape[-2:], align_corners=self.align_corners)
            fused = self.refine(torch.cat([fused, low_level], dim=1))
        auxiliary = {}
        if self.training and len(branches) == 2:
            auxiliary["position"] = self.position_classifier(branches["position"])
            auxiliary["channel"] = self.channel_classifier(branches["channel"])
        return SegmentationOutput(self.classifier(fused), auxiliary)

    def branches(self, stage4: Tensor) -> dict[str, Tensor]:
        """Return the output features of each branch by name, B x C4/4 x h x w."""
        outputs = {}
        if self.position is not None:
            outputs["position"] = self.position_out(self.position(self.position_in(stage4)))
        if self.channel is not None:
            outputs["channel"] = self.channel_out(self.channel(self.channel_in(stage4)))
        return outputs or {"plain": self.plain(stage4)}


def danet(
    num_classes: int,
    backbone: str = "resnet50",
    *,
    pretrained: bool = False,
    output_stride: int = 8,
    multi_grid: Sequence[int] | None = None,
    align_corners: bool = True,
    position: bool = True,
    channel: bool = True,
    channel_form: ChannelForm = "official",
    skip: int = 0,
    auxiliary_head: bool = False,
    dropout: float = 0.1,
) -> SegmentationNetwork:
    """Build DANet; see DANetHead and create_backbone for the arguments.

    The losses of the branches weigh 1 each (official code), that of the stage-3 head 0.4 (mmsegmentation).
    """
    stages = create_backbone(backbone, output_stride=output_stride, multi_grid=multi_grid, pretrained=pretrained)
    head = DANetHead(
        stages.channels,
        num_classes,
        position=position,
        channel=channel,
        channel_form=channel_form,
        skip=skip,
        align_corners=align_corners,
        dropout=dropout,
    )
    loss_weights = {"position": 1.0, "channel": 1.0} if position and channel else {}
    return SegmentationNetwork(
        stages,
        head,
        num_classes=num_classes,
        align_corners=align_corners,
        auxiliary_head=auxiliary_fcn_head(stages.channels[2], num_classes, dropout) if auxiliary_head else None,
        loss_weights=loss_weights | ({"stage3": 0.4} if auxiliary_head else {}),
    )
