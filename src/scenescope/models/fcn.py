"""Dilated FCN: the baseline of both papers, one convolution and a classifier on stage 4.

Long et al., "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, with the head of
PyTorch-Encoding, on which DANet's and by all evidence SANet's own experiments stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scenescope.backbones.build import create_backbone
from scenescope.models.blocks import classifier, conv_norm_relu
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput

PRESETS: dict[str, dict[str, Any]] = {
    "mmseg": {
        "backbone": "resnet101c.gluon_in1k",
        "align_corners": False,
        "auxiliary_head": True,
        "concat_input": True,
    },
}
"""mmsegmentation is the form of its 512 x 1024 recipes (those with 769 x 769 crops align corners)."""


class FCNHead(nn.Module):
    """A 3 x 3 convolution from stage 4 to C4/4 channels, dropout and a classifier.

    With ``concat_input``, as in mmsegmentation, there are two such convolutions, and a third that sees stage 4 and
    what they give side by side.
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.1, concat_input: bool = False) -> None:
        super().__init__()
        inner = in_channels // 4
        self.conv = conv_norm_relu(in_channels, inner, kernel_size=3)
        self.join: nn.Sequential | None = None
        if concat_input:
            self.conv = nn.Sequential(self.conv, conv_norm_relu(inner, inner, kernel_size=3))
            self.join = conv_norm_relu(in_channels + inner, inner, kernel_size=3)
        self.classifier = classifier(inner, num_classes, dropout, nn.Dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 4 from the features of stages 1 to 4."""
        features = self.conv(stages[-1])
        if self.join is not None:
            features = self.join(torch.cat([stages[-1], features], dim=1))
        return SegmentationOutput(self.classifier(features), {})


def auxiliary_fcn_head(stage3_channels: int, num_classes: int, dropout: float) -> nn.Sequential:
    """Return the auxiliary head on stage 3: 3 x 3 convolution to a quarter of the width, and a classifier."""
    inner = stage3_channels // 4
    return nn.Sequential(conv_norm_relu(stage3_channels, inner, 3), classifier(inner, num_classes, dropout))


def fcn(
    num_classes: int,
    backbone: str = "resnet50",
    *,
    pretrained: bool = False,
    output_stride: int = 8,
    multi_grid: Sequence[int] | None = None,
    align_corners: bool = True,
    auxiliary_head: bool = False,
    concat_input: bool = False,
    dropout: float = 0.1,
) -> SegmentationNetwork:
    """Build the dilated FCN; see FCNHead and create_backbone for the arguments.

    The loss of the optional stage-3 head weighs 0.4.
    """
    stages = create_backbone(backbone, output_stride=output_stride, multi_grid=multi_grid, pretrained=pretrained)
    return SegmentationNetwork(
        stages,
        FCNHead(stages.channels[-1], num_classes, dropout, concat_input),
        num_classes=num_classes,
        align_corners=align_corners,
        auxiliary_head=auxiliary_fcn_head(stages.channels[2], num_classes, dropout) if auxiliary_head else None,
        loss_weights={"stage3": 0.4} if auxiliary_head else {},
    )
