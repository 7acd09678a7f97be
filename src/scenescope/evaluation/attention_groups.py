"""Whether positions that squeeze-and-attention treats alike are of one class, or only near each other.

Zhong et al., "Squeeze-and-Attention Networks", CVPR 2020, figure 6: the attention channel groups pixels, and those of a
group are alike in it. That is measured as it is shown: of the positions whose attention (X_attn, all channels, L2
distance) is nearest to that of a position, the share that is of its class. Attention is made of coarse squares and
drawn smoothly, so positions near each other are alike in any case; the same share among those nearest in the image
stands beside it, and what the attention knows of classes is the difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scenescope.labels import IGNORE

NEAREST = 0.05
"""The share of all positions that are the nearest."""
POSITIONS = 1500
"""So many positions of an image, on a regular grid, are compared with each other, at most about."""


@dataclass
class AttentionGroups:
    """The sums over images of one head.

    Attributes:
        positions: number of scored positions.
        alike: of those nearest to a position in its attention, the share of its own class, summed over positions.
        near: likewise of those nearest in the image.
        area: likewise of all positions.
    """

    positions: float = 0.0
    alike: float = 0.0
    near: float = 0.0
    area: float = 0.0

    def update(self, attention: Tensor, labels: Tensor) -> None:
        """Add an image.

        Args:
            attention: C x h x w, X_attn.
            labels: h x w, the true class of each position, or IGNORE.
        """
        rows, columns = labels.shape
        step = max(round(math.sqrt(rows * columns / POSITIONS)), 1)
        places = torch.cartesian_prod(torch.arange(0, rows, step), torch.arange(0, columns, step)).to(labels.device)
        classes = labels[places[:, 0], places[:, 1]]
        places, classes = places[classes != IGNORE], classes[classes != IGNORE]
        count = len(classes)
        nearest = max(int(NEAREST * count), 1)
        if count < 2:
            return
        channels = attention[:, places[:, 0], places[:, 1]].t().float()
        self.positions += count
        self.alike += _own_class(channels, classes, nearest)
        self.near += _own_class(places.float(), classes, nearest)
        same = torch.bincount(classes.long())[classes.long()] - 1
        self.area += (same / (count - 1)).sum().item()

    def shares(self) -> dict[str, float]:
        """Return the three means, 0..1, by name."""
        return {name: getattr(self, name) / max(self.positions, 1) for name in ("alike", "near", "area")}


def _own_class(vectors: Tensor, classes: Tensor, nearest: int) -> float:
    """Return the sum over positions of the share of their own class among the nearest others."""
    distances = torch.cdist(vectors, vectors).fill_diagonal_(torch.inf)
    found = distances.topk(nearest, largest=False).indices
    return (classes[found] == classes[:, None]).double().mean(dim=1).sum().item()


def groups_sentence(stage: int, shares: dict[str, float]) -> str:
    """Say of a head in a sentence what its attention groups."""
    gain = 100 * (shares["alike"] - shares["near"])
    found = "groups by class" if gain >= 5 else "tells no more of the class than the place does"
    return (
        f"The attention in the head of stage {stage} {found}: {shares['alike']:.0%} of the positions most alike in it"
        f" are of the same class, of those nearest in the image {shares['near']:.0%}, of all {shares['area']:.0%}."
    )
