"""What all segmentation networks share: a backbone, a head, and logits at the size of the picture."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from scenescope.backbones.build import Backbone
from scenescope.models.refinement import Refinement
from scenescope.outputs import SegmentationOutput


class SegmentationNetwork(nn.Module):
    """A backbone, a head on its stages, and optionally an auxiliary head on stage 3.

    Args:
        backbone: gives the features of stages 1 to 4.
        head: maps these features to a SegmentationOutput at feature size.
        num_classes: K.
        align_corners: how logits are resized to the picture (True in the official DANet code).
        auxiliary_head: a head on stage 3 that is used in training only, under the name ``stage3``.
        loss_weights: weight of the loss of each output that the network has in training by name, as published; that
            of "main" is 1 unless named.

    Attributes:
        magnify: pictures are enlarged by this factor before the backbone sees them, 1 as published. A picture of 480 x
            360 magnified by 1.5 costs 2.25 times as much, where output stride 8 in place of 16 costs about 3 times.
        refinement: corrects the logits at half the size of the (magnified) picture, None as published.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module,
        *,
        num_classes: int,
        align_corners: bool,
        auxiliary_head: nn.Module | None = None,
        loss_weights: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.auxiliary_head = auxiliary_head
        self.num_classes = num_classes
        self.align_corners = align_corners
        self.loss_weights = dict(loss_weights or {})
        self.magnify = 1.0
        self.refinement: Refinement | None = None
        self.config: dict[str, Any] = {}

    @property
    def mean(self) -> tuple[float, float, float]:
        """Mean of each RGB channel that the backbone expects, in units of [0, 1]."""
        return self.backbone.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """Standard deviation of each RGB channel that the backbone expects, in units of [0, 1]."""
        return self.backbone.std

    def forward(self, images: Tensor) -> SegmentationOutput:
        """Return logits at the size of the images; auxiliary logits in training only, those of pixels at that size.

        Args:
            images: B x 3 x H x W as ``prepare`` gives them.
        """
        output = self.low_resolution(images)
        size = images.shape[-2:]
        auxiliary = {
            name: logits.float() if logits.ndim == 2 else self.resize(logits, size)
            for name, logits in output.auxiliary.items()
        }
        return SegmentationOutput(self.resize(output.logits, size), auxiliary)

    def low_resolution(self, images: Tensor) -> SegmentationOutput:
        """Return the same logits before they are resized, at the size of the features."""
        if self.magnify != 1:
            images = functional.interpolate(images, scale_factor=self.magnify, mode="bilinear", align_corners=False)
        features = self.backbone(images)
        output: SegmentationOutput = self.head(features)
        if self.auxiliary_head is not None and self.training:
            output.auxiliary["stage3"] = self.auxiliary_head(features[2])
        if self.refinement is not None:
            output = output._replace(logits=self.refinement(output.logits, images))
        return output

    def resize(self, logits: Tensor, size: tuple[int, ...]) -> Tensor:
        """Resize logits bilinearly, in float32."""
        return functional.interpolate(logits.float(), tuple(size), mode="bilinear", align_corners=self.align_corners)

    def prepare(self, images: Tensor) -> Tensor:
        """Normalise uint8 RGB images B x 3 x H x W to what the backbone expects, in float32."""
        mean = torch.tensor(self.mean, device=images.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, 3, 1, 1)
        # In the layout that convolutions in float32 are fastest with, whatever that of the pictures.
        return (images.to(torch.float32, memory_format=torch.contiguous_format) / 255 - mean) / std
