from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.ade20k import CLASSES, open_ade20k
from scenescope.data.dataset import notes
from scenescope.errors import DataError, LabelError, SplitError
from scenescope.labels import IGNORE


def write(root: Path, split: str, values: list[int]) -> None:
    for kind, array in (("images", np.zeros((1, len(values), 3))), ("annotations", np.array([values]))):
        folder = root / "ADEChallengeData2016" / kind / split
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array.astype(np.uint8)).save(folder / f"a.{'jpg' if kind == 'images' else 'png'}")


def test_names_in_the_official_order() -> None:
    assert len(CLASSES) == 150
    assert CLASSES.names[:5] == ("wall", "building", "sky", "floor", "tree")
    assert CLASSES.names[149] == "flag"


@pytest.mark.parametrize("below", ["", "ADEChallengeData2016"])
def test_real_scenes_hold_what_their_files_hold(real_data: Callable[[str], Path], below: str) -> None:
    scenes = open_ade20k(str(real_data("samples") / "ade20k" / below), "val")
    assert [scene.name for scene in scenes] == [f"ADE_val_0000000{number}" for number in (1, 2, 3)]
    stored = np.asarray(Image.open(scenes.files(2)[1])).astype(int)
    np.testing.assert_array_equal(scenes[2].labels, np.where(stored == 0, IGNORE, stored - 1))


def test_the_official_names_are_those_of_the_archive(real_data: Callable[[str], Path]) -> None:
    table = real_data("samples") / "ade20k" / "ADEChallengeData2016" / "objectInfo150.txt"
    rows = [line.split("\t") for line in table.read_text().splitlines()[1:]]
    assert CLASSES.names == tuple(row[4].split(",")[0].strip() for row in rows)


def test_0_is_ignored_and_151_is_caught(tmp_path: Path) -> None:
    write(tmp_path, "training", [0, 1, 150])
    assert open_ade20k(str(tmp_path), "train")[0].labels.tolist() == [[IGNORE, 0, 149]]
    write(tmp_path, "training", [151])
    with pytest.raises(LabelError, match="value 151 at pixel"):
        open_ade20k(str(tmp_path), "train")[0]


@pytest.mark.parametrize(
    ("place", "root"),
    [
        ("release_test/testing", ""),
        ("release_test/testing", "ADEChallengeData2016"),
        ("ADEChallengeData2016/release_test/testing", "ADEChallengeData2016"),
        ("ADEChallengeData2016/images/testing", ""),
    ],
)
def test_test_is_found_where_its_archive_is_unpacked(tmp_path: Path, place: str, root: str) -> None:
    write(tmp_path, "validation", [1])
    with pytest.raises(SplitError, match=r"No split 'test' of ADE20K: .*; unpack release_test.zip"):
        open_ade20k(str(tmp_path / root), "test")
    (tmp_path / place).mkdir(parents=True)
    Image.fromarray(np.zeros((1, 2, 3), dtype=np.uint8)).save(tmp_path / place / "ADE_test_00000001.jpg")
    scenes = open_ade20k(str(tmp_path / root), "test")
    assert [(scene.name, scene.labels.tolist()) for scene in scenes] == [("ADE_test_00000001", [[IGNORE, IGNORE]])]
    assert "not the published 3,352" in notes(scenes)[0]
    assert "labels of ADE20K's test split are not public" in notes(scenes)[1]


def test_a_wrong_split_or_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path, "validation", [1])
    with pytest.raises(SplitError, match=r"No split 'train' of ADE20K .* images holds validation"):
        open_ade20k(str(tmp_path), "train")
    with pytest.raises(SplitError, match="No split 'validation'"):
        open_ade20k(str(tmp_path), "validation")
    with pytest.raises(DataError, match="give the folder that holds ADEChallengeData2016/images"):
        open_ade20k(str(tmp_path / "ADEChallengeData2016" / "images" / "validation"), "train")
