"""What cannot be predicted, or is no prediction, said in one line."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scenescope.errors import ImageError, ModelError

_NEEDED = ("num_classes", "align_corners", "prepare", "low_resolution", "cells")
"""What a prediction asks of a network besides calling it; an exported file has the first three."""


def require_network(network: object) -> None:
    """Refuse a module that is no ``SegmentationNetwork`` and has not what one has.

    Raises:
        ModelError: it lacks something.
    """
    needed = _NEEDED if isinstance(network, nn.Module) else _NEEDED[:3]
    missing = [name for name in needed if not hasattr(network, name)]
    if not missing:
        return
    kind = type(network).__name__
    if isinstance(getattr(network, "module", None), nn.Module):
        raise ModelError(f"{kind} only wraps a network; give its .module.")
    raise ModelError(
        f"{kind} is no network of scenescope (it lacks {', '.join(missing)}); give one that scenescope.create_model or"
        " load_model has made, or a subclass of scenescope.models.network.SegmentationNetwork."
    )


def require_images(images: Tensor) -> None:
    """Refuse what is no batch of pictures.

    Raises:
        ImageError: not B x 3 x H x W, empty or not uint8.
    """
    if not isinstance(images, Tensor):
        raise ImageError(f"A {type(images).__name__} is no batch of pictures; give a tensor, B x 3 x H x W uint8 RGB.")
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8 or images.numel() == 0:
        raise ImageError(
            f"A tensor of shape {tuple(images.shape)} and type {images.dtype} is no batch of pictures;"
            " give B x 3 x H x W uint8 RGB, 0 to 255."
        )


def require_finite(logits: Tensor) -> None:
    """Refuse logits among which are NaN or infinite ones: their largest would be a class that nobody has answered.

    Raises:
        ModelError: there are such.
    """
    # The sum takes no memory; only where it is not finite, which huge logits can make it as well, each is looked at.
    if not logits.sum().isfinite() and not logits.isfinite().all():
        raise ModelError(
            "The network's answer is no number everywhere (NaN or infinite); its weights are damaged or too large,"
            " so take another checkpoint or train it again."
        )
