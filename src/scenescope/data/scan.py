"""Every scene of a split looked at once, in order, by several threads: decoding leaves Python's lock to others."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from scenescope.data.dataset import SegmentationDataset
from scenescope.data.inspection import Inspection, inspect_scene


def scan(
    dataset: SegmentationDataset, num_workers: int | None = None, thumbnails: Collection[int] = ()
) -> Iterator[Inspection]:
    """Yield what is found in every scene, in order; no more than a few scenes are held at a time.

    Args:
        dataset: the split.
        num_workers: number of threads; None takes as many as there are cores.
        thumbnails: the scenes that an overlay is wanted of.
    """
    count = max(num_workers, 1) if num_workers is not None else os.cpu_count() or 1
    with ThreadPoolExecutor(count) as pool:
        waiting: deque[Future[Inspection]] = deque()
        try:
            for index in range(len(dataset)):
                waiting.append(pool.submit(inspect_scene, dataset, index, thumbnail=index in thumbnails))
                if len(waiting) > 2 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
