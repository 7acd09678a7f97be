"""Reading scenes with worker processes, such that errors arrive as they were raised and nothing is waited for in vain.

Each worker has a pipe of its own: it is sent the keys of a batch and answers with the batch or with an error. So a
batch cannot be lost on its way, a worker that has died is the end of its pipe, and neither shared memory (64 MB in a
container) nor open files grow with what is read. Warnings come along, and are told once and not by each worker.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal, TypeVar

import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from scenescope.errors import DataError, ScenescopeError

Sample = tuple[torch.Tensor, torch.Tensor, str]
Batch = tuple[torch.Tensor, torch.Tensor, list[str]]
StartMethod = Literal["fork", "spawn", "forkserver"]
Item = TypeVar("Item")
Result = TypeVar("Result")

SECONDS_BETWEEN_LOOKS = 0.5
"""How often the parent looks, while it waits for a batch, whether it is asked to end."""


def load_batches(
    dataset: Dataset[Sample],
    batches: Iterable[list[Any]],
    num_workers: int,
    start_method: StartMethod | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Batch]:
    """Yield stacked images B x 3 x H x W, labels B x H x W and names for each list of keys, in order.

    The global random generators are neither read nor advanced.

    Args:
        dataset: gives a sample for a key.
        batches: lists of keys; samples of one list have the same size.
        num_workers: number of processes; 0 reads in this one.
        start_method: how workers start; Python's default when not given.
        stop: asked before each batch and while it is waited for; True ends the batches.

    Raises:
        ScenescopeError: the one raised while reading a sample, or a worker has died or cannot be started.
    """
    reader = _read(dataset, batches, num_workers, start_method, stop)
    _open_readers.add(reader)
    return reader


def read_ahead(
    reader: Executor, read: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Future[Result]]]:
    """Yield each item when the reading of the next has begun.

    Args:
        reader: where ``read`` is called, of one thread.
    """
    remaining = iter(items)
    held: tuple[Item, Future[Result]] | None = None
    while True:
        try:
            item = next(remaining)
        except BaseException as error:  # Ctrl-C as well: what is read already is worked on first
            if held is not None:
                yield held
            if isinstance(error, StopIteration):
                return
            raise
        ahead = item, reader.submit(read, item)
        if held is not None:
            yield held
        held = ahead


_told: dict[Any, Any] = {}
"""What workers have warned of."""

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
    num_workers: int,
    start_method: StartMethod | None,
    stop: Callable[[], bool] | None,
) -> Generator[Batch]:
    if num_workers == 0:
        for keys in batches:
            if stop is not None and stop():
                return
            yield _batch(dataset, keys)
        return
    remaining = iter(batches)
    with contextlib.ExitStack() as stack:
        # Each has one batch, read or being read: so none is sent keys while it sends a batch.
        waited_for: deque[_Worker] = deque()
        for worker, keys in zip(_start(dataset, num_workers, start_method, stack), remaining, strict=False):
            worker.ask(keys)
            waited_for.append(worker)
        while waited_for:
            worker = waited_for.popleft()
            answered = False
            while not answered:
                answered = worker.has_answered()
                if stop is not None and stop():
                    return
            answer, told = worker.answer()
            for message, category, file, line in told:
                warnings.warn_explicit(message, category, file, line, registry=_told)
            if (following := next(remaining, None)) is not None:
                worker.ask(following)
                waited_for.append(worker)
            if isinstance(answer, BaseException):
                raise answer
            yield _unpacked(answer)


@dataclass
class _Worker:
    """A process that reads batches, as its parent sees it."""

    process: BaseProcess
    pipe: Connection

    def ask(self, keys: list[Any]) -> None:
        """Send the keys of a batch."""
        with self._death():
            self.pipe.send(keys)

    def has_answered(self) -> bool:
        """Wait a moment for the batch, or the end of the process, and tell whether it is there."""
        return self.pipe.poll(SECONDS_BETWEEN_LOOKS)

    def answer(self) -> Any:
        """Return what the process has answered."""
        with self._death():
            return self.pipe.recv()

    def end(self) -> None:
        """End the process here and now."""
        self.process.kill()
        self.process.join()

    @contextlib.contextmanager
    def _death(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            self.process.join(SECONDS_BETWEEN_LOOKS)
            code = self.process.exitcode
            how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
            raise ScenescopeError(
                f"A process that reads images {how}, most often for want of memory; try again with fewer of them"
                " (train.num_workers, --num-workers; 0 reads in the main process)."
            ) from error


def _start(
    dataset: Dataset[Sample], count: int, start_method: StartMethod | None, stack: contextlib.ExitStack
) -> list[_Worker]:
    """Start processes that the stack ends."""
    context: Any = multiprocessing.get_context(start_method)
    started = []
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            stack.callback(ours.close)
            with theirs:  # only the worker keeps its end, so that its death is the end of the pipe
                process = context.Process(target=_work, args=(dataset, theirs, ours), daemon=True)
                process.start()
            started.append(_Worker(process, ours))
            stack.callback(started[-1].end)
    except OSError as error:
        raise ScenescopeError(
            f"Cannot start {count} processes to read images ({error.strerror or error}); try again with fewer of them"
            " (train.num_workers, --num-workers; 0 reads in the main process)."
        ) from error
    return started


def _work(dataset: Dataset[Sample], pipe: Connection, parents_end: Connection) -> None:
    """Answer with batches until the parent ends this process."""
    parents_end.close()
    _init_worker()
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, ConnectionError):  # the parent has ended
        while True:
            keys = pipe.recv()
            with warnings.catch_warnings(record=True) as caught:
                try:
                    answer: Any = _packed(_batch(dataset, keys))
                except Exception as error:  # whatever it is, it is raised where the batch is waited for
                    if not isinstance(error, ScenescopeError):  # a fault of ours: tell where
                        error.add_note(traceback.format_exc())
                    answer = error
            pipe.send((answer, [(each.message, each.category, each.filename, each.lineno) for each in caught]))


def _batch(dataset: Dataset[Sample], keys: list[Any]) -> Batch:
    try:
        samples = [dataset[key] for key in keys]
    except (MemoryError, RuntimeError) as error:
        # torch's allocator for the CPU raises a plain RuntimeError.
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error):
            raise
        raise DataError("An image needs more memory than there is to read it; scale it down or crop less.") from error
    return _collate(samples)


def _collate(samples: list[Sample]) -> Batch:
    images, labels, names = zip(*samples, strict=True)
    # The channels of a pixel lie side by side, as in the files: whole rows are copied and not single numbers.
    stacked = torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)
    return stacked, torch.stack(labels), list(names)


Packed = tuple[NDArray[Any], NDArray[Any], list[str]]


def _packed(batch: Batch) -> Packed:
    """Return a batch as arrays: torch would send its tensors through shared memory."""
    images, labels, names = batch
    return images.permute(0, 2, 3, 1).numpy(), labels.numpy(), names


def _unpacked(packed: Packed) -> Batch:
    images, labels, names = packed
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels), names


def _init_worker() -> None:
    """Leave Ctrl-C and SIGTERM, which reach the whole process group, to the parent, and end when it has ended.

    The end of the pipe does not tell: workers that were forked later hold copies of the parent's end. Nor does the
    process that started the worker: a fork server, Python's default on Linux from 3.14 on, outlives a killed parent for
    as long as one of its workers lives, and they live for as long as it does.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
