"""The memory of a training: counted before it starts, and kept from one step to the next."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from scenescope.backbones.build import count_parameters
from scenescope.models.complexity import without_memory
from scenescope.models.network import SegmentationNetwork
from scenescope.training.norms import freeze_norms

RUNTIME = 700 * 2**20
"""Bytes that a process takes which has loaded torch and timm and done nothing yet (version 2 on Linux)."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a process holds between the forward and the backward pass of a step.

    The workspace of single operations, the gradients of activations and validation come on top.
    """

    weights: int
    gradients: int
    optimizer: int
    ema: int
    activations: int

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return self.weights + self.gradients + self.optimizer + self.ema + self.activations


def estimate_memory(
    create: Callable[[], SegmentationNetwork],
    *,
    batch_size: int,
    height: int,
    width: int,
    moments: int,
    ema: bool,
    mixed_precision: bool,
    copies: int = 0,
    frozen_norms: bool = False,
) -> MemoryEstimate:
    """Count the memory of a training step without running it.

    Args:
        create: builds the network; it is given no memory.
        images: images of one process in one part of a step.
        height, width: of the crop in pixels.
        moments: copies of the weights that the optimizer keeps (SGD with momentum 1, AdamW 2).
        ema: whether averaged weights are kept.
        mixed_precision: whether the forward pass runs under bfloat16 autocast.
        copies: tensors as large as the logits that the losses keep beside cross-entropy, where all classes are seen.
        frozen_norms: whether batch norms are frozen.
    """
    saved: dict[int, tuple[Any, int]] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        # Holding the storage keeps its address from being used again.
        saved[storage._cdata] = (storage, storage.nbytes())
        return tensor

    with without_memory(create) as network:
        network.train()
        if frozen_norms:
            freeze_norms(network)
        images = torch.empty(batch_size, network.in_channels, height, width)
        with (
            torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16, enabled=mixed_precision),
        ):
            output = network(images)
        # Those of whole images are a few numbers.
        logits = [each for each in (output.logits, *output.auxiliary.values()) if each.ndim == 4]
        labels = torch.zeros(batch_size, height, width, dtype=torch.int64)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            for each in logits:
                functional.cross_entropy(each, labels)
    own = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    weights = sum(tensor.nbytes for tensor in network.state_dict().values())
    gradients = 4 * count_parameters(network)
    return MemoryEstimate(
        weights=weights,
        gradients=gradients,
        optimizer=moments * gradients,
        ema=weights if ema else 0,
        activations=sum(size for address, (_, size) in saved.items() if address not in own)
        + copies * output.logits.nbytes,
    )


def keep_freed_memory() -> None:
    """Let the C library keep the memory that a step frees for the next one; for this process and for good.

    So it is for a command to decide and not for a library.

    By default glibc gives each large tensor back to the kernel and takes it anew a step later, zeroed page by page.
    Other C libraries have no such settings (``man mallopt``).
    """
    if platform.libc_ver()[0] == "glibc":
        trim_threshold, top_pad, mmap_max = -1, -2, -4
        for option, value in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 2**26)):
            ctypes.CDLL(None).mallopt(option, value)
