"""The vote: what class a position would be if only those it attends to were asked, as a loss on the rows of S.

Let V_i be the share of each class among the scored pixels of position i. Position j is voted to be

    m_j = sum_i s_ji V_i / sum_i s_ji |V_i|         |V_i| = 1, or 0 without a scored pixel: such neither vote

a distribution over the classes, and the loss is the cross-entropy of its own shares under it, -sum_k V_jk log m_jk,
summed over the positions with a scored pixel (nor are the others asked). V takes the place of the values of attention,
so the same operator forms it: exactly, in O(N) memory, forwards and backwards; only queries and keys get a gradient.

Nearest relative: the affinity loss of Yu et al., "Context Prior for Scene Segmentation", CVPR 2020. There a map of
N x N sigmoids of its own is taught, entry by entry and by rows, whether two pixels share a class. Here nothing is
added to the network: the softmax that is used is taught, by what follows from a whole row, so a position is free whom
of its class it attends to, and mixed cells count as they are mixed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor

from scenescope.attention.blockwise import blockwise_attention
from scenescope.cells import Cells
from scenescope.labels import IGNORE
from scenescope.outputs import AttentionRows, AttentionVectors

SMALLEST = 1e-8
"""Added to each class's votes, so that one which nobody has voted for costs -log(1e-8) = 18 and can be learned."""


def cell_counts(labels: Tensor, num_classes: int, cells: Cells, size: Sequence[int]) -> Tensor:
    """Count the scored pixels of each class in each cell: a pixel is of the cell whose place is the nearest.

    Args:
        labels: B x H x W integers, 0..K-1 or IGNORE.
        cells: where the cells lie on the image.
        size: h and w.

    Returns:
        B x K x h x w float32.
    """
    (height, width), (rows, columns) = labels.shape[-2:], size
    across, down = (
        (cells.places(axis, torch.arange(pixels, device=labels.device), count) + 0.5).long()
        for axis, (pixels, count) in enumerate(((height, rows), (width, columns)))
    )
    number = across[:, None] * columns + down  # H x W
    bins = torch.where(labels == IGNORE, num_classes, labels.long()) * (rows * columns) + number
    counts = torch.zeros(len(labels), (num_classes + 1) * rows * columns, dtype=torch.int64, device=labels.device)
    counts.scatter_add_(
        1, bins.flatten(1), torch.ones((), dtype=torch.int64, device=labels.device).expand(bins.flatten(1).shape)
    )
    return counts.view(len(labels), num_classes + 1, rows, columns)[:, :num_classes].float()


def vote_losses(rows: AttentionRows | AttentionVectors, counts: Tensor) -> Tensor:
    """Return the loss of every position, B x N float32, 0 for those without a scored pixel.

    Args:
        rows: queries and keys, or vectors; computed with in float32 whatever their format.
        counts: B x K x h x w, see ``cell_counts``.
    """
    rows = by_distance(rows) if isinstance(rows, AttentionVectors) else rows
    exact = torch.promote_types(rows.query.dtype, torch.float32)
    counts = counts.to(exact)
    with torch.autocast(counts.device.type, enabled=False):
        own, voters = voting_shares(rows, counts)
        votes = blockwise_attention(rows.query.flatten(2).to(exact), rows.key.to(exact), voters) + SMALLEST
        return -(own * (votes.log() - votes.sum(dim=1, keepdim=True).log())).sum(dim=1)


def by_distance(alike: AttentionVectors) -> AttentionRows:
    """Return queries and keys whose rows are the softmax of -|z_j - z_i|^2 over i, of vectors z.

    |z_j|^2 is the same in all of a row, and -|z_j - z_i|^2 is 2 z_j z_i - |z_i|^2 but for it, so queries (2 z, 1) and
    keys (z, -|z|^2) give this softmax: the operator of position attention, in O(N) memory, serves here as well.
    """
    vectors = alike.vectors.to(torch.promote_types(alike.vectors.dtype, torch.float32))  # squares are not for less
    query = torch.cat([2 * vectors, torch.ones_like(vectors[:, :1])], dim=1)
    flat = vectors.flatten(2)
    return AttentionRows(query, torch.cat([flat, -flat.square().sum(dim=1, keepdim=True)], dim=1))


def voting_shares(rows: AttentionRows, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return V of the positions, B x K x N, and of what they attend to, B x K x M; 0 without a scored pixel."""
    own = _shares(counts.flatten(2))
    if not rows.grids:
        return own, own
    pooled = [functional.adaptive_avg_pool2d(counts, side).flatten(2) for side in rows.grids]
    return own, _shares(torch.cat(pooled, dim=2))


def _shares(counts: Tensor) -> Tensor:
    """Return the share of each class, 0 for all where nothing is counted: B x K x N from such counts."""
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=torch.finfo(counts.dtype).tiny)
