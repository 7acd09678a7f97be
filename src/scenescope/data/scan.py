"""Every scene of a split looked at once, in order, by several processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from scenescope.data.dataset import SceneDataset
from scenescope.data.inspection import Inspection, inspect_scene
from scenescope.errors import DataError

SCENES_AT_ONCE = 8
"""Scenes that a process takes at a time: fewer cost messages, more make the progress jump."""

SCENES_PER_PROCESS = 64
"""A process takes about a second to start; fewer scenes are faster without it."""


def scan(dataset: SceneDataset, workers: int | None = None, thumbnails: Collection[int] = ()) -> Iterator[Inspection]:
    """Yield what is found in every scene, in order; no more than a few scenes are held at a time.

    Args:
        dataset: the split.
        workers: number of processes; 0 reads in this one, None takes all cores, as far as the scenes are worth it.
        thumbnails: the scenes that an overlay is wanted of.

    Raises:
        DataError: a process was killed.
    """
    if workers is None:
        from scenescope.device import num_cores  # processes that scan need no torch

        workers = min(num_cores(), len(dataset) // SCENES_PER_PROCESS)
        workers = 0 if workers == 1 else workers
    if workers <= 0:
        for index in range(len(dataset)):
            yield inspect_scene(dataset, index, thumbnail=index in thumbnails)
        return
    indices = range(len(dataset))
    parts = [indices[start : start + SCENES_AT_ONCE] for start in indices[::SCENES_AT_ONCE]]
    # Spawned: a fork would copy the locks of the threads that draw the progress.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(dataset, frozenset(thumbnails)))
    try:
        waiting: deque[Future[list[Inspection]]] = deque()
        for part in parts:
            with _interrupts_ignored():
                waiting.append(pool.submit(_inspect, part))
            if len(waiting) > 2 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise DataError(
            f"A process that read split {dataset.split!r} of {dataset.root} was killed, for want of memory or by a "
            "damaged file; try again with --workers 0."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """A process that starts meanwhile ignores Ctrl-C, which reaches all processes: the parent ends its workers."""
    # Only the main thread may change it; what starts in another still ignores Ctrl-C once it is ready.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_dataset: SceneDataset
_thumbnails: frozenset[int]


def _start(dataset: SceneDataset, thumbnails: frozenset[int]) -> None:
    global _dataset, _thumbnails
    _dataset, _thumbnails = dataset, thumbnails
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _inspect(indices: range) -> list[Inspection]:
    return [inspect_scene(_dataset, index, thumbnail=index in _thumbnails) for index in indices]
