"""From logits at feature size to labels at full size, a band of rows at a time.

Bilinear resizing is linear in the columns and then in the rows. Between two rows of logits all full-size rows are

    row_y = upper + t_y (lower - upper),    0 <= t_y < 1

so a band of them, K x b x W, is formed in one buffer, its largest class taken, and the buffer used again. The K x H x W
logits, 16 times as large as the features at stride 4 and 64 times at stride 8, never exist, and the band stays in the
processor's cache between the two steps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor


def banded_argmax(logits: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    """Return the largest class of every pixel after bilinear resizing, as ``interpolate`` and ``argmax`` would.

    Labels can differ from theirs only where the two largest logits are equal within the rounding of float32.

    Args:
        logits: B x K x h x w with at most 256 classes, of any float type; computed in float32.
        size: H and W, larger or smaller than h and w.

    Returns:
        B x H x W uint8.
    """
    batch, classes, rows, _ = logits.shape
    height, width = size
    wide = functional.interpolate(logits.float(), (rows, width), mode="bilinear", align_corners=align_corners)
    upper, shares = _source_rows(rows, height, align_corners, logits.device)
    bands = torch.bincount(upper, minlength=rows).tolist()
    labels = torch.empty(batch, height, width, dtype=torch.uint8, device=logits.device)
    buffer = wide.new_empty(classes, max(bands), width)
    for picture, answer in zip(wide, labels, strict=True):
        top = 0
        for row, count in enumerate(bands):
            band = slice(top, top + count)
            above, below = picture[:, row], picture[:, min(row + 1, rows - 1)]
            scores = buffer[:, :count]
            torch.addcmul(above[:, None], (below - above)[:, None], shares[None, band, None], out=scores)
            # Several times as fast as argmax, which does not read the classes plane by plane.
            answer[band] = scores.max(dim=0).indices
            top += count
    return labels


def _source_rows(rows: int, height: int, align_corners: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return for each full-size row the row of logits above it, and how far below that it lies, by torch's rules."""
    places = torch.arange(height, dtype=torch.float32, device=device)
    if align_corners:
        places = places * ((rows - 1) / (height - 1) if height > 1 else 0.0)
    else:
        places = ((places + 0.5) * (rows / height) - 0.5).clamp(min=0)
    upper = places.long().clamp(max=rows - 1)
    return upper, places - upper
