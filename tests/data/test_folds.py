"""Folds hold every scene once, keep copies together, and leave splits alone that a data set has itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.catalog import open_dataset
from scenescope.errors import DataError, SplitError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(9):
        for copy in ("", "_aug1"):
            for kind in ("images", "masks"):
                (tmp_path / kind / "train").mkdir(parents=True, exist_ok=True)
                array = np.full((4, 4), number % 2, np.uint8)
                Image.fromarray(array).save(tmp_path / kind / "train" / f"{number}{copy}.png")
    (tmp_path / "classes.yaml").write_text("names: [a, b]\n")
    return tmp_path


def names(folder: Path, split: str) -> set[str]:
    dataset = open_dataset("folder", str(folder), split)
    assert dataset.split == split
    return {dataset.name(index) for index in range(len(dataset))}


def test_each_scene_is_left_out_once_and_copies_with_it(folder: Path) -> None:
    left_out = [names(folder, f"train-only-{number}of3") for number in (1, 2, 3)]
    assert [len(each) for each in left_out] == [6, 6, 6]
    assert set.union(*left_out) == names(folder, "train")
    for number, each in enumerate(left_out, start=1):
        assert names(folder, f"train-without-{number}of3") == names(folder, "train") - each
        assert {f"{name}_aug1" for name in each if "_" not in name} <= each


def test_a_split_of_that_name_comes_first(folder: Path) -> None:
    (folder / "train-only-1of2.txt").write_text("images/train/3.png masks/train/3.png\n")
    assert names(folder, "train-only-1of2") == {"3"}


@pytest.mark.parametrize("split", ["train-only-0of2", "train-only-3of2", "train-only-1of1"])
def test_a_fold_that_cannot_be_is_refused(folder: Path, split: str) -> None:
    with pytest.raises(SplitError, match="is no fold: write the first of two as train-only-1of2"):
        open_dataset("folder", str(folder), split)


def test_more_folds_than_frames_and_splits_that_are_not_there_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="has 9 frames, too few for 10 folds"):
        open_dataset("folder", str(folder), "train-only-1of10")
    with pytest.raises(SplitError, match="no split 'val'"):
        open_dataset("folder", str(folder), "val-only-1of2")
    with pytest.raises(SplitError, match="Folds are made of files"):
        open_dataset("scenes", "", "train-only-1of2")
