"""What the squeeze-and-attention heads do at each stage.

Zhong et al., "Squeeze-and-Attention Networks for Semantic Segmentation", CVPR 2020, section 4.4 and its figures of
attention and main channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from scenescope.attention.squeeze import SqueezeAttention
from scenescope.cells import Cells
from scenescope.explore.points import Point, cell_numbers
from scenescope.inference.guards import eval_mode

Map = npt.NDArray[np.float32]
Part = Literal["attention", "main", "output"]


@dataclass
class HeadTrace:
    """One squeeze-and-attention head in one image.

    Attributes:
        module: the head's attention.
        features: 1 x C x h x w, its input.
        image_size: height and width of the image.
        cells: where the positions lie on it.
    """

    module: SqueezeAttention
    features: Tensor
    image_size: tuple[int, int]
    cells: Cells

    def distances(self, points: Sequence[Point]) -> Map:
        """Return how far the attention of every position is from that of each point: P x h x w.

        That is the L2 distance over the channels of X_attn: 0 at the point itself, small where the head treats
        positions alike.

        Raises:
            ImageError: a point lies outside the image.
        """
        attention = self._parts["attention"]
        chosen = cell_numbers(points, self.image_size, self.cells, self.features).cpu().numpy()
        flat = attention.reshape(len(attention), -1)
        return np.stack([np.linalg.norm(attention - flat[:, cell, None, None], axis=0) for cell in chosen])

    def channels(self, part: Part) -> Map:
        """Return all channels of the attention (X_attn), the main path (X_res) or the output (X_out): C' x h x w."""
        return self._parts[part]

    def most_active(self, part: Part, count: int = 1, point: Point | None = None) -> list[int]:
        """Return the channels of largest mean over the image, or of largest value at a point, the largest first.

        Raises:
            ImageError: the point lies outside the image.
        """
        maps = self._parts[part]
        flat = maps.reshape(len(maps), -1)
        if point is None:
            activity = flat.mean(axis=1)
        else:
            activity = flat[:, int(cell_numbers([point], self.image_size, self.cells, self.features)[0])]
        return [int(channel) for channel in np.argsort(-activity, kind="stable")[:count]]

    @cached_property
    def _parts(self) -> dict[Part, Map]:
        with eval_mode(self.module):
            parts: dict[Part, Tensor] = {
                "attention": self.module.attention_channel(self.features),
                "main": self.module.main(self.features),
                "output": self.module(self.features),
            }
        return {name: part[0].float().cpu().numpy() for name, part in parts.items()}
