"""Exponential moving average of the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import compress

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class ModelEma:
    """Keeps average = decay * average + (1 - decay) * weights, in float32; integer buffers are copied.

    During the first steps the decay is at most (1 + n) / (10 + n) after n updates, so that the random start is
    forgotten quickly.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self.state = {key: value.detach().clone() for key, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the network's present weights into the average."""
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        # A few kernels in all, in place of one for each of hundreds of tensors.
        take = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        state = network.state_dict()
        averages, values = list(self.state.values()), [state[key] for key in self.state]
        floating = [value.is_floating_point() for value in values]
        take(list(compress(averages, floating)), list(compress(values, floating)), self.num_updates)
        counts = [not each for each in floating]
        if any(counts):
            torch._foreach_copy_(list(compress(averages, counts)), list(compress(values, counts)))

    def load(self, state: dict[str, Tensor], num_updates: int) -> None:
        """Go on from a saved average."""
        for key, value in state.items():
            self.state[key].copy_(value)
        self.num_updates = num_updates

    @contextlib.contextmanager
    def applied_to(self, network: nn.Module) -> Iterator[None]:
        """Give the network the averaged weights for the length of a ``with`` block."""
        own = {key: value.detach().clone() for key, value in network.state_dict().items()}
        network.load_state_dict(self.state)
        try:
            yield
        finally:
            network.load_state_dict(own)
