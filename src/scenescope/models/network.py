"""What all segmentation networks share: a backbone, a head, and logits at the size of the image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from scenescope.backbones.build import Backbone
from scenescope.bands import rule_for
from scenescope.cells import Cells
from scenescope.device import memory_format
from scenescope.models.refinement import Refinement
from scenescope.outputs import SegmentationOutput


class Head(nn.Module):
    """A head of the catalog: made of the widths of stages 1 to 4, the number of classes K and its options.

    It maps the features of stages 1 to 4 to a SegmentationOutput at feature size.

    Attributes:
        loss_weights: weight of the loss of each output that it has in training by name, as published; that of "main" is
            1 unless named.
        stage3_weight: likewise of the auxiliary head on stage 3.
        smallest: cells of stage 4 that it needs a side, 0 for any.
    """

    loss_weights: Mapping[str, float] = {}
    stage3_weight = 0.4
    smallest = 0


class SegmentationNetwork(nn.Module):
    """A backbone, a head on its stages, and optionally an auxiliary head on stage 3.

    Args:
        backbone: gives the features of stages 1 to 4.
        head: maps these features to a SegmentationOutput at feature size.
        num_classes: K.
        align_corners: whether corners are aligned where features are resized (True in the official DANet code).
        auxiliary_head: a head on stage 3 that is used in training only, under the name ``stage3``.
        loss_weights: weight of the loss of each output that the network has in training by name, as published; that
            of "main" is 1 unless named.

    Attributes:
        smallest: images are filled up to at least this many pixels a side.
        remainder: what height and width of an image, enlarged and filled up, leave when they are divided by the output
            stride: 0, as crops do that are multiples; 1 for networks trained on crops such as 769 with corners aligned.
        input_scale: images are enlarged by this factor before the backbone sees them, 1 as published. One of 480 x 360
            enlarged by 1.5 costs 2.25 times as much, where output stride 8 in place of 16 costs about 3 times.
        in_channels: bands of an image.
        band_rule: how the numbers of an image are seen; None for 8-bit RGB. A training sets that of its data, and a
            model is saved with it.
        refinement: corrects the logits at half the size of the (enlarged) image, None as published.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module,
        *,
        num_classes: int,
        align_corners: bool,
        auxiliary_head: nn.Module | None = None,
        loss_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.auxiliary_head = auxiliary_head
        self.num_classes = num_classes
        self.align_corners = align_corners
        self.loss_weights = dict(loss_weights or {})
        self.smallest = 1
        self.remainder = (0, 0)
        self.input_scale = 1.0
        self.in_channels = len(backbone.mean)
        self.band_rule = rule_for(self.in_channels)
        self.refinement: Refinement | None = None
        self.config: dict[str, Any] = {}
        self._normalization = torch.empty(0, device="meta")

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each band that the backbone expects, in units of [0, 1]."""
        return self.backbone.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each band that the backbone expects, in units of [0, 1]."""
        return self.backbone.std

    def forward(self, images: Tensor, *, stretch: bool = False) -> SegmentationOutput:
        """Return logits at the size of the images; auxiliary logits in training only, those of pixels at that size.

        Args:
            images: B x bands x H x W as ``prepare`` gives them.
            stretch: stretch logits over images of any size, as the published codes do, see ``cells``; not with a
                backbone that takes no images of other sizes.
        """
        stretch = self._stretches(stretch)
        output = self.low_resolution(images, stretch=stretch)
        size = images.shape[-2:]
        draw = self.resize if stretch else self.draw
        auxiliary = {
            name: logits.float() if logits.ndim == 2 else draw(logits, size)
            for name, logits in output.auxiliary.items()
        }
        return SegmentationOutput(draw(output.logits, size), auxiliary, output.attention)

    def low_resolution(self, images: Tensor, *, stretch: bool = False) -> SegmentationOutput:
        """Return the same logits before they are drawn at the size of the images, at the size of the features.

        Unless they are to be stretched, images are filled up on the right and below, with their outermost pixels.
        """
        if self.input_scale != 1:
            images = functional.interpolate(images, scale_factor=self.input_scale, mode="bilinear", align_corners=False)
        if not self._stretches(stretch):
            height, width = images.shape[-2:]
            missing = (0, self._filled(width, 1) - width, 0, self._filled(height, 0) - height)
            images = functional.pad(images, missing, mode="replicate")
        return self.answer(self.backbone(images), images)

    def answer(self, features: Sequence[Tensor], images: Tensor) -> SegmentationOutput:
        """Return the same logits from what the backbone gave and was given.

        Args:
            features: of stages 1 to 4.
            images: B x bands x H x W, enlarged and filled up; for the refinement.
        """
        output: SegmentationOutput = self.head(features)
        if self.auxiliary_head is not None and self.training:
            output.auxiliary["stage3"] = self.auxiliary_head(features[2])
        if self.refinement is not None:
            output = output._replace(logits=self.refinement(output.logits, images))
        return output

    def cells(self, logits: Tensor, size: Sequence[int], *, stretch: bool = False) -> Cells:
        """Tell where the cells of logits, or of other features, lie on the image of this size they were made of."""
        counts = logits.shape[-2:]
        if self._stretches(stretch):
            return Cells.stretched(counts, size, align_corners=self.align_corners)
        sides = [self._filled(math.floor(pixels * self.input_scale), axis) for axis, pixels in enumerate(size)]
        strides = (1, 2, *self.backbone.strides)
        # Where more than one stride would do there is one cell, and all are the same.
        stride = next(s for s in strides if all(-(-side // s) == n for side, n in zip(sides, counts, strict=True)))
        return Cells.where_they_look(stride, self.remainder, self.input_scale)

    def grid(self, size: Sequence[int]) -> tuple[Cells, tuple[int, int]]:
        """Tell where the cells of stage 4, which attention sees, lie on an image of this size, and how many they are.

        As in training, where images are filled up and not stretched.
        """
        stride = self.backbone.strides[-1]
        rows, columns = (
            -(-self._filled(math.floor(pixels * self.input_scale), axis) // stride) for axis, pixels in enumerate(size)
        )
        return Cells.where_they_look(stride, self.remainder, self.input_scale), (rows, columns)

    def draw(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Draw logits at the size of the image that they were made of, each cell where it looks, in float32."""
        return self.cells(logits, size).draw(logits, size)

    def resize(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Stretch logits to a size bilinearly, in float32."""
        return functional.interpolate(logits.float(), tuple(size), mode="bilinear", align_corners=self.align_corners)

    def _stretches(self, asked: bool) -> bool:
        return asked and not self.backbone.only_multiples

    def _filled(self, side: int, axis: int) -> int:
        """Return the height (axis 0) or width (axis 1) that an enlarged image is filled up to."""
        least = torch.sym_max(side, self.smallest)  # max(), but for the exporter, whose sides are symbols
        return cast(int, least + (self.remainder[axis] - least) % self.backbone.multiple)

    def prepare(self, images: Tensor) -> Tensor:
        """Normalize images B x bands x H x W to what the backbone expects, in float32.

        They come and stay with the channels of a pixel side by side, unless convolutions here are faster otherwise.

        Args:
            images: uint8, or floats in 0..1; NaN, where there is no data, becomes the mean that is subtracted.
        """
        if self._normalization.device != images.device:
            # No buffer: one would be rounded with the weights in half precision, and is empty where they are.
            with torch.inference_mode(mode=False):
                self._normalization = torch.tensor([self.mean, self.std], device=images.device).view(2, 1, -1, 1, 1)
        mean, std = self._normalization
        layout = memory_format(self, images.device, torch.float32)
        numbers = images.to(torch.float32, copy=True, memory_format=layout)
        if images.is_floating_point():
            return numbers.sub_(mean).div_(std).nan_to_num_(0)
        return numbers.div_(255).sub_(mean).div_(std)
