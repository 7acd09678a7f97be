"""The processes of a training: how they meet, sums and gathers over them; with one process those change nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from scenescope.device import require_own_gpu, traits, use

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """The processes that train one network together, as one of them sees them.

    Attributes:
        device: what this one computes on.
        rank: which of them this is, from 0.
        world_size: how many there are.
    """

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and tells what happens."""
        return self.rank == 0

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Return the network such that a backward pass leaves the mean of all processes' gradients."""
        return network if self.world_size == 1 else DistributedDataParallel(network)

    def apart(self, model: nn.Module) -> contextlib.AbstractContextManager[None]:
        """Within a ``with`` block, let a wrapped network keep its gradients to itself."""
        alone: contextlib.AbstractContextManager[None] = (
            model.no_sync() if isinstance(model, DistributedDataParallel) else contextlib.nullcontext()
        )
        return alone

    def wait(self) -> None:
        """Wait until all are here."""
        if self.world_size > 1:
            torch.distributed.barrier()


def join_processes(device: torch.device) -> Processes:
    """Join the processes that a launcher such as torchrun has started, or be alone without one.

    Raises:
        DeviceError: there are more of them on this machine than GPUs.
    """
    rank, world_size = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    use(device)
    if world_size == 1:
        return Processes(device)
    require_own_gpu(device)
    if not torch.distributed.is_initialized():
        # When the launcher starts all anew, its store outlives them and still holds the addresses of those that have
        # ended; who reads one before its successor has written its own waits for nobody. So every attempt writes under
        # a name of its own.
        store, _, _ = next(torch.distributed.rendezvous("env://"))  # type: ignore[attr-defined]
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        torch.distributed.init_process_group(
            traits(device).collectives,
            store=torch.distributed.PrefixStore(f"attempt-{attempt}", store),  # type: ignore[attr-defined]
            rank=rank,
            world_size=world_size,
        )
    return Processes(device, rank, world_size)


def sum_over_processes(tensor: Tensor) -> Tensor:
    """Return the elementwise sum of a tensor over all processes."""
    if not _several():
        return tensor
    summed = tensor.clone()
    torch.distributed.all_reduce(summed)
    return summed


def share_from_first(tensors: Iterable[Tensor]) -> None:
    """Give every process the values that the first process has."""
    if _several():
        for tensor in tensors:
            torch.distributed.broadcast(tensor, src=0)


def gather_objects(value: T) -> list[T]:
    """Return the value of every process, in order of rank."""
    if not _several():
        return [value]
    values: list[T | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def share_object(value: T) -> T:
    """Return the value that the first process has."""
    return gather_objects(value)[0]


def _several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
