from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from scenescope.data.dataset import FileDataset, notes
from scenescope.data.pascal_context import IDS, LISTED_NAMES, open_pascal_context
from scenescope.errors import DataError, LabelError, SplitError
from scenescope.labels import IGNORE

# What anyone sees in the four sample images: drakes on grass, a dog on a floor, motorbikes, a bus in a street.
SEEN = {
    "2008_008376": {"bird", "grass", "ground", "water", "wood"},
    "2010_003321": {"table", "dog", "person", "cloth", "floor", "wall"},
    "2009_000637": {"background", "motorbike", "person", "grass", "ground", "sky"},
    "2010_000682": {
        "background",
        "bus",
        "car",
        "person",
        "building",
        "grass",
        "light",
        "road",
        "sidewalk",
        "sky",
        "tree",
    },
}


def named(scenes: FileDataset) -> dict[str, set[str]]:
    """The names of the classes in each scene."""
    return {
        scene.name: {scenes.classes.names[label] for label in np.unique(scene.labels) if label != IGNORE}
        for scene in scenes
    }


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2010"])
def test_real_scenes_show_what_anyone_sees(real_data: Callable[[str], Path], below: str) -> None:
    root = str(real_data("samples") / "pascal_context" / below)
    assert named(open_pascal_context(root, "val", classes="60_labels")) == SEEN
    without = {name: classes - {"background"} for name, classes in SEEN.items()}
    assert named(open_pascal_context(root, "val", classes="59_labels")) == without


def test_the_other_order_is_told_as_a_choice(real_data: Callable[[str], Path]) -> None:
    root = str(real_data("samples") / "pascal_context")
    alphabetical = open_pascal_context(root, "val")
    assert "mouse" in named(alphabetical)["2008_008376"]
    assert notes(alphabetical)[1].endswith("they are in the order of 59_labels.txt: choose classes=59_labels.")
    assert notes(open_pascal_context(root, "val", classes="60_labels"))[1].endswith("choose classes=60.")


def test_two_orders_of_the_same_names() -> None:
    names = list(IDS.values())
    assert names == sorted(names)
    assert list(IDS) == sorted(IDS)
    assert len(names) == 59
    assert sorted(LISTED_NAMES) == names
    assert LISTED_NAMES[:3] == ("aeroplane", "bicycle", "bird")
    # An image of a television has 55 in the alphabetical order, and 20 in that of VOC.
    assert (names.index("tvmonitor") + 1, LISTED_NAMES.index("tvmonitor") + 1) == (55, 20)


def tree(root: Path, lists: str = "Main") -> Path:
    folder = root / "VOCdevkit" / "VOC2010"
    for name in ("JPEGImages", f"ImageSets/{lists}"):
        (folder / name).mkdir(parents=True)
    (folder / "ImageSets" / lists / "val.txt").write_text("a\n")
    Image.fromarray(np.zeros((1, 4, 3), dtype=np.uint8)).save(folder / "JPEGImages" / "a.jpg")
    return folder


@pytest.mark.parametrize("place", ["", "VOCdevkit", "VOCdevkit/VOC2010"])
def test_original_ids_need_no_order(tmp_path: Path, place: str) -> None:
    tree(tmp_path)
    (tmp_path / place / "trainval").mkdir()
    savemat(tmp_path / place / "trainval" / "a.mat", {"LabelMap": np.array([[2, 458, 1, 459]], dtype=np.uint16)})
    for choice in ("60", "60_labels"):
        scenes = open_pascal_context(str(tmp_path), "val", classes=choice)
        assert scenes[0].labels.tolist() == [[1, 59, 0, 0]]
        assert [scenes.classes.names[label] for label in (0, 1, 59)] == ["background", "aeroplane", "wood"]
    scenes = open_pascal_context(str(tmp_path), "val")
    assert scenes[0].labels.tolist() == [[0, 58, IGNORE, IGNORE]]
    assert scenes.classes.names[58] == "wood"
    assert len(notes(scenes)) == 1


def test_numbers_above_the_classes_are_caught(tmp_path: Path) -> None:
    folder = tree(tmp_path, "SegmentationContext")
    (folder / "SegmentationClassContext").mkdir()
    Image.fromarray(np.array([[0, 1, 59, 60]], dtype=np.uint8)).save(folder / "SegmentationClassContext" / "a.png")
    with pytest.raises(LabelError, match="value 60 at pixel"):
        open_pascal_context(str(tmp_path), "val")[0]


def test_no_masks_or_no_split_is_told(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    with pytest.raises(DataError, match=r"No masks of PASCAL Context: .*SegmentationClassContext does not exist"):
        open_pascal_context(str(tmp_path), "val")
    (folder / "SegmentationClassContext").mkdir()
    with pytest.raises(SplitError, match=r"No split 'train' of PASCAL Context: .* splits there: val"):
        open_pascal_context(str(tmp_path), "train")
    with pytest.raises(DataError, match=r"SegmentationClassContext/a.png does not exist"):
        open_pascal_context(str(tmp_path), "val")
