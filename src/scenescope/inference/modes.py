"""Looking at a network without changing it."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

import torch
from torch import nn

_changing = threading.Lock()
_lookers: Counter[nn.Module] = Counter()
"""The modules that are out of their training mode, and how many look."""


@contextlib.contextmanager
def evaluating(network: object) -> Iterator[None]:
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
