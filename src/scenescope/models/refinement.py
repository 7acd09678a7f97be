"""A correction of logits at half the size of the image, by what the image shows there; of neither paper.

A pole of three pixels lies between the positions of stage 1 and is lost in those of stage 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scenescope.models.blocks import conv_norm_relu, resize


class Refinement(nn.Module):
    """What is added to the logits of any network at stride 2.

        D = two convolutions of the image
        refined = Y + conv([Y, D])      Y: logits resized to half the image

    The last convolution starts at zero: before training the answer is that of the network.

    Args:
        num_classes: K.
        channels: of D.
        align_corners: how the logits are resized.
        in_channels: bands of the image.
    """

    def __init__(self, num_classes: int, channels: int, *, align_corners: bool, in_channels: int = 3) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.detail = nn.Sequential(
            conv_norm_relu(in_channels, channels, 3, stride=2), conv_norm_relu(channels, channels, 3)
        )
        self.mix = conv_norm_relu(num_classes + channels, channels, 3)
        self.correct = nn.Conv2d(channels, num_classes, kernel_size=3, padding=1)
        for parameter in self.correct.parameters():
            nn.init.zeros_(parameter)

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        """Return B x K x ceil(H/2) x ceil(W/2) logits from those of the features and B x bands x H x W images."""
        detail = self.detail(images)
        large = resize(logits, detail.shape[-2:], align_corners=self.align_corners)
        refined: Tensor = large + self.correct(self.mix(torch.cat([large, detail], dim=1)))
        return refined
