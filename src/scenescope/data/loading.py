"""Reading scenes with worker processes, such that errors arrive as they were raised."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
import warnings
import weakref
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader, Dataset

from scenescope.errors import DataError, ScenescopeError

Sample = tuple[torch.Tensor, torch.Tensor, str]
Batch = tuple[torch.Tensor, torch.Tensor, list[str]]


def load_batches(
    dataset: Dataset[Sample],
    batches: Iterable[list[Any]],
    workers: int,
    start_method: Literal["fork", "spawn", "forkserver"] | None = None,
) -> Iterator[Batch]:
    """Yield stacked images B x 3 x H x W, labels B x H x W and names for each list of keys, in order.

    The global random generators are neither read nor advanced.

    Args:
        dataset: gives a sample for a key.
        batches: lists of keys; samples of one list have the same size.
        workers: number of processes; 0 reads in this one.
        start_method: how workers start; torch's default when not given.

    Raises:
        ScenescopeError: the one raised while reading a sample.
    """
    reader = _read(dataset, batches, workers, start_method)
    _open_readers.add(reader)
    return reader


_open_readers: weakref.WeakSet[Generator[Batch]] = weakref.WeakSet()


@atexit.register
def _close_open_readers() -> None:
    """End the workers of every reader that is still held when Python exits.

    Python itself would send them SIGTERM, which they leave to their parent, and wait for them without end.
    """
    for reader in list(_open_readers):
        reader.close()


def _read(
    dataset: Dataset[Sample],
    batches: Iterable[list[Any]],
    workers: int,
    start_method: Literal["fork", "spawn", "forkserver"] | None,
) -> Generator[Batch]:
    others = set(multiprocessing.active_children())
    with warnings.catch_warnings():
        # More workers than cores is the user's choice.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        loader: DataLoader[Any] = DataLoader(
            _Caught(dataset),
            batch_sampler=_Once(batches),
            num_workers=workers,
            collate_fn=_collate,
            worker_init_fn=_live_and_die_with_parent,
            # Without one of its own the loader would draw from the global generator.
            generator=torch.Generator().manual_seed(0),
            multiprocessing_context=start_method if workers else None,
        )
        batches_read = iter(loader)
    processes = set(multiprocessing.active_children()) - others
    try:
        for batch in batches_read:
            if isinstance(batch, ScenescopeError):
                raise batch
            yield batch
    finally:
        # Here and now: an error's traceback would keep this frame, and with it the workers.
        del batches_read
        # torch's way of asking workers to end fails when the garbage collector comes first, and then it sends SIGTERM.
        for process in processes:
            process.kill()
            process.join()


class _Caught(Dataset[Any]):
    """Returns an error in place of raising it: torch would wrap it in a page of text."""

    def __init__(self, dataset: Dataset[Sample]) -> None:
        self.dataset = dataset

    def __getitem__(self, key: Any) -> Sample | ScenescopeError:
        try:
            return self.dataset[key]
        except ScenescopeError as error:
            return error
        except (MemoryError, RuntimeError) as error:
            # torch's allocator for the CPU raises a plain RuntimeError.
            if not isinstance(error, MemoryError) and "allocate memory" not in str(error):
                raise
            return DataError("A picture needs more memory than there is to read it; scale it down or crop less.")


class _Once:
    """A batch sampler of unknown length."""

    def __init__(self, batches: Iterable[list[Any]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[Any]]:
        return iter(self.batches)


def _collate(samples: list[Sample | ScenescopeError]) -> Batch | ScenescopeError:
    for sample in samples:
        if isinstance(sample, ScenescopeError):
            return sample
    images, labels, names = zip(*samples, strict=True)
    # The channels of a pixel lie side by side, as in the files: whole rows are copied and not single numbers.
    stacked = torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)
    return stacked, torch.stack(labels), list(names)


def _live_and_die_with_parent(worker: int) -> None:
    """Leave Ctrl-C, which reaches the whole process group, to the parent, and end when the parent has ended.

    torch's own watch asks whether the process that started the worker has changed. That is the parent only when it
    forked the worker: a fork server, Python's default on Linux from 3.14 on, outlives a killed parent for as long as
    one of its workers lives, and they live for as long as it does.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
