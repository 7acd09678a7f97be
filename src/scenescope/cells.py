"""Where the cells of a network's logits lie on its image.

A cell of stride s looks at the pixels around s i + constant, whatever the size of the image, and so it is drawn at

    s i + ((r - 1) mod s) / 2        r: what is left of the image's side, once filled, when it is divided by s

Sides that are multiples (r = 0) give the usual s i + (s - 1) / 2 of half pixels, sides s k + 1 (r = 1) the s i of
aligned corners. Stretching logits over the image instead, as the published codes do, is the same there and nowhere
else: at any other size cells drift by up to a whole one from what they saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from scenescope.device import nondeterministic

Pair = tuple[float, float]
"""Of rows, of columns."""


@dataclass(frozen=True)
class Cells:
    """Pixel y (from 0) of an image sees cell ``scale (y + 1/2) - offset``, which may lie between two; columns likewise.

    Attributes:
        scale: cells in a pixel, of rows and columns.
        offset: in cells; 1/2 where the outer edges of cells and pixels coincide.
    """

    scale: Pair
    offset: Pair

    @classmethod
    def where_they_look(cls, stride: int, remainder: tuple[int, int], input_scale: float = 1.0) -> Cells:
        """Return the cells of an image that was scaled up, then filled up to sides that leave this remainder."""
        row, column = ((((left - 1) % stride) / 2 + 0.5) / stride for left in remainder)
        return cls((input_scale / stride, input_scale / stride), (row, column))

    @classmethod
    def stretched(cls, logits: Sequence[int], image: Sequence[int], *, align_corners: bool) -> Cells:
        """Return the cells of logits that are stretched over an image, both given as height and width."""
        if not align_corners:
            return cls((logits[0] / image[0], logits[1] / image[1]), (0.5, 0.5))
        row, column = (
            (cells - 1) / (pixels - 1) if pixels > 1 else 0.0 for cells, pixels in zip(logits, image, strict=True)
        )
        return cls((row, column), (row / 2, column / 2))

    def places(self, axis: int, pixels: Tensor, count: int) -> Tensor:
        """Return where pixels see the ``count`` cells of an axis (0 rows, 1 columns), within 0 and count - 1."""
        return ((pixels + 0.5) * self.scale[axis] - self.offset[axis]).clamp(0, count - 1)

    def extent(self, counts: Sequence[int]) -> tuple[float, float, float, float]:
        """Return left, upper, right and lower edge of h x w cells in pixels of the image, which they may go past."""
        (top, bottom), (left, right) = (
            ((offset - 0.5) / scale, (count + offset - 0.5) / scale)
            for count, offset, scale in zip(counts, self.offset, self.scale, strict=True)
        )
        return left, top, right, bottom

    def draw(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Return B x K x H x W logits from B x K x h x w, bilinear, in float32."""
        logits = logits.float()
        height, width = size
        counts = logits.shape[-2:]
        if nondeterministic(logits):
            # As products, since torch has no deterministic gradient of the other forms for GPUs.
            rows, columns = (
                self._shares(axis, pixels, count, logits.device)
                for axis, (pixels, count) in enumerate(zip(size, counts, strict=True))
            )
            return rows @ logits @ columns.t()
        # torch copies an axis whose size stays, whatever the factor.
        copied = any(n == pixels and scale != 1 for n, pixels, scale in zip(counts, size, self.scale, strict=True))
        if self.offset == (0.5, 0.5) and not copied:
            # By exactly this factor: ``interpolate`` would take it from the sizes.
            factors = [1 / scale for scale in self.scale]
            drawn: Tensor = torch.ops.aten.upsample_bilinear2d.default(logits, [height, width], False, *factors)
            return drawn
        # grid_sample counts from -1 to 1.
        rows, columns = (
            2 * self.places(axis, torch.arange(pixels, device=logits.device), count) / max(count - 1, 1) - 1
            for axis, (pixels, count) in enumerate(zip(size, counts, strict=True))
        )
        grid = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)], dim=-1)
        grid = grid.expand(len(logits), height, width, 2)
        return functional.grid_sample(logits, grid, mode="bilinear", padding_mode="border", align_corners=True)

    def _shares(self, axis: int, pixels: int, count: int, device: torch.device) -> Tensor:
        """Return for each pixel along an axis the share that it takes of each cell, pixels x cells."""
        places = self.places(axis, torch.arange(pixels, device=device), count)
        return (1 - (places[:, None] - torch.arange(count, device=device)).abs()).clamp(min=0)


def pool_to_grid(features: Tensor, side: int) -> Tensor:
    """Return the means of the cells of a grid, B x C x side x side, as ``adaptive_avg_pool2d`` cuts them.

    As products where determinism is asked for: torch has no deterministic gradient of the other form for GPUs.
    """
    if not nondeterministic(features):
        return functional.adaptive_avg_pool2d(features, side)
    rows, columns = (grid_shares(side, length, features) for length in features.shape[-2:])
    return rows @ features @ columns.t()


def grid_shares(count: int, length: int, features: Tensor) -> Tensor:
    """Return count x length: 1 / its length where a position is in the cell, as torch divides a side into cells."""
    cell = torch.arange(count, device=features.device).unsqueeze(1)
    first, last = cell * length // count, ((cell + 1) * length + count - 1) // count
    position = torch.arange(length, device=features.device).unsqueeze(0)
    inside = ((position >= first) & (position < last)).to(features.dtype)
    return inside / (last - first).to(features.dtype)
