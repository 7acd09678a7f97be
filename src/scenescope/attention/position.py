"""Position attention: every position attends to every position.

Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019, section 3.2 and equation 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scenescope.attention.blockwise import blockwise_attention, transformed
from scenescope.attention.shapes import numbered, require_batch
from scenescope.outputs import AttentionRows


class PositionAttention(nn.Module):
    """Add to each position the values of all positions, weighted by how its query matches their keys.

    With B x C x N features A (N = H*W), queries, keys and values from three 1 x 1 convolutions with bias:

        s_ji = exp(q_j . k_i) / sum_i exp(q_j . k_i)        no 1/sqrt(d)
        E_j  = alpha * sum_i s_ji v_i + A_j                 alpha learned, starts at 0

    To see what it attends to inside a network of your own, keep its input by a hook and ask for ``rows``:

        module.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach()))
        network(images)
        maps = module.rows(seen[0], [row * W + column])  # B x 1 x N

    The paper describes batch norm and ReLU after the query and key convolutions; the released code has neither
    and neither has this. Energies and softmax are computed in float32 whatever the number format around them. The N x N
    matrix is never formed, neither forwards nor backwards.

    Args:
        channels: C, the width of input and output.
        query_channels: the width of queries and keys; C / 8 as in the paper when not given.
        block: rows of S to form at a time; chosen from sizes and device when not given.
    """

    def __init__(self, channels: int, query_channels: int | None = None, *, block: int | None = None) -> None:
        super().__init__()
        self.block = block
        query_channels = query_channels or max(channels // 8, 1)
        self.query = nn.Conv2d(channels, query_channels, kernel_size=1)
        self.key = nn.Conv2d(channels, query_channels, kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor, *, need_rows: bool = False) -> Tensor | tuple[Tensor, AttentionRows]:
        """Return features of the same shape, B x C x H x W.

        Args:
            need_rows: also return what the rows of S are made of, for the loss of the vote.

        Raises:
            ModelError: the features have another number of axes.
        """
        rows = self.row_factors(features)
        query, key = rows.query.flatten(2), rows.key
        # v_i = W a_i + b and the weights of a row sum to 1, so sum_i s_ji v_i = W (sum_i s_ji a_i) + b: the same sum,
        # and the values of all positions need no memory.
        attended = blockwise_attention(query, key, features.flatten(2).to(query.dtype), self.block)
        attended = self.value(attended.reshape(features.shape))
        # Without gradients nobody needs the attended values any more, and the sum may take their place.
        free = not torch.is_grad_enabled() and attended.dtype == features.dtype
        free = free and not transformed(features, attended, self.alpha)
        # Autocast gives sums the widest format in them, and alpha's is float32.
        alpha = self.alpha.to(attended.dtype)
        added = torch.addcmul(features, alpha, attended, out=attended if free else None)
        return (added, rows) if need_rows else added

    def row_factors(self, features: Tensor) -> AttentionRows:
        """Return what the rows of S are the softmax of: queries, B x C/8 x H x W, and keys, B x C/8 x N."""
        require_batch(features)
        return AttentionRows(self.query(features), self.key(features).flatten(2))

    def rows(self, features: Tensor, positions: Tensor | Sequence[int]) -> Tensor:
        """Return what chosen positions attend to: rows of S, each in O(N).

        Args:
            features: B x C x H x W, the input of this module.
            positions: P integers, each row * W + column of a position.

        Returns:
            B x P x N weights in float32; every row sums to 1.

        Raises:
            ModelError: the features have another number of axes, or there is no such position.
        """
        require_batch(features)
        query = self.query(features).flatten(2)[:, :, numbered(positions, features)].transpose(1, 2)  # B x P x C/8
        key = self.key(features).flatten(2)  # B x C/8 x N
        return attention_map(query, key)


def attention_map(query: Tensor, key: Tensor) -> Tensor:
    """Return softmax(Q K) over the last axis in float32: B x M x N from B x M x D queries and B x D x N keys."""
    with torch.autocast(query.device.type, enabled=False):
        return torch.softmax(query.float() @ key.float(), dim=-1)
