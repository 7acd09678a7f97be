"""Around a prediction: what cannot be predicted is refused, the network stays as it is, a lack of memory is told."""

from __future__ import annotations

import contextlib
import re
import threading
from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from scenescope.bands import BandRule
from scenescope.errors import ImageError, ModelError, ScenescopeError

_NEEDED = ("num_classes", "align_corners", "prepare", "low_resolution", "cells")
"""What a prediction asks of a network besides calling it; an exported file has the first three."""


_changing = threading.Lock()
_lookers: Counter[nn.Module] = Counter()
"""The modules that are out of their training mode, and how many look."""


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
        f"{kind} is not a network of scenescope (it lacks {', '.join(missing)}); give one that scenescope.create_model"
        " or load_model has made, or a subclass of scenescope.models.network.SegmentationNetwork."
    )


def require_images(images: Tensor, network: object = None) -> None:
    """Refuse what is no batch of images for a network.

    Raises:
        ImageError: not B x 3 x H x W, empty or not uint8; or not as the network's rule for bands gives them.
    """
    rule: BandRule | None = getattr(network, "band_rule", None)
    if not isinstance(images, Tensor):
        raise ImageError(f"A {type(images).__name__} is not a batch of images; give a tensor, B x 3 x H x W uint8 RGB.")
    if rule is not None:
        kind = torch.uint8 if rule.ranges is None else torch.float32
        if images.ndim != 4 or images.shape[1] != rule.in_channels or images.dtype != kind or images.numel() == 0:
            raise ImageError(
                f"A tensor of shape {tuple(images.shape)} and type {images.dtype} is not a batch of images for"
                f" a network that sees {rule}; give B x {rule.in_channels} x H x W {kind} of BandRule.apply."
            )
        return
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8 or images.numel() == 0:
        raise ImageError(
            f"A tensor of shape {tuple(images.shape)} and type {images.dtype} is not a batch of images;"
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
            "The network's answer is not a number everywhere (NaN or infinite); its weights are damaged or too large,"
            " so take another checkpoint or train it again."
        )


@contextlib.contextmanager
def eval_mode(network: object) -> Iterator[None]:
    """Put a network into eval mode without gradients, and every submodule back into its own mode afterwards.

    Modules differ within one network: norms that are frozen in training stay in eval mode. Where several threads look
    at once, the last one puts them back.
    """
    with _changing:
        modules = network.modules() if isinstance(network, nn.Module) else ()
        training = [module for module in modules if module.training or module in _lookers]
        for module in training:
            module.training = False
        _lookers.update(training)
    try:
        with torch.inference_mode():
            yield
    finally:
        with _changing:
            for module in training:
                _lookers[module] -= 1
                if not _lookers[module]:
                    del _lookers[module]
                    module.training = True


@contextlib.contextmanager
def memory_errors(error_class: type[ScenescopeError], what: str, remedy: str) -> Iterator[None]:
    """Turn a lack of memory within a ``with`` block, on any device, into an error of one line.

    Args:
        error_class: of the error.
        what: what needs the memory, the subject of a sentence.
        remedy: what a user can do, its end.

    Raises:
        ScenescopeError: of ``error_class``: there is not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise error_class(f"{what} needs more memory than there is; {remedy}.") from error


def lacks_memory(error: Exception) -> bool:
    """Tell whether an error is a lack of memory; torch's allocator for the CPU and runtimes say it in words only."""
    words = ("allocate memory", "bad_alloc", "bad allocation")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in words)


def refuse_address(text: str) -> None:
    """Refuse the address of an image elsewhere in the place of a path.

    Raises:
        ImageError: it is one.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        raise ImageError(f"{text} is an address, and only files are read; download it and give the file's path.")
