"""Compact position attention: every position attends to a few centers gathered from the image.

Fu et al., "Scene Segmentation With Dual Relation-Aware Attention Network", IEEE Transactions on Neural Networks and
Learning Systems 32(6), 2021, its compact position attention module, as the released code computes it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scenescope.attention.position import attention_map
from scenescope.attention.shapes import require_batch
from scenescope.cells import pool_to_grid
from scenescope.outputs import AttentionRows

SIZES = (1, 2, 3, 6)
"""Sides of the grids that centers are gathered on: 1 + 4 + 9 + 36 = 50 centers."""


class _GridPool(nn.AdaptiveAvgPool2d):
    def __init__(self, side: int) -> None:
        super().__init__(side)
        self.side = side

    def forward(self, features: Tensor) -> Tensor:
        return pool_to_grid(features, self.side)


class CompactPositionAttention(nn.Module):
    """Add to each position the values of M = 50 centers, weighted by how its query matches their keys.

    With B x C x N features X (N = H*W) and centers Y, the means of the cells of four grids, each grid with a
    1 x 1 convolution, norm and ReLU of its own:

        s_jm = exp(q_j . k_m) / sum_m exp(q_j . k_m)        q of X, k of Y; no 1/sqrt(d)
        E_j  = alpha * sum_m s_jm v_m + X_j                 v of Y; alpha learned, starts at 0

    The map is N x 50 and not N x N. Energies and softmax are computed in float32 whatever the number format around
    them. In training the 1 x 1 grid needs two images for its norm.

    Args:
        channels: C, the width of input and output.
        query_channels: the width of queries and keys; C / 4 as in the code when not given.
    """

    def __init__(self, channels: int, query_channels: int | None = None) -> None:
        super().__init__()
        query_channels = query_channels or max(channels // 4, 1)
        self.grids = nn.ModuleList(
            nn.Sequential(
                _GridPool(side),
                nn.Conv2d(channels, channels, kernel_size=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            )
            for side in SIZES
        )
        self.query = nn.Conv2d(channels, query_channels, kernel_size=1)
        self.key = nn.Linear(channels, query_channels)
        self.value = nn.Linear(channels, channels)
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor, *, need_rows: bool = False) -> Tensor | tuple[Tensor, AttentionRows]:
        """Return features of the same shape, B x C x H x W.

        Args:
            need_rows: also return what the rows of S are made of, for the loss of the vote.
        """
        centers = self.centers(features)
        rows = self._factors(features, centers)
        value: Tensor = self.value(centers)  # B x M x C
        attended: Tensor = self._map(rows).to(value.dtype) @ value  # B x N x C
        added = self.alpha.to(attended.dtype) * attended.transpose(1, 2).reshape(features.shape) + features
        return (added, rows) if need_rows else added

    def centers(self, features: Tensor) -> Tensor:
        """Return Y, B x 50 x C: the cells of the 1 x 1 grid, then those of 2 x 2, 3 x 3 and 6 x 6, row by row."""
        require_batch(features)
        return torch.cat([grid(features).flatten(2) for grid in self.grids], dim=2).transpose(1, 2)

    def map(self, features: Tensor) -> Tensor:
        """Return the B x N x 50 attention map S in float32; every row sums to 1."""
        return self._map(self.row_factors(features))

    def row_factors(self, features: Tensor) -> AttentionRows:
        """Return what the rows of S are the softmax of: queries, B x C/4 x H x W, and keys, B x C/4 x 50."""
        return self._factors(features, self.centers(features))

    def _factors(self, features: Tensor, centers: Tensor) -> AttentionRows:
        return AttentionRows(self.query(features), self.key(centers).transpose(1, 2), SIZES)

    def _map(self, rows: AttentionRows) -> Tensor:
        return attention_map(rows.query.flatten(2).transpose(1, 2), rows.key)  # B x N x C/4, B x C/4 x M
