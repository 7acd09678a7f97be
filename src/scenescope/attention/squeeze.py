"""Squeeze-and-attention: an image squeezed to coarse positions decides where features count.

Zhong et al., "Squeeze-and-Attention Networks for Semantic Segmentation", CVPR 2020, section 3.1, equations 4 and 5.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from scenescope.attention.options import SqueezeOptions
from scenescope.attention.shapes import require_batch
from scenescope.cells import Cells
from scenescope.device import nondeterministic
from scenescope.errors import ModelError
from scenescope.outputs import AttentionVectors
from scenescope.settings_reader import checked


class Convolutions(NamedTuple):
    """The second convolution of both channels; the first is 1 x 1 in groups, to the reduced width.

    Attributes:
        main_kernel, attention_kernel: its size.
        main_grouped, attention_grouped: whether it is in groups too.
        widens: whether it goes back to the width of the input, else it stays at the reduced one.
    """

    main_kernel: int
    main_grouped: bool
    attention_kernel: int
    attention_grouped: bool
    widens: bool = False


VARIANTS = {
    "V1": Convolutions(main_kernel=3, main_grouped=True, attention_kernel=1, attention_grouped=False),
    "V2": Convolutions(main_kernel=3, main_grouped=True, attention_kernel=3, attention_grouped=True),
    "V3": Convolutions(main_kernel=1, main_grouped=False, attention_kernel=1, attention_grouped=False, widens=True),
}
"""The paper gives neither kernels nor the groups of the second convolutions. Counted at 480 x 480 with 21 classes, V1
comes nearest to its Table 6 in parameters and multiplications together; V2 has two equal channels, as its text says."""


class SqueezeAttention(nn.Module):
    """Weigh features by attention that has seen coarse positions only.

    With B x C x h x w features X:

        X_res  = main(X)                                         two convolutions
        X_attn = Up(sigma(attention(Pool(X))))                   two convolutions at 1/8 of the size
        X_out  = X_attn * X_res + X_attn                         elementwise

    Args:
        channels: C, the width of the input.
        options: the choices that the paper leaves open, see SqueezeOptions; the defaults if not given.

    Attributes:
        out_channels: width of the output.

    Raises:
        ModelError: an unknown choice, or widths that the groups cannot share.
    """

    def __init__(self, channels: int, options: SqueezeOptions | None = None) -> None:
        super().__init__()
        options = checked(options or SqueezeOptions())
        groups = options.groups
        reduced = channels // options.reduction
        if reduced < 1 or channels % groups or reduced % groups:
            raise ModelError(
                f"{channels} channels reduced to {reduced} cannot be shared by {groups} groups; give groups=1 or"
                " another reduction."
            )
        second = VARIANTS[options.variant]
        self.out_channels = channels if second.widens else reduced
        self.pool, self.ratio, self.added = options.pool, options.pool_ratio, options.added
        self.upsampling, self.activation_last = options.upsampling, options.activation_last
        self.activation = nn.ReLU() if options.activation == "relu" else nn.Sigmoid()
        self.main = nn.Sequential(
            *_convolution(channels, reduced, 1, groups),
            nn.ReLU(inplace=True),
            *_convolution(reduced, self.out_channels, second.main_kernel, groups if second.main_grouped else 1),
            nn.ReLU(inplace=True),
        )
        self.attention = nn.Sequential(
            *_convolution(channels, reduced, 1, groups),
            nn.ReLU(inplace=True),
            *_convolution(
                reduced, self.out_channels, second.attention_kernel, groups if second.attention_grouped else 1
            ),
        )

    def forward(self, features: Tensor, *, need_rows: bool = False) -> Tensor | tuple[Tensor, AttentionVectors]:
        """Return B x out_channels x h x w from B x C x h x w features.

        Args:
            need_rows: also return X_attn, in which positions are alike or not, for the loss of the vote.
        """
        require_batch(features)
        main: Tensor = self.main(features)
        attention = self.attention_channel(features)
        weighed = attention * main + (attention if self.added == "attention" else main)
        return (weighed, AttentionVectors(attention)) if need_rows else weighed

    def attention_channel(self, features: Tensor) -> Tensor:
        """Return X_attn, B x out_channels x h x w."""
        require_batch(features)
        height, width = features.shape[-2:]
        square = (min(self.ratio, height), min(self.ratio, width))
        squeeze = functional.avg_pool2d if self.pool == "average" else functional.max_pool2d
        attention: Tensor = self.attention(squeeze(features, square))
        if not self.activation_last:
            return self._upsample(self.activation(attention), square, (height, width))
        weights: Tensor = self.activation(self._upsample(attention, square, (height, width)))
        return weights

    def _upsample(self, attention: Tensor, square: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """Return a square's attention where the square lies; what no whole square is left for takes the last one's.

        It stays in its number format; autocast would have float32.
        """
        with torch.autocast(attention.device.type, enabled=False):
            return self._drawn(attention, square, size)

    def _drawn(self, attention: Tensor, square: tuple[int, int], size: tuple[int, int]) -> Tensor:
        if self.upsampling == "stretched":
            return functional.interpolate(attention, size, mode="bilinear", align_corners=True)
        if self.upsampling == "bilinear" and nondeterministic(attention):
            squares = Cells((1 / square[0], 1 / square[1]), (0.5, 0.5))
            return squares.draw(attention, size).to(attention.dtype)
        # By exactly the side of a square: ``interpolate`` would take the factors from the sizes.
        factors = (float(square[0]), float(square[1]))
        if self.upsampling == "nearest":
            nearest: Tensor = torch.ops.aten.upsample_nearest2d.default(attention, list(size), *factors)
            return nearest
        bilinear: Tensor = torch.ops.aten.upsample_bilinear2d.default(attention, list(size), False, *factors)
        return bilinear


def _convolution(in_channels: int, out_channels: int, kernel_size: int, groups: int) -> tuple[nn.Module, nn.Module]:
    return (
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False),
        torch.nn.BatchNorm2d(out_channels),
    )
