"""Dilated FCN: the baseline of both papers, one convolution and a classifier on stage 4.

Long et al., "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, with the head of
PyTorch-Encoding, on which DANet's and by all evidence SANet's own experiments stand.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scenescope.models.blocks import classifier, conv_norm_relu
from scenescope.models.network import Head
from scenescope.models.options import FCNOptions
from scenescope.outputs import SegmentationOutput


class FCNHead(Head):
    """A 3 x 3 convolution from stage 4 to C4/4 channels, dropout and a classifier.

    With ``concat_input``, as in mmsegmentation, there are two such convolutions, and a third that sees stage 4 and
    what they give side by side.
    """

    def __init__(self, channels: Sequence[int], num_classes: int, options: FCNOptions) -> None:
        super().__init__()
        in_channels, inner = channels[-1], channels[-1] // 4
        self.conv = conv_norm_relu(in_channels, inner, kernel_size=3)
        self.join: nn.Sequential | None = None
        if options.concat_input:
            self.conv = nn.Sequential(self.conv, conv_norm_relu(inner, inner, kernel_size=3))
            self.join = conv_norm_relu(in_channels + inner, inner, kernel_size=3)
        self.classifier = classifier(inner, num_classes, options.dropout, nn.Dropout)

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
