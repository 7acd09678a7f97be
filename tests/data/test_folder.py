from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.folder import open_folder
from scenescope.errors import DataError, LabelError
from scenescope.labels import IGNORE


def write_pair(root: Path, stem: str, below: str = "", masks: str = "masks") -> None:
    for kind, suffix, array in (
        ("images", ".jpg", np.zeros((4, 6, 3), dtype=np.uint8)),
        (masks, ".png", np.ones((4, 6), dtype=np.uint8)),
    ):
        path = root / kind / below / f"{stem}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "classes.yaml").write_text("names: [background, thing]\n")
    return tmp_path


def names(root: Path, split: str, **options: float) -> list[str]:
    scenes = open_folder(str(root), split, **options)
    return [scenes.name(index) for index in range(len(scenes))]


def refusal(root: Path, split: str = "train", **options: float) -> str:
    with pytest.raises(DataError) as caught:
        open_folder(str(root), split, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("masks", ["masks", "labels"])
def test_a_directory_per_split(root: Path, masks: str) -> None:
    for stem, split in (("b", "train"), ("a", "train"), ("c", "val")):
        write_pair(root, stem, split, masks)
    assert names(root, "train") == ["a", "b"]
    assert names(root, "val") == ["c"]
    assert open_folder(str(root), "val")[0].labels.tolist() == [[1] * 6] * 4
    assert "no split 'test': there are images/train, images/val" in refusal(root, "test")


def test_a_list_per_split_in_every_way_of_writing(root: Path) -> None:
    for stem in ("a", "b", "c.1", "with space", "e"):
        write_pair(root, stem)
    write_pair(root, "deep", below="city")
    shutil.move(root / "masks" / "e.png", root / "masks" / "other.png")
    lines = [
        "b",
        "",
        "a.jpg",
        "images/c.1.jpg",
        "with space",
        "images/e.jpg  masks/other.png",
        "images\\city\\deep.jpg",
    ]
    (root / "train.txt").write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    (root / "val.txt").write_text("c.1\nb a.png\n")
    assert names(root, "train") == ["b", "a", "c.1", "with space", "e", "deep"]
    files = [mask.name for _, mask in open_folder(str(root), "train").pairs]
    assert files == ["b.png", "a.png", "c.1.png", "with space.png", "other.png", "deep.png"]
    assert [mask.name for _, mask in open_folder(str(root), "val").pairs] == ["c.1.png", "a.png"]
    assert "there are images/city, train.txt, val.txt" in refusal(root, "test")


def test_faults_in_a_list_name_the_line_and_the_count(root: Path) -> None:
    write_pair(root, "a")
    write_pair(root, "b")
    (root / "masks" / "b.png").unlink()
    (root / "train.txt").write_text("a\nnone\nb\n")
    message = refusal(root)
    assert f"train.txt, line 2: no image 'none' in {root}/images" in message
    assert "(2 of 3 lines at fault)" in message
    (root / "train.txt").write_text("b\n")
    assert "b.jpg has no mask in" in refusal(root)
    (root / "train.txt").write_text("a\nimages/a.jpg\n")
    assert "line 2" in refusal(root)
    assert "is listed twice" in refusal(root)
    (root / "train.txt").write_text("a masks/none.png\n")
    assert "no mask 'masks/none.png'" in refusal(root)
    (root / "train.txt").write_text(f"{'a' * 5000}\n{'a/' * 5000}\na\0b\n")
    assert "line 1: no image" in refusal(root)
    assert "(3 of 3 lines at fault)" in refusal(root)
    (root / "train.txt").write_bytes(b"\xff\xfe")
    assert "must be a UTF-8 text file" in refusal(root)
    (root / "train.txt").write_text("\n\n")
    assert "Split 'train'" in refusal(root)
    assert "is empty" in refusal(root)


def test_a_drawn_split_is_a_partition_that_depends_on_stems_and_seed_alone(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stems = [f"p{number:02d}" for number in range(20)]
    other = tmp_path_factory.mktemp("other")
    shutil.copy(root / "classes.yaml", other)
    for stem in stems:
        write_pair(root, stem)
    for stem in reversed(stems):
        write_pair(other, stem)
    train, val = names(root, "train", val_fraction=0.3), names(root, "val", val_fraction=0.3)
    assert len(val) == 6
    assert sorted(train + val) == stems
    assert names(other, "val", val_fraction=0.3) == val
    assert names(root, "val", val_fraction=0.3, val_seed=1) != val
    # Worked out with sha256sum: no release or machine may change the images that a score was measured on.
    assert val == ["p00", "p02", "p03", "p10", "p14", "p15"]
    # One more image moves at most one other.
    write_pair(root, "new")
    assert len(set(val) - set(names(root, "val", val_fraction=0.3))) <= 1


def test_a_drawn_split_leaves_none_empty_and_refuses_the_impossible(root: Path) -> None:
    write_pair(root, "a")
    assert "holds 1 pairs" in refusal(root, val_fraction=0.5)
    write_pair(root, "b")
    for fraction in (0.01, 0.99):
        assert len(names(root, "train", val_fraction=fraction)) == len(names(root, "val", val_fraction=fraction)) == 1
    assert "must lie between 0 and 1" in refusal(root, val_fraction=1.0)
    assert "val_fraction makes train and val" in refusal(root, "test", val_fraction=0.5)
    (root / "train.txt").write_text("a\n")
    assert "has splits of its own (train.txt) and val_fraction is given too" in refusal(root, val_fraction=0.5)


def test_without_any_split_the_three_ways_are_told(root: Path) -> None:
    write_pair(root, "a")
    message = refusal(root)
    for words in (
        "images/train and masks/train",
        "train.txt",
        "data.val_fraction=0.2",
        "--val-fraction 0.2",
        "there are no splits",
    ):
        assert words in message


def test_missing_parts_are_named(root: Path) -> None:
    assert "images does not exist" in refusal(root)
    (root / "images" / "train").mkdir(parents=True)
    assert "masks does not exist" in refusal(root)
    (root / "masks").mkdir()
    assert "masks/train does not exist" in refusal(root)
    (root / "masks" / "train").mkdir()
    assert "is empty" in refusal(root)
    (root / "classes.yaml").unlink()
    assert "classes.yaml does not exist; write one" in refusal(root)


LABELMEFACADE = """
names: [building, car, door, pavement, road, sky, vegetation, window]
colors:
  - [128, 0, 0]
  - [128, 0, 128]
  - [128, 128, 0]
  - [128, 128, 128]
  - [128, 64, 0]
  - [0, 128, 128]
  - [0, 128, 0]
  - [0, 0, 128]
ignore: [0, 0, 0]
"""


@pytest.fixture
def facades(root: Path, real_data: Callable[[str], Path]) -> Path:
    source = real_data("samples/labelmefacade")
    for name in ("images", "labels", "train.txt", "test.txt"):
        os.symlink(source / name, root / name)
    (root / "classes.yaml").write_text(LABELMEFACADE)
    return root


def test_real_facades_with_masks_of_16_bit_rgba_colors(facades: Path) -> None:
    train, test = open_folder(str(facades), "train"), open_folder(str(facades), "test")
    assert (len(train), len(test)) == (30, 15)
    counts = np.zeros(256, dtype=np.int64)
    for scene in (*train, *test):
        assert scene.image.shape[:2] == scene.labels.shape
        counts += np.bincount(scene.labels.ravel(), minlength=256)
    assert (counts[:8] > 0).all()
    assert counts[8:IGNORE].sum() == 0
    # Facades: buildings cover most of what is labeled.
    assert counts[:8].argmax() == 0
    # The first mask, pixel by pixel in plain Python.
    mask = Image.open(train.pairs[0][1]).convert("RGB")
    labels = train[0].labels
    for x, y in ((0, 0), (mask.width - 1, mask.height - 1), (mask.width // 2, mask.height // 2), (100, 300)):
        index = int(labels[y, x])
        assert mask.getpixel((x, y)) == ((0, 0, 0) if index == IGNORE else train.classes.palette[index])


def test_a_real_mask_with_an_unlisted_color_is_caught(facades: Path) -> None:
    (facades / "classes.yaml").write_text(LABELMEFACADE.replace("ignore: [0, 0, 0]", "ignore: []"))
    with pytest.raises(
        LabelError, match=r"labels/.*\.png: color \(0, 0, 0\) at pixel .*add it to `colors` or `ignore`"
    ):
        for _ in open_folder(str(facades), "train"):
            pass
