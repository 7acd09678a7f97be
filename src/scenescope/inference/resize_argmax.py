"""From logits at feature size to labels at full size, a band of rows at a time.

Drawing logits at the size of the image is linear in the columns and then in the rows. Between two rows of logits all
full-size rows are

    row_y = upper + t_y (lower - upper),    0 <= t_y < 1

so a band of them, K x b x W, is formed in one buffer, its largest class taken, and the buffer used again. The K x H x W
logits, 16 times as large as the features at stride 4 and 64 times at stride 8, never exist, and the band stays in the
CPU's cache between the two steps. On a GPU those are hundreds of small kernels; it draws the logits of an image and
takes the largest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scenescope.cells import Cells
from scenescope.device import traits
from scenescope.inference.guards import require_finite


def resize_argmax(logits: Tensor, size: tuple[int, int], cells: Cells) -> Tensor:
    """Return the largest class of every pixel, as ``cells.draw`` and ``argmax`` would.

    Labels can differ from theirs only where the two largest logits are equal within the rounding of float32.

    Args:
        logits: B x K x h x w with at most 256 classes, of any float type; computed in float32.
        size: H and W, larger or smaller than h and w.
        cells: where the logits lie on the image.

    Returns:
        B x H x W uint8.

    Raises:
        ModelError: a logit is NaN or infinite.
    """
    require_finite(logits)
    if not traits(logits.device).bands:
        # Image by image, since this is the largest tensor of a prediction.
        return torch.cat([cells.draw(each, size).max(dim=1).indices.to(torch.uint8) for each in logits[:, None]])
    batch, classes, rows, columns = logits.shape
    height, width = size
    left, shares = _lower(cells, 1, width, columns, logits.device)
    logits = logits.float()
    right = (left + 1).clamp(max=columns - 1)
    # The same numbers as index_select, which takes several times as long along the last axis.
    wide, beside = (logits.gather(3, each.expand(batch, classes, rows, width)) for each in (left, right))
    wide.lerp_(beside, shares)
    upper, shares = _lower(cells, 0, height, rows, logits.device)
    bands = torch.bincount(upper, minlength=rows).tolist()
    labels = torch.empty(batch, height, width, dtype=torch.uint8, device=logits.device)
    buffer = wide.new_empty(classes, max(bands), width)
    for image, answer in zip(wide, labels, strict=True):
        top = 0
        for row, count in enumerate(bands):
            band = slice(top, top + count)
            above, below = image[:, row], image[:, min(row + 1, rows - 1)]
            scores = buffer[:, :count]
            torch.addcmul(above[:, None], (below - above)[:, None], shares[None, band, None], out=scores)
            # Several times as fast as argmax, which does not read the classes plane by plane.
            answer[band] = scores.max(dim=0).indices
            top += count
    return labels


def logits_at(logits: Tensor, y: int, x: int, cells: Cells) -> Tensor:
    """Return what ``cells.draw`` would put at one pixel, from the four numbers around it.

    Args:
        logits: B x K x h x w, of any float type; computed in float32.
        y, x: the pixel, from 0.
        cells: where the logits lie on the image.

    Returns:
        B x K.
    """
    rows, columns = logits.shape[-2:]
    (top, down), (left, across) = (
        [each[pixel].item() for each in _lower(cells, axis, pixel + 1, count, torch.device("cpu"))]
        for axis, (pixel, count) in enumerate(((y, rows), (x, columns)))
    )
    bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
    corners = logits[..., [top, top, bottom, bottom], [left, right, left, right]].float()
    upper, lower = (torch.lerp(corners[..., first], corners[..., first + 1], across) for first in (0, 2))
    return torch.lerp(upper, lower, down)


def _lower(cells: Cells, axis: int, pixels: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return for each pixel along an axis the cell above or left of it, and how far from that it lies."""
    places = cells.places(axis, torch.arange(pixels, dtype=torch.float32, device=device), count)
    lower = places.long()
    return lower, places - lower
