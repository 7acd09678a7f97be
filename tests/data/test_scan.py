from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from scenescope.data.dataset import Scene
from scenescope.data.scan import SCENES_AT_ONCE, SCENES_PER_PROCESS, scan
from scenescope.errors import DataError
from scenescope.labels import Classes


class Numbers:
    """Scenes of one pixel, whose number is the label; reading one of them may kill the process."""

    classes = Classes.named([str(number) for number in range(100)])
    split, root = "train", ""

    def __init__(self, length: int, deadly: int | None = None) -> None:
        self.length, self.deadly = length, deadly

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return str(index)

    def files(self, index: int) -> tuple[Path, ...]:
        return ()

    def __getitem__(self, index: int) -> Scene:
        if index == self.deadly:
            os._exit(1)
        return Scene(np.full((1, 1, 3), index, np.uint8), np.full((1, 1), index, np.uint8), str(index))


@pytest.mark.parametrize("workers", [0, 2])
def test_every_scene_comes_once_and_in_order(workers: int) -> None:
    length = 5 * SCENES_AT_ONCE + 3
    found = list(scan(Numbers(length), workers, thumbnails=frozenset({1, 40})))
    assert [inspection.name for inspection in found] == [str(number) for number in range(length)]
    assert [inspection.codes for inspection in found] == [{number: 1} for number in range(length)]
    assert [index for index, inspection in enumerate(found) if inspection.thumbnail is not None] == [1, 40]


def test_few_scenes_are_read_in_this_process() -> None:
    found = scan(Numbers(2 * SCENES_PER_PROCESS - 1))
    next(found)
    assert not multiprocessing.active_children()


def test_a_process_that_dies_is_told_and_one_that_is_left_ends() -> None:
    with pytest.raises(DataError, match=r"A process that read split 'train' of .* was killed, .* --workers 0"):
        list(scan(Numbers(20, deadly=11), 1))
    reading = scan(Numbers(50), 1)
    next(reading)
    reading.close()
    assert not multiprocessing.active_children()
