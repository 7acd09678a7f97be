"""What a pixel attends to: rows of the position-attention map S, never the whole N x N.

Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019, section 3.2 and the figure of sub-attention maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from scenescope.attention.position import PositionAttention
from scenescope.errors import ImageError
from scenescope.inference.memory import memory_errors
from scenescope.inference.modes import evaluating
from scenescope.models.network import SegmentationNetwork

Point = tuple[int, int]
"""x (to the right) and y (down) in pixels of the picture as displayed, from 0."""


def position_attention(
    network: SegmentationNetwork, image: npt.NDArray[np.uint8], points: Sequence[Point]
) -> list[npt.NDArray[np.float32]]:
    """Return for each point how much every position of the features counts for it.

    The map of a point is row j of S, j = floor(y h / H) * w + floor(x w / W), with h x w features of an H x W image.

    Args:
        network: has position attention.
        image: H x W x 3 uint8 RGB.
        points: (x, y) in pixels.

    Returns:
        One h x w float32 map per point; each sums to 1.

    Raises:
        ImageError: a point outside the image.
        ModelError: the network has no position attention.
    """
    height, width = image.shape[:2]
    for point in points:
        require_inside(point, width, height)
    device = next(network.parameters(), torch.empty(0)).device  # an exported file has no parameters
    what = f"The attention in a picture of {width} x {height} pixels"
    with memory_errors(ImageError, what, "scale the picture down"), evaluating(network):
        batch = torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).to(device)
        features = network.position_features(network.prepare(batch))
        rows, columns = features.shape[-2:]
        cells = [(y * rows // height) * columns + x * columns // width for x, y in points]
        positions = torch.tensor(cells, dtype=torch.long, device=device)
        attention = network.head.position
        assert isinstance(attention, PositionAttention)  # position_features refuses networks without it
        maps = attention.rows(features, positions)[0].view(-1, rows, columns).cpu().numpy()
    return list(maps)


def require_inside(point: Point, width: int, height: int) -> None:
    """Refuse a point outside an image.

    Raises:
        ImageError: naming the valid range.
    """
    x, y = point
    if not (0 <= x < width and 0 <= y < height):
        raise ImageError(
            f"Point {x},{y} lies outside the image of {width} x {height} pixels;"
            f" x may be 0 to {width - 1} and y 0 to {height - 1}."
        )
