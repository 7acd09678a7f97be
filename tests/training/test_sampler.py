"""Order of scenes: whole epochs, any start, any number of processes."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from scenescope.training.sampler import StepSampler, step_indices


def all_keys(**changes: int) -> list[list[tuple[int, int, int]]]:
    settings = {"start": 0, "steps": 6, "batch_size": 8, "parts": 1, "num_scenes": 11, "seed": 3} | changes
    return list(StepSampler(**settings))


@given(batch_size=st.integers(1, 9), num_scenes=st.integers(1, 13), seed=st.integers(0, 5))
def test_every_epoch_shows_every_scene_once(batch_size: int, num_scenes: int, seed: int) -> None:
    steps = range(3 * num_scenes)
    order = list(itertools.chain(*(step_indices(step, batch_size, num_scenes, seed) for step in steps)))
    for epoch in range(len(order) // num_scenes):
        assert sorted(order[epoch * num_scenes : (epoch + 1) * num_scenes]) == list(range(num_scenes))


def test_starting_later_gives_the_same_steps() -> None:
    assert all_keys(start=4) == all_keys()[4:]


def test_processes_and_parts_share_each_batch() -> None:
    alone = all_keys()
    for world_size, parts in ((2, 1), (1, 4), (2, 2), (4, 2)):
        ranks = [all_keys(rank=rank, world_size=world_size, parts=parts) for rank in range(world_size)]
        for step, batch in enumerate(alone):
            shares = [key for rank in ranks for part in rank[step * parts : (step + 1) * parts] for key in part]
            assert sorted(shares) == sorted(batch)


def test_epochs_and_seeds_differ() -> None:
    first, second = step_indices(0, 11, 11, 3), step_indices(1, 11, 11, 3)
    assert first != second
    assert first != step_indices(0, 11, 11, 4)
