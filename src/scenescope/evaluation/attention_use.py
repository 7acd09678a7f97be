"""What attention is paid to, over a data set: the share that lies on a position's own class, beside that of the area.

Attention that means something pays more to its own class than that class covers. With the true shares V of each class
among a position's scored pixels, and m_j the vote of those it attends to (``attention/vote.py``), that of class k is

    sum_j V_jk m_jk / sum_j V_jk

and the area's, what a row that is the same everywhere would pay, has the mean of V over the image in the place of m_j.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scenescope.attention.blockwise import block_rows
from scenescope.attention.compact_position import CompactPositionAttention
from scenescope.attention.position import PositionAttention
from scenescope.attention.vote import cell_counts, voting_shares
from scenescope.cells import Cells
from scenescope.evaluation.distributed import summed
from scenescope.inference.look import inputs_kept
from scenescope.models.network import SegmentationNetwork
from scenescope.outputs import AttentionRows


class AttentionUse:
    """Adds up, image by image, what position attention is paid to.

    Args:
        num_classes: K.

    Attributes:
        sums: of each class: of its shares of positions, of the attention on the own class, and of what the area has.
        spread: the number of scored positions, the sum of their rows' entropies, and the sum of the numbers of what
            there is to attend to.
    """

    def __init__(self, num_classes: int) -> None:
        self.sums = torch.zeros(3, num_classes, dtype=torch.float64)
        self.spread = torch.zeros(3, dtype=torch.float64)

    @contextlib.contextmanager
    def watching(self, network: SegmentationNetwork, labels: Tensor) -> Iterator[None]:
        """Add the images that a network predicts once, whole, within a ``with`` block.

        Args:
            labels: B x H x W, their true classes 0..K-1 or IGNORE (255).
        """
        with inputs_kept(network) as kept:
            yield
        self.look(labels, network, kept.inputs)

    def look(self, labels: Tensor, network: SegmentationNetwork, inputs: Mapping[nn.Module, Tensor]) -> None:
        """Add some images of one size, by what the attention of a network was given; nothing without such.

        Args:
            labels: B x H x W true classes 0..K-1 or IGNORE (255).
            inputs: of its modules, see ``inference.look``.
        """
        for module, features in inputs.items():
            if isinstance(module, PositionAttention | CompactPositionAttention):
                self.update(labels, module.row_factors(features), network.cells(features, labels.shape[-2:]))

    def update(self, labels: Tensor, rows: AttentionRows, cells: Cells) -> None:
        """Add some images of one size.

        Args:
            labels: B x H x W true classes 0..K-1 or IGNORE (255).
            rows: queries and keys of the attention.
            cells: where its positions lie on the images.
        """
        counts = cell_counts(labels, self.sums.shape[1], cells, rows.query.shape[-2:])
        own, voters = voting_shares(rows, counts)
        for shares, seen, query, key in zip(own, voters, rows.query.flatten(2).float(), rows.key.float(), strict=True):
            voting = seen.sum(dim=0) > 0
            area = seen.sum(dim=1) / voting.sum().clamp(min=1)
            sums, spread = shares.new_zeros(self.sums.shape), shares.new_zeros(self.spread.shape)
            count = key.shape[1]
            block = block_rows(count, key.device)
            for first in range(0, query.shape[1], block):
                some = slice(first, first + block)
                scored = shares[:, some].sum(dim=0) > 0
                weights = torch.softmax(query[:, some].t() @ key, dim=1)
                votes = weights @ seen.t()
                votes = votes / votes.sum(dim=1, keepdim=True).clamp(min=torch.finfo(votes.dtype).tiny)
                own_here = shares[:, some]
                sums += torch.stack(
                    [own_here.sum(dim=1), (own_here * votes.t()).sum(dim=1), own_here.sum(dim=1) * area]
                )
                entropy = torch.special.entr(weights).sum(dim=1)
                spread += torch.stack([scored.sum(), (entropy * scored).sum(), scored.sum() * count])
            # Not every device has float64.
            self.sums += sums.cpu()
            self.spread += spread.cpu()

    def all_reduce(self) -> None:
        """Add up the sums of all processes of ``torch.distributed``; each then holds the total."""
        self.sums, self.spread = summed(self.sums), summed(self.spread)


@dataclass(frozen=True)
class AttentionShares:
    """What position attention is paid to.

    Attributes:
        names: of the K classes.
        own: of each class, the share of attention that its positions pay to their own class, 0..1; None if absent.
        area: what they would pay if they attended to all alike.
        mean_own, mean_area: the means over all scored positions.
        attends_to: how many positions one attends to: the exponential of the mean entropy.
        positions: the mean number of what there is to attend to.
    """

    names: tuple[str, ...]
    own: list[float | None]
    area: list[float | None]
    mean_own: float
    mean_area: float
    attends_to: float
    positions: float

    @classmethod
    def from_sums(cls, use: AttentionUse, names: tuple[str, ...]) -> AttentionShares | None:
        """Return the shares, or None without a scored position."""
        sums, (scored, entropy, positions) = use.sums, use.spread.tolist()
        if not scored:
            return None
        weight = sums[0].tolist()
        own, area = (
            [part / all_of_it if all_of_it else None for part, all_of_it in zip(parts.tolist(), weight, strict=True)]
            for parts in sums[1:]
        )
        mean_own, mean_area = (sums[1:].sum(dim=1) / sums[0].sum()).tolist()
        attends_to = torch.tensor(entropy / scored).exp().item()
        return cls(names, own, area, mean_own, mean_area, attends_to, positions / scored)

    @property
    def lift(self) -> float:
        """How many times as much attention is on the own class as the area has; 1 is chance."""
        return self.mean_own / self.mean_area if self.mean_area else 1.0

    def to_json(self) -> dict[str, Any]:
        """Return the shares as JSON holds them."""
        per_class = {
            name: {"own": own, "area": area} for name, own, area in zip(self.names, self.own, self.area, strict=True)
        }
        return {
            "own_class_share": self.mean_own,
            "area_share": self.mean_area,
            "lift": self.lift,
            "attends_to": self.attends_to,
            "positions": self.positions,
            "classes": per_class,
        }
