"""Evaluating with several processes that a launcher such as torchrun has started."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Protocol

import torch.distributed as distributed
from torch import Tensor

from scenescope.device import meeting_place


@contextlib.contextmanager
def joined_processes() -> Iterator[tuple[int, int]]:
    """Join the processes of a launcher and give (rank, world size); (0, 1) without a launcher."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield 0, 1
        return
    # Only small matrices are exchanged, so gloo does for GPUs too, even where processes share one.
    distributed.init_process_group("gloo")
    try:
        yield distributed.get_rank(), world_size
    finally:
        distributed.destroy_process_group()


def summed(counts: Tensor) -> Tensor:
    """Return the sum of a tensor of counts over all processes of ``torch.distributed``, on its own device."""
    total = counts.to(meeting_place(distributed.get_backend()), copy=True)
    distributed.all_reduce(total)
    return total.to(counts.device)


class Counts(Protocol):
    """What is counted in a pass over a data set."""

    def all_reduce(self) -> None:
        """Add up the counts of all processes."""


def add_up(world_size: int, *counts: Counts | None) -> None:
    """Add up what was counted, as far as anything was, over all processes that ``torch.distributed`` joins."""
    if world_size > 1 and distributed.is_initialized():
        for each in counts:
            if each is not None:
                each.all_reduce()
