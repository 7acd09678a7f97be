"""Whether a pixel looks at its own class: the share of its row of S that lies there, beside what chance would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenescope.explore.points import Point
from scenescope.explore.trace import AttentionTrace

LIKE_CHANCE = 0.2
"""A share that differs from chance by less than this part of it is called like chance."""


@dataclass(frozen=True)
class OwnClass:
    """What a pixel attends to, by class. The class of a position is that of the pixel under its center, as predicted.

    Attributes:
        label: the pixel's own class, as predicted.
        paid: of each of the K classes, the share of the pixel's attention that lies on its positions; they sum to 1.
        area: of each class, its share of all positions: what attention that is the same everywhere would pay.
    """

    label: int
    paid: tuple[float, ...]
    area: tuple[float, ...]

    @property
    def share(self) -> float:
        """The share of the attention that lies on the own class, 0..1."""
        return self.paid[self.label]

    @property
    def chance(self) -> float:
        """The share of the positions that are of the own class, 0..1."""
        return self.area[self.label]

    def verdict(self, names: Sequence[str]) -> str:
        """Say in a sentence how this compares with chance.

        Args:
            names: of the K classes.
        """
        name, share, chance = names[self.label], self.share, self.chance
        if not chance:
            return f"{name} is smaller than a position of attention here, so nothing can be told of it."
        numbers = f"{_percent(share)} on {name}, which covers {_percent(chance)}"
        if share > (1 + LIKE_CHANCE) * chance:
            much = "mostly at its own class" if share >= 0.5 else "at its own class more than chance"
            return f"Looks {much}: {numbers} ({share / chance:.1f} times chance)."
        if share >= (1 - LIKE_CHANCE) * chance:
            return f"Looks at its own class about as much as chance: {numbers}."
        most = int(np.argmax(self.paid))
        elsewhere = f"; most goes to {names[most]} ({_percent(self.paid[most])})" if most != self.label else ""
        return f"Looks at its own class less than chance: {numbers}{elsewhere}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\u00a0%"  # which no line ends within


def own_class(trace: AttentionTrace, point: Point) -> OwnClass:
    """Return what position attention pays to each class from a pixel.

    Raises:
        ImageError: the point lies outside the image.
        ModelError: the network has no position attention.
    """
    position, num_classes = trace.position, trace.network.num_classes
    row = position.maps([point])[0].astype(np.float64)
    classes = position.classes.ravel()
    paid = np.bincount(classes, weights=row.ravel(), minlength=num_classes)
    area = np.bincount(classes, minlength=num_classes) / classes.size
    x, y = point
    return OwnClass(int(trace.labels[y, x]), tuple(paid.tolist()), tuple(area.tolist()))
