"""What model directories tell of the scenes that a model has learned from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenescope.data.catalog import open_dataset
from scenescope.recipes.reader import load_recipe
from scenescope.workflows.seen import SeenScenes


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / "data" / kind / split).mkdir(parents=True)
            for number in range(2):
                array = np.full((4, 4 + number), number, np.uint8)
                Image.fromarray(array).save(tmp_path / "data" / kind / split / f"{split}{number}.png")
    (tmp_path / "data" / "classes.yaml").write_text("names: [a, b]\n")
    return tmp_path / "data"


def model(place: Path, recipe: object) -> Path:
    place.mkdir()
    (place / "config.json").write_text(json.dumps({"training": {"recipe": recipe}}))
    return place


def recipe(root: Path | str, split: str = "train", kind: str = "folder", init_from: object = None) -> dict[str, Any]:
    settings = [f"data.kind={kind}", f"data.root={root}", f"data.train_split={split}"]
    if init_from is not None:
        settings.append(f"train.init_from={init_from}")
    return load_recipe("folder/danet-lite0", settings).to_dict()


def seen(directory: Path | None, data: Path, split: str) -> list[bool | None]:
    dataset = open_dataset("folder", str(data), split)
    judge = SeenScenes(directory, "folder", str(data))
    return [judge(dataset, index) for index in range(len(dataset))]


def test_scenes_of_the_training_are_seen_and_others_are_not(data: Path, tmp_path: Path) -> None:
    directory = model(tmp_path / "model", recipe(data))
    assert seen(directory, data, "train") == [True, True]
    assert seen(directory, data, "val") == [False, False]


def test_folds_that_were_left_out_are_not_seen(data: Path, tmp_path: Path) -> None:
    directory = model(tmp_path / "model", recipe(data, "train-without-1of2"))
    assert seen(directory, data, "train-only-1of2") == [False]
    assert sorted(map(bool, seen(directory, data, "train"))) == [False, True]


def test_moved_and_copied_data_are_known_again(data: Path, tmp_path: Path) -> None:
    directory = model(tmp_path / "model", recipe(data))
    copied = shutil.copytree(data, tmp_path / "copied")
    assert seen(directory, copied, "train") == [True, True]
    shutil.rmtree(data)
    assert seen(directory, copied, "train") == [True, True]
    assert seen(directory, copied, "val") == [False, False]


def test_what_a_model_began_from_counts_too(data: Path, tmp_path: Path) -> None:
    first = model(tmp_path / "first", recipe(data, "val"))
    second = model(tmp_path / "second", recipe(data, "train", init_from=first))
    assert seen(second, data, "val") == [True, True]
    shutil.rmtree(first)
    assert seen(second, data, "val") == [None, None]
    assert seen(second, data, "train") == [True, True]


@pytest.mark.parametrize("told", ["camvid/box-danet", None, {"data": None}, {"data": []}, []])
def test_a_record_that_tells_nothing_leaves_it_open(told: object, data: Path, tmp_path: Path) -> None:
    assert seen(model(tmp_path / "model", told), data, "val") == [None, None]


def test_no_directory_and_no_record_leave_it_open(data: Path, tmp_path: Path) -> None:
    assert seen(None, data, "train") == [None, None]
    assert seen(tmp_path / "model.onnx", data, "train") == [None, None]


def test_records_of_older_versions_are_read_as_far_as_they_are_needed(data: Path, tmp_path: Path) -> None:
    old = {
        "data": {"kind": "folder", "root": str(data), "cache": True},
        "model": {"remainder": None},
        "train": {"start_from": None},
    }
    directory = model(tmp_path / "model", old)
    assert seen(directory, data, "train") == [True, True]
    assert seen(directory, data, "val") == [False, False]


def test_nothing_is_downloaded_because_a_record_names_it(data: Path, tmp_path: Path) -> None:
    directory = model(tmp_path / "model", recipe(data, init_from="hub:strangers/model"))
    assert seen(directory, data, "val") == [None, None]


def test_other_kinds_of_data_were_not_these(data: Path, tmp_path: Path) -> None:
    assert seen(model(tmp_path / "model", recipe(data, kind="camvid")), data, "train") == [False, False]


def test_generated_scenes_are_known_by_seed_and_name(tmp_path: Path) -> None:
    directory = model(tmp_path / "model", recipe("7", kind="scenes"))
    for root, expected in (("7", True), ("8", False)):
        assert SeenScenes(directory, "scenes", root)(open_dataset("scenes", root, "train"), 0) is expected
