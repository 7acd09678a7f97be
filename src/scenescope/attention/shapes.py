"""What modules of attention take."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scenescope.errors import ModelError


def require_batch(features: Tensor) -> None:
    """Refuse features that are not B x C x H x W: with other axes some sums would run over the wrong ones.

    Raises:
        ModelError: naming their shape.
    """
    if features.ndim != 4:
        shape = " x ".join(map(str, features.shape)) or "a single number"
        raise ModelError(
            f"Attention takes features of B x C x H x W, not {shape}; a single image's get their batch axis by"
            " features[None]."
        )


def numbered(positions: Tensor | Sequence[int], features: Tensor) -> Tensor:
    """Return chosen positions of B x C x H x W features, each row * W + column, as a tensor beside the features.

    Raises:
        ModelError: they are no list of whole numbers, or there is no such position.
    """
    height, width = features.shape[-2:]
    chosen = torch.as_tensor(positions, device=features.device)
    whole = chosen.ndim == 1 and chosen.dtype in (torch.int64, torch.int32)
    if not whole or not bool(((chosen >= 0) & (chosen < height * width)).all()):
        given = f", from {chosen.min()} to {chosen.max()}" if chosen.numel() else ""
        raise ModelError(
            f"Positions of features of {height} x {width} are whole numbers from 0 to {height * width - 1} in a row,"
            f" each row * {width} + column; given were {chosen.dtype} of shape {tuple(chosen.shape)}{given}."
        )
    return chosen
