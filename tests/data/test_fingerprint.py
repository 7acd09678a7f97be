"""Data are the same wherever they lie, and other data are told by what differs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.fingerprint import END, difference, fingerprint
from scenescope.data.folder import open_folder
from scenescope.errors import DataError
from scenescope.lab.scenes import ScenesDataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of three scenes to train on and one to score; masks are BMPs, whose size never changes."""
    root = tmp_path / "data"
    random = np.random.default_rng(0)
    for split, names in (("train", "abc"), ("val", "d")):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for name in names:
            Image.fromarray(random.integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(
                root / f"images/{split}/{name}.png"
            )
            Image.fromarray(random.integers(0, 3, (64, 80), dtype=np.uint8)).save(root / f"masks/{split}/{name}.bmp")
    (root / "classes.yaml").write_text("names: [road, sky, car]\nvalues: [0, 1, 2]\n")
    return root


def taken(root: Path) -> dict[str, object]:
    return fingerprint(*(open_folder(str(root), split) for split in ("train", "val")))


def test_a_copy_elsewhere_with_other_dates_is_the_same(root: Path, tmp_path: Path) -> None:
    before = taken(root)
    copy = shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)
    for path in copy.rglob("*"):
        os.utime(path, (0, 0))
    assert taken(copy) == before
    assert difference(before, taken(copy)) is None


def test_one_label_of_an_uncompressed_mask_is_noticed_though_its_size_and_date_stay(root: Path) -> None:
    before = taken(root)
    mask = root / "masks" / "train" / "b.bmp"
    state, content = mask.stat(), bytearray(mask.read_bytes())
    content[len(content) // 2] ^= 1
    mask.write_bytes(content)
    os.utime(mask, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert difference(before, taken(root)) == "split train: 1 changed (b)"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"classes.yaml": "names: [sky, road, car]\nvalues: [1, 0, 2]\n"},
         "the classes were road, sky, car and are sky, road, car"),
        ({"classes.yaml": "names: [road, sky, car]\nvalues: [1, 0, 2]\n"},
         "values of the masks mean other classes than before"),
        ({"classes.yaml": "names: [road, sky, car, bus]\nvalues: [0, 1, 2, 3]\n"},
         "the classes were road, sky, car and are road, sky, car, bus"),
        ({"images/train/a.png": None, "masks/train/a.bmp": None}, "split train: 1 removed (a)"),
        ({"images/val/e.png": "images/val/d.png", "masks/val/e.bmp": "masks/val/d.bmp"}, "split val: 1 added (e)"),
        ({"images/train/c.png": "images/train/a.png", "images/train/e.png": "images/train/a.png",
          "masks/train/e.bmp": "masks/train/a.bmp"}, "split train: 1 added (e), 1 changed (c)"),
    ],
)  # fmt: skip
def test_what_differs_is_named(root: Path, change: dict[str, str | None], told: str) -> None:
    before = taken(root)
    for name, content in change.items():
        if content is None:
            (root / name).unlink()
        elif (root / content).is_file() and "\n" not in content:
            shutil.copyfile(root / content, root / name)
        else:
            (root / name).write_text(content)
    assert difference(before, taken(root)) == told


def test_a_large_image_is_known_by_its_size_and_ends(root: Path) -> None:
    image = root / "images" / "train" / "a.png"
    whole = image.read_bytes()
    assert len(whole) > 2 * END + 2
    before = taken(root)
    for position in (0, END - 1, len(whole) - END, len(whole) - 1):
        image.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert difference(before, taken(root)) == "split train: 1 changed (a)", position
    image.write_bytes(whole + b"\0")
    assert difference(before, taken(root)) == "split train: 1 changed (a)"


def test_another_order_is_another_set(root: Path) -> None:
    """Such as that of a list of names: the order of the scenes decides what a step sees."""
    before = taken(root)
    scenes = dict(before["scenes"])  # type: ignore[call-overload]
    turned = before | {"scenes": scenes | {"train": scenes["train"][::-1]}}
    assert difference(before, turned) == "split train: another order"


def test_generated_scenes_are_known_by_their_seed() -> None:
    first, again, other = (fingerprint(ScenesDataset(seed, "train")) for seed in ("3", "3", "4"))
    assert first == again
    assert str(difference(first, other)).startswith("split train: 400 changed")


def test_a_file_that_cannot_be_read_is_named(root: Path) -> None:
    scenes = open_folder(str(root), "train")
    (root / "masks" / "train" / "a.bmp").unlink()
    with pytest.raises(DataError, match=r"Cannot read .*a\.bmp: No such file or directory; repair or remove it\."):
        fingerprint(scenes)
