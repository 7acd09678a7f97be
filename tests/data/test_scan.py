from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scenescope.data.dataset import LabeledImage
from scenescope.data.scan import scan
from scenescope.labels import Classes


class Numbers:
    """Scenes of one pixel, whose number is the label."""

    classes = Classes.named([str(number) for number in range(100)])
    split, root = "train", ""

    def __init__(self, length: int) -> None:
        self.length = length
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return str(index)

    def files(self, index: int) -> tuple[Path, ...]:
        return ()

    def __getitem__(self, index: int) -> LabeledImage:
        self.read.append(index)
        return LabeledImage(np.full((1, 1, 3), index, np.uint8), np.full((1, 1), index, np.uint8), str(index))


@pytest.mark.parametrize("workers", [1, 3])
def test_every_scene_comes_once_and_in_order(workers: int) -> None:
    length = 43
    found = list(scan(Numbers(length), workers, thumbnails=frozenset({1, 40})))
    assert [inspection.name for inspection in found] == [str(number) for number in range(length)]
    assert [inspection.codes for inspection in found] == [{number: 1} for number in range(length)]
    assert [index for index, inspection in enumerate(found) if inspection.thumbnail is not None] == [1, 40]


def test_a_scan_that_is_left_reads_no_further() -> None:
    numbers = Numbers(500)
    reading = scan(numbers, 2)
    next(reading)
    reading.close()
    assert len(numbers.read) < 20
