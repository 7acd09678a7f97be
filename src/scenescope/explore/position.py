"""What pixels attend to: rows, columns and sums of the position-attention map S, never the whole N x N.

Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019, section 3.2 and the figure of sub-attention maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scenescope.attention.blockwise import block_rows
from scenescope.attention.position import PositionAttention
from scenescope.cells import Cells
from scenescope.explore.points import Point, cell_labels, cell_numbers

Map = npt.NDArray[np.float32]


@dataclass
class PositionTrace:
    """Position attention in one image, with N = h * w positions.

    Attributes:
        module: the attention.
        features: 1 x C x h x w, its input.
        image_size: height and width of the image.
        labels: H x W, the class of every pixel.
        num_classes: K.
        cells: where the positions lie on the image.
    """

    module: PositionAttention
    features: Tensor
    image_size: tuple[int, int]
    labels: npt.NDArray[np.uint8]
    num_classes: int
    cells: Cells

    @cached_property
    def classes(self) -> npt.NDArray[np.uint8]:
        """The class of each position, h x w: that of the pixel under its center, as predicted."""
        return cell_labels(self.labels, self.cells, self.features.shape[-2:])

    def maps(self, points: Sequence[Point]) -> Map:
        """Return how much every position counts for each point: row j of S, where j is the cell of the point.

        Returns:
            P x h x w; each map sums to 1.

        Raises:
            ImageError: a point lies outside the image.
        """
        with torch.inference_mode():
            query, key = self._query_and_key
            chosen = query[:, cell_numbers(points, self.image_size, self.cells, self.features)]  # D x P
            rows = torch.softmax(chosen.t() @ key, dim=1)
        return self._shaped(rows)

    def received(self, points: Sequence[Point]) -> Map:
        """Return how much each point counts for every position: column i of S, who attends to this pixel.

        Returns:
            P x h x w, each weight 0 to 1; N times the mean of a map is what the point receives of all attention.

        Raises:
            ImageError: a point lies outside the image.
        """
        with torch.inference_mode():
            query, key = self._query_and_key
            chosen = key[:, cell_numbers(points, self.image_size, self.cells, self.features)]  # D x P
            columns = torch.exp(chosen.t() @ query - self._normalizers)
        return self._shaped(columns)

    def between_classes(self) -> npt.NDArray[np.float64]:
        """Return the attention that the positions of a class pay to those of each class, on average.

        Returns:
            K x K: row a, column b is the mean over the positions of class a of the weight that all positions of class b
            have for it. Rows sum to 1; the row of an absent class is NaN.
        """
        labels = torch.from_numpy(self.classes.astype(np.int64)).flatten().to(self.features.device)
        members = torch.nn.functional.one_hot(labels, self.num_classes).float()  # N x K
        totals = torch.zeros(self.num_classes, self.num_classes, dtype=torch.float64)
        with torch.inference_mode():
            for rows, energies in self._blocks():
                paid = torch.softmax(energies, dim=1) @ members
                totals += (members[rows].t() @ paid).double().cpu()
        counts = members.sum(dim=0).double().cpu()
        mean: npt.NDArray[np.float64] = (totals / counts[:, None]).numpy()
        return mean

    def factors(self) -> tuple[Map, Map, Map]:
        """Return what S is made of: S_ji = exp(query_j . key_i - normalizer_j).

        Returns:
            Queries and keys, D x N each, and normalizers, N, in float32.
        """
        query, key = self._query_and_key
        return query.cpu().numpy(), key.cpu().numpy(), self._normalizers.cpu().numpy()

    @cached_property
    def _query_and_key(self) -> tuple[Tensor, Tensor]:
        """D x N each, float32."""
        with torch.inference_mode():
            query, key = self.module.query(self.features), self.module.key(self.features)
            return query[0].flatten(1).float(), key[0].flatten(1).float()

    @cached_property
    def _normalizers(self) -> Tensor:
        """The logarithm of the sum that divides each row of S, N."""
        return torch.cat([energies.logsumexp(dim=1) for _, energies in self._blocks()])

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield the energies a few rows at a time: which rows, b x N."""
        query, key = self._query_and_key
        positions = key.shape[1]
        block = block_rows(positions, key.device.type)
        for start in range(0, positions, block):
            rows = slice(start, start + block)
            yield rows, query[:, rows].t() @ key

    def _shaped(self, maps: Tensor) -> Map:
        shaped: Map = maps.view(-1, *self.features.shape[-2:]).cpu().numpy()
        return shaped
