"""Which scenes a step trains on: a pure function of seed and step, so that a run can go on from any step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def step_indices(step: int, batch_size: int, num_scenes: int, seed: int) -> list[int]:
    """Return the scenes of a step: one endless sequence of shuffled epochs, cut into batches."""
    first = step * batch_size
    return [
        int(_epoch_order(position // num_scenes, num_scenes, seed)[position % num_scenes])
        for position in range(first, first + batch_size)
    ]


class StepSampler:
    """Yields the parts of each step for one process, as lists of (step, place in the batch, index).

    Args:
        start: first step.
        steps: step to stop before.
        batch_size: scenes of a step over all processes and parts.
        parts: number of parts (accumulation steps) in a process's share.
        num_scenes: size of the data set.
        seed: of the order.
        rank: this process.
        world_size: number of processes.
    """

    def __init__(
        self,
        *,
        start: int,
        steps: int,
        batch_size: int,
        parts: int,
        num_scenes: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.start, self.steps, self.batch_size, self.parts = start, steps, batch_size, parts
        self.num_scenes, self.seed, self.rank, self.world_size = num_scenes, seed, rank, world_size

    def __len__(self) -> int:
        return (self.steps - self.start) * self.parts

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        share = self.batch_size // (self.world_size * self.parts)
        for step in range(self.start, self.steps):
            indices = step_indices(step, self.batch_size, self.num_scenes, self.seed)
            for part in range(self.parts):
                first = (part * self.world_size + self.rank) * share
                yield [(step, place, indices[place]) for place in range(first, first + share)]


@lru_cache(maxsize=2)
def _epoch_order(epoch: int, num_scenes: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(num_scenes)
