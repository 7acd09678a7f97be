"""DeepLabV3 and DeepLabV3+: one picture looked at in several rates of dilation at once.

Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017 (V3), section 3.3; Chen et al.,
"Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", ECCV 2018 (V3+), section 3.1. The
3 x 3 convolutions are plain, as the count in Table 6 of the SANet paper shows; the original V3+ and mmsegmentation have
separable ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scenescope.backbones.build import create_backbone
from scenescope.models.aspp import WIDTH, AtrousPyramid
from scenescope.models.blocks import classifier, conv_norm_relu, resize, separable_conv_norm_relu
from scenescope.models.fcn import auxiliary_fcn_head
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import SegmentationOutput

LOW_LEVEL_WIDTH = 48


class DeepLabV3Head(nn.Module):
    """The pyramid on stage 4, a 3 x 3 convolution, dropout and a classifier."""

    def __init__(
        self, in_channels: int, num_classes: int, output_stride: int, align_corners: bool, dropout: float
    ) -> None:
        super().__init__()
        self.pyramid = AtrousPyramid(in_channels, output_stride, align_corners)
        self.conv = conv_norm_relu(WIDTH, WIDTH, kernel_size=3)
        self.classifier = classifier(WIDTH, num_classes, dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 4 from the features of stages 1 to 4."""
        return SegmentationOutput(self.classifier(self.conv(self.pyramid(stages[-1]))), {})


class DeepLabV3PlusHead(nn.Module):
    """The pyramid on stage 4, joined at the size of stage 1 with its features, two 3 x 3 convolutions, a classifier."""

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        output_stride: int,
        align_corners: bool,
        dropout: float,
        separable: bool,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        convolution = separable_conv_norm_relu if separable else conv_norm_relu
        self.pyramid = AtrousPyramid(channels[-1], output_stride, align_corners, separable)
        self.low_level = conv_norm_relu(channels[0], LOW_LEVEL_WIDTH, kernel_size=1)
        self.conv = nn.Sequential(convolution(WIDTH + LOW_LEVEL_WIDTH, WIDTH, 3), convolution(WIDTH, WIDTH, 3))
        self.classifier = classifier(WIDTH, num_classes, dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 1 from the features of stages 1 to 4."""
        low_level = self.low_level(stages[0])
        pyramid = resize(self.pyramid(stages[-1]), low_level.shape[-2:], align_corners=self.align_corners)
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
    dropout: float = 0.1,
) -> SegmentationNetwork:
    """Build DeepLabV3; see create_backbone for the arguments. The loss of the stage-3 head weighs 0.4."""
    stages = create_backbone(backbone, output_stride=output_stride, multi_grid=multi_grid, pretrained=pretrained)
    return SegmentationNetwork(
        stages,
        DeepLabV3Head(stages.channels[-1], num_classes, output_stride, align_corners, dropout),
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
    dropout: float = 0.1,
) -> SegmentationNetwork:
    """Build DeepLabV3+; see create_backbone for the arguments.

    With ``separable`` the 3 x 3 convolutions of pyramid and decoder are depthwise-separable ones. The loss of the
    optional stage-3 head weighs 0.4.
    """
    stages = create_backbone(backbone, output_stride=output_stride, multi_grid=multi_grid, pretrained=pretrained)
    return SegmentationNetwork(
        stages,
        DeepLabV3PlusHead(stages.channels, num_classes, output_stride, align_corners, dropout, separable),
        num_classes=num_classes,
        align_corners=align_corners,
        auxiliary_head=auxiliary_fcn_head(stages.channels[2], num_classes, dropout) if auxiliary_head else None,
        loss_weights={"stage3": 0.4} if auxiliary_head else {},
    )
