"""DeepLabV3 and DeepLabV3+: one image looked at in several rates of dilation at once.

Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017 (V3), section 3.3; Chen et al.,
"Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", ECCV 2018 (V3+), section 3.1. The
3 x 3 convolutions are plain, as the count in Table 6 of the SANet paper shows; the original V3+ and mmsegmentation have
separable ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scenescope.models.aspp import AtrousPyramid
from scenescope.models.blocks import classifier, conv_norm_relu, resize, separable_conv_norm_relu
from scenescope.models.network import Head
from scenescope.models.options import DeepLabV3Options, DeepLabV3PlusOptions
from scenescope.outputs import SegmentationOutput


class DeepLabV3Head(Head):
    """The pyramid on stage 4, a 3 x 3 convolution (none after a wide join), dropout and a classifier."""

    def __init__(self, channels: Sequence[int], num_classes: int, options: DeepLabV3Options) -> None:
        super().__init__()
        width = options.width
        self.pyramid = AtrousPyramid(channels[-1], options)
        self.conv = nn.Identity() if options.wide_join else conv_norm_relu(width, width, kernel_size=3)
        self.classifier = classifier(width, num_classes, options.dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 4 from the features of stages 1 to 4."""
        return SegmentationOutput(self.classifier(self.conv(self.pyramid(stages[-1]))), {})


class DeepLabV3PlusHead(Head):
    """The pyramid on stage 4, joined at the size of stage 1 with its features, two 3 x 3 convolutions, a classifier."""

    def __init__(self, channels: Sequence[int], num_classes: int, options: DeepLabV3PlusOptions) -> None:
        super().__init__()
        width, low_level = options.width, options.low_level_channels
        convolution = separable_conv_norm_relu if options.separable else conv_norm_relu
        self.pyramid = AtrousPyramid(channels[-1], options, separable=options.separable)
        self.low_level = conv_norm_relu(channels[0], low_level, kernel_size=1)
        self.conv = nn.Sequential(convolution(width + low_level, width, 3), convolution(width, width, 3))
        self.classifier = classifier(width, num_classes, options.dropout)

    def forward(self, stages: Sequence[Tensor]) -> SegmentationOutput:
        """Return logits at the size of stage 1 from the features of stages 1 to 4."""
        low_level = self.low_level(stages[0])
        pyramid = resize(self.pyramid(stages[-1]), low_level.shape[-2:], align_corners=self.pyramid.align_corners)
        return SegmentationOutput(self.classifier(self.conv(torch.cat([pyramid, low_level], dim=1))), {})
