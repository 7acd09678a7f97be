"""Looking at a network without changing it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into eval mode without gradients, and every submodule back into its own mode afterwards.

    Modules differ within one network: norms that are frozen in training stay in eval mode.
    """
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with torch.inference_mode():
            yield
    finally:
        for module in training:
            module.training = True
