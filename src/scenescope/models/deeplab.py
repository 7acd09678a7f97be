"""DeepLabV3 and DeepLabV3+: one picture looked at in several rates of dilation at once.

Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017 (V3), section 3.3; Chen et al.,
"Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", ECCV 2018 (V3+), section 3.1. The
3 x 3 convolutions are plain, as the count in Table 6 of the SANet paper shows; the original V3+ and mmsegmentation have
separable ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scenescope.backbones.build import create_backbone
from scenescope.models.aspp import WIDTH, AtrousPyramid
from scenescope.models.blocks import classifier, conv_norm_relu, resize, separable_conv_norm_relu
from scenescope.models.fcn import auxiliary_fcn_head
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput

LOW_LEVEL_WIDTH = 48

V3_PRESETS: dict[str, dict[str, Any]] = {
    "mmseg": {"backbone": "resnet101c.gluon_in1k", "align_corners": False, "width": 512, "wide_join": True},
}
V3PLUS_PRESETS = {"mmseg": V3_PRESETS["mmseg"] | {"auxiliary_head": True, "separable": True}}
"""mmsegmentation is the form of its 512 x 1024 recipes (those with 769 x 769 crops align corners)."""


class DeepLabV3Head(nn.Module):
    """The pyramid on stage 4, a 3 x 3 convolution (none after a wide join), dropout and a classifier."""

    def __init__(self, pyramid: AtrousPyramid, num_classes: int, dropout: float) -> None:
        super().__init__()
        width = pyramid.width
        self.pyramid = pyramid
        self.conv = nn.Identity() if pyramid.wide_join else conv_norm_relu(width, width, kernel_size=3)
        self.classifier = classifier(width, num_classes, dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 4 from the features of stages 1 to 4."""
        return SegmentationOutput(self.classifier(self.conv(self.pyramid(stages[-1]))), {})


class DeepLabV3PlusHead(nn.Module):
    """The pyramid on stage 4, joined at the size of stage 1 with its features, two 3 x 3 convolutions, a classifier."""

    def __init__(
        self, pyramid: AtrousPyramid, stage1_channels: int, low_level_width: int, num_classes: int, dropout: float
    ) -> None:
        super().__init__()
        width = pyramid.width
        convolution = separable_conv_norm_relu if pyramid.separable else conv_norm_relu
        self.pyramid = pyramid
        self.low_level = conv_norm_relu(stage1_channels, low_level_width, kernel_size=1)
        self.conv = nn.Sequential(convolution(width + low_level_width, width, 3), convolution(width, width, 3))
        self.classifier = classifier(width, num_classes, dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 1 from the features of stages 1 to 4."""
        low_level = self.low_level(stages[0])
        pyramid = resize(self.pyramid(stages[-1]), low_level.shape[-2:], align_corners=self.pyramid.align_corners)
        return SegmentationOutput(self.classifier(self.conv(torch.cat([pyramid, low_level], dim=1))), {})


def deeplabv3(
    num_classes: int,
    backbone: str = "resnet50",
    *,
    pretrained: bool = False,
    output_stride: int = 8,
    multi_grid: Sequence[int] | None = None,
    align_corners: bool = True,
    auxiliary_head: bool = True,
    width: int = WIDTH,
    wide_join: bool = False,
    dropout: float = 0.1,
) -> SegmentationNetwork:
    """Build DeepLabV3; see AtrousPyramid and create_backbone for the arguments.

    The loss of the stage-3 head weighs 0.4.
    """
    stages = create_backbone(backbone, output_stride=output_stride, multi_grid=multi_grid, pretrained=pretrained)
    pyramid = AtrousPyramid(stages.channels[-1], output_stride, align_corners, width=width, wide_join=wide_join)
    return SegmentationNetwork(
        stages,
        DeepLabV3Head(pyramid, num_classes, dropout),
        num_classes=num_classes,
        align_corners=align_corners,
        auxiliary_head=auxiliary_fcn_head(stages.channels[2], num_classes, dropout) if auxiliary_head else None,
        loss_weights={"stage3": 0.4} if auxiliary_head else {},
    )


def deeplabv3plus(
    num_classes: int,
    backbone: str = "resnet50",
    *,
    pretrained: bool = False,
    output_stride: int = 8,
    multi_grid: Sequence[int] | None = None,
    align_corners: bool = True,
    auxiliary_head: bool = False,
    separable: bool = False,
    width: int = WIDTH,
    low_level_width: int = LOW_LEVEL_WIDTH,
    wide_join: bool = False,
    dropout: float = 0.1,
) -> SegmentationNetwork:
    """Build DeepLabV3+; see AtrousPyramid and create_backbone for the arguments.

    With ``separable`` the 3 x 3 convolutions of pyramid and decoder are depthwise-separable ones; ``low_level_width``
    channels of stage 1 enter the decoder. The loss of the optional stage-3 head weighs 0.4.
    """
    stages = create_backbone(backbone, output_stride=output_stride, multi_grid=multi_grid, pretrained=pretrained)
    pyramid = AtrousPyramid(stages.channels[-1], output_stride, align_corners, separable, width, wide_join)
    return SegmentationNetwork(
        stages,
        DeepLabV3PlusHead(pyramid, stages.channels[0], low_level_width, num_classes, dropout),
        num_classes=num_classes,
        align_corners=align_corners,
        auxiliary_head=auxiliary_fcn_head(stages.channels[2], num_classes, dropout) if auxiliary_head else None,
        loss_weights={"stage3": 0.4} if auxiliary_head else {},
    )
