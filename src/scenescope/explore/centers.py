"""What DRANet's positions attend to: a few centers gathered from the image.

Fu et al., "Scene Segmentation With Dual Relation-Aware Attention Network", IEEE Transactions on Neural Networks and
Learning Systems 32(6), 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from torch import Tensor

from scenescope.attention.compact_position import SIZES, CompactPositionAttention
from scenescope.cells import Cells
from scenescope.explore.points import Point, cell_numbers
from scenescope.inference.guards import eval_mode

Map = npt.NDArray[np.float32]


@dataclass
class PositionCenters:
    """Compact position attention in one image; its M = 50 centers are the cells of four grids, see the module.

    Attributes:
        module: the attention.
        features: 1 x C x h x w, its input.
        image_size: height and width of the image.
        cells: where the positions lie on it.
    """

    module: CompactPositionAttention
    features: Tensor
    image_size: tuple[int, int]
    cells: Cells

    def weights(self, points: Sequence[Point]) -> Map:
        """Return how much every center counts for each point: P x M, rows sum to 1.

        Raises:
            ImageError: a point lies outside the image.
        """
        chosen = cell_numbers(points, self.image_size, self.cells, self.features).cpu().numpy()
        return np.ascontiguousarray(self._map[chosen])

    def maps(self) -> Map:
        """Return how much each center counts for every position: M x h x w."""
        return np.ascontiguousarray(self._map.T).reshape(-1, *self.features.shape[-2:])

    def spread(self, points: Sequence[Point]) -> Map:
        """Return where in the image the weights of each point lie: P x 6 x 6, each summing to 1.

        The weight of a center is spread evenly over the cells of the finest grid that its own cell covers.

        Raises:
            ImageError: a point lies outside the image.
        """
        finest = SIZES[-1]
        weights = self.weights(points)
        spread = np.zeros((len(weights), finest, finest), np.float32)
        first = 0
        for size in SIZES:
            covered = finest // size
            grid = weights[:, first : first + size * size].reshape(-1, size, size)
            spread += grid.repeat(covered, axis=1).repeat(covered, axis=2) / covered**2
            first += size * size
        return spread

    @cached_property
    def _map(self) -> Map:
        with eval_mode(self.module):
            found: Map = self.module.map(self.features)[0].cpu().numpy()
        return found
