from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from scenescope.data.coco_stuff import CLASSES, IDS, VOC_IDS, open_coco_stuff
from scenescope.data.dataset import notes
from scenescope.data.voc2012 import CLASSES as VOC_CLASSES
from scenescope.errors import DataError, LabelError, SplitError
from scenescope.labels import IGNORE

UNUSED = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91]


def test_ranks_of_the_used_ids() -> None:
    assert sorted({*range(1, 183)} - {*IDS}) == UNUSED
    ranks = {number: rank for rank, number in enumerate(IDS)}
    assert [ranks[number] for number in (1, 11, 13, 90, 92, 182)] == [0, 10, 11, 79, 80, 170]
    assert [CLASSES.names[rank] for rank in (0, 79, 80, 170)] == ["person", "toothbrush", "banner", "wood"]


def test_the_names_are_those_of_the_official_list(real_data: Callable[[str], Path]) -> None:
    lines = (real_data("samples") / "coco_stuff164k" / "labels.txt").read_text().splitlines()
    official = {int(number): name for number, _, name in (line.partition(": ") for line in lines)}
    assert all(official[number] == name for number, name in IDS.items())


def test_vocs_classes_among_the_things() -> None:
    words = {
        "aeroplane": "airplane",
        "diningtable": "dining table",
        "motorbike": "motorcycle",
        "pottedplant": "potted plant",
        "sofa": "couch",
        "tvmonitor": "tv",
    }
    assert [IDS[number] for number in VOC_IDS] == [words.get(name, name) for name in VOC_CLASSES.names[1:]]


@pytest.mark.parametrize(("split", "count"), [("train", 13), ("val", 8)])
def test_real_labels_equal_a_loop(real_data: Callable[[str], Path], split: str, count: int) -> None:
    root = str(real_data("samples") / "coco_stuff164k")
    scenes = open_coco_stuff(root, split)
    assert len(scenes) == count
    stored = np.asarray(Image.open(scenes.files(0)[1]))
    used = list(IDS)
    expected = {value: IGNORE if value == 255 else used.index(value + 1) for value in np.unique(stored).tolist()}
    np.testing.assert_array_equal(scenes[0].labels, np.vectorize(expected.get)(stored))
    for scene, objects in zip(scenes, open_coco_stuff(root, split, classes="voc"), strict=True):
        assert not (objects.labels == IGNORE).any()
        # What is a thing of VOC is so in both; a person is 0 here and 15 there.
        np.testing.assert_array_equal(scene.labels == 0, objects.labels == 15)


def write_10k(root: Path, values: list[int]) -> None:
    for name in ("images", "annotations", "imageLists"):
        (root / name).mkdir(exist_ok=True)
    (root / "imageLists" / "train.txt").write_text("COCO_train2014_000000000077\n")
    Image.fromarray(np.zeros((1, len(values), 3), dtype=np.uint8)).save(
        root / "images" / "COCO_train2014_000000000077.jpg"
    )
    content = {"S": np.array([values], dtype=np.uint8), "names": np.array(["unlabeled", "person"], dtype=object)}
    savemat(root / "annotations" / "COCO_train2014_000000000077.mat", content)


def test_the_10k_edition_counts_from_1(tmp_path: Path) -> None:
    write_10k(tmp_path, [0, 1, 11, 13, 92, 182])
    scenes = open_coco_stuff(str(tmp_path), "train")
    assert scenes[0].labels.tolist() == [[IGNORE, 0, 10, 11, 80, 170]]
    assert "not the published 9,000" in notes(scenes)[0]
    assert open_coco_stuff(str(tmp_path), "train", classes="voc")[0].labels.tolist() == [[0, 15, 0, 0, 0, 0]]


@pytest.mark.parametrize("unused", [12, 183])
def test_an_unused_id_is_caught(tmp_path: Path, unused: int) -> None:
    write_10k(tmp_path, [unused])
    for choice in ("171", "voc"):
        with pytest.raises(LabelError, match=f"value {unused} at pixel"):
            open_coco_stuff(str(tmp_path), "train", classes=choice)[0]


def test_a_wrong_split_or_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images does not exist"):
        open_coco_stuff(str(tmp_path), "train")
    for name in ("images/val2017", "annotations"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(SplitError, match=r"No split 'train' of COCO-Stuff: .*images holds val2017"):
        open_coco_stuff(str(tmp_path), "train")
    (tmp_path / "imageLists").mkdir()
    with pytest.raises(SplitError, match=r"No split 'val' of COCO-Stuff: .*imageLists/val.txt does not exist"):
        open_coco_stuff(str(tmp_path), "val")
