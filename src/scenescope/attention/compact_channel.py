"""Compact channel attention: every channel attends to a few centers mixed from all channels.

Fu et al., "Scene Segmentation With Dual Relation-Aware Attention Network", IEEE Transactions on Neural Networks and
Learning Systems 32(6), 2021, its compact channel attention module, as the released code computes it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scenescope.attention.shapes import require_batch


class CompactChannelAttention(nn.Module):
    """Add to each channel M = C / 16 channel centers, weighted by their similarity.

    With B x C x N features X (N = H*W) and centers Y, B x M x N, a 1 x 1 convolution of X with norm and ReLU:

        x_jm = softmax_m(-X_j . Y_m)
        E_j  = beta * sum_m x_jm Y_m + X_j           beta learned, starts at 0

    As in DANet's channel attention, the released code computes softmax(rowmax(X Y^T) - X Y^T), which equals this:
    centers most similar to j get the least weight. The products sum over N positions and overflow float16, so they
    and the softmax are float32 whatever the number format around.

    Args:
        channels: C.
        num_centers: M; C / 16 as in the code when not given.
    """

    def __init__(self, channels: int, num_centers: int | None = None) -> None:
        super().__init__()
        num_centers = num_centers or max(channels // 16, 1)
        self.centers = nn.Sequential(
            nn.Conv2d(channels, num_centers, kernel_size=1, bias=False),
            nn.BatchNorm2d(num_centers),
            nn.ReLU(inplace=True),
        )
        self.beta = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape, B x C x H x W."""
        require_batch(features)
        centers: Tensor = self.centers(features).flatten(2)  # B x M x N
        attended = _map(features.flatten(2), centers).to(centers.dtype) @ centers  # B x C x N
        return self.beta.to(attended.dtype) * attended.reshape(features.shape) + features

    def map(self, features: Tensor) -> Tensor:
        """Return the B x C x M attention map in float32; every row sums to 1."""
        require_batch(features)
        return _map(features.flatten(2), self.centers(features).flatten(2))


def _map(channels: Tensor, centers: Tensor) -> Tensor:
    with torch.autocast(channels.device.type, enabled=False):
        return torch.softmax(-(channels.float() @ centers.float().transpose(1, 2)), dim=-1)
