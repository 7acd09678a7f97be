"""Sums and gathers over the processes of a training; with one process they change nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

import torch.distributed
from torch import Tensor

T = TypeVar("T")


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


def join_after_restart(device: torch.device) -> None:
    """Join the other processes when torch's launcher has started all of them anew.

    Its store outlives them and still holds the addresses of those that have ended; who reads one before its successor
    has written its own waits for nobody. So every attempt writes under a name of its own.
    """
    attempt, world_size = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), os.environ.get("WORLD_SIZE", "1")
    if attempt == "0" or world_size == "1" or torch.distributed.is_initialized():
        return
    store, rank, count = next(torch.distributed.rendezvous("env://"))  # type: ignore[attr-defined]
    torch.distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=torch.distributed.PrefixStore(f"attempt-{attempt}", store),  # type: ignore[attr-defined]
        rank=rank,
        world_size=count,
    )
