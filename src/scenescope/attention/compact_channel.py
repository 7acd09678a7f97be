"""Compact channel attention: every channel attends to a few centres mixed from all channels.

Fu et al., "Scene Segmentation With Dual Relation-Aware Attention Network", IEEE Transactions on Neural Networks and
Learning Systems 32(6), 2021, its compact channel attention module, as the released code computes it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scenescope.attention.shapes import require_batch


class CompactChannelAttention(nn.Module):
    """Add to each channel M = C / 16 channel centres, weighted by their similarity.

    With B x C x N features X (N = H*W) and centres Y, B x M x N, a 1 x 1 convolution of X with norm and ReLU:

        x_jm = softmax_m(-X_j . Y_m)
        E_j  = beta * sum_m x_jm Y_m + X_j           beta learned, starts at 0

    As in DANet's channel attention, the released code computes softmax(rowmax(X Y^T) - X Y^T), which equals this:
    centres most similar to j get the least weight. The products sum over N positions and overflow float16, so they
    and the softmax are float32 whatever the number format around.

    Args:
        channels: C.
        num_centres: M; C / 16 as in the code when not given.
    """

    def __init__(self, channels: int, num_centres: int | None = None) -> None:
        super().__init__()
        num_centres = num_centres or max(channels // 16, 1)
        self.centres = nn.Sequential(
            nn.Conv2d(channels, num_centres, kernel_size=1, bias=False),
            nn.BatchNorm2d(num_centres),
            nn.ReLU(inplace=True),
        )
        self.beta = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape, B x C x H x W."""
        require_batch(features)
        centres: Tensor = self.centres(features).flatten(2)  # B x M x N
        attended = _map(features.flatten(2), centres).to(centres.dtype) @ centres  # B x C x N
        return self.beta.to(attended.dtype) * attended.reshape(features.shape) + features

    def map(self, features: Tensor) -> Tensor:
        """Return the B x C x M attention map in float32; every row sums to 1."""
        require_batch(features)
        return _map(features.flatten(2), self.centres(features).flatten(2))


def _map(channels: Tensor, centres: Tensor) -> Tensor:
    with torch.autocast(channels.device.type, enabled=False):
        return torch.softmax(-(channels.float() @ centres.float().transpose(1, 2)), dim=-1)
