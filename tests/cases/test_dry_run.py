"""What would stop a training is told by its dry run, and by the training itself before a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Scenescope = Callable[..., Any]

QUICK = [
    "folder/danet-lite0",
    "model.backbone=resnet10t",
    "model.pretrained=false",
    "model.output_stride=32",
    "augment.crop=[32,32]",
    "train.steps=1",
    "train.batch_size=2",
    "train.num_workers=0",
    "train.precision=float32",
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of three scenes to train on and two to score, of 40 x 30 pixels."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2)):
        for kind in ("images", "masks"):
            (tmp_path / "data" / kind / split).mkdir(parents=True)
        for number in range(count):
            image = generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "data" / "images" / split / f"{number}.png")
            mask = (np.arange(1200).reshape(30, 40) % 40 > 20).astype(np.uint8)
            Image.fromarray(mask).save(tmp_path / "data" / "masks" / split / f"{number}.png")
    (tmp_path / "data" / "classes.yaml").write_text("names: [left, right]\nignore: 255\n")
    return tmp_path / "data"


def void(data: Path, split: str) -> None:
    for path in (data / "masks" / split).iterdir():
        Image.fromarray(np.full((30, 40), 255, np.uint8)).save(path)


def cut(data: Path, kind: str, split: str) -> None:
    path = data / kind / split / "0.png"
    path.write_bytes(path.read_bytes()[:60])


def wrong(data: Path) -> None:
    Image.fromarray(np.full((30, 40), 9, np.uint8)).save(data / "masks" / "val" / "1.png")


STUMBLES: dict[str, tuple[Callable[[Path], Any], list[str], str]] = {
    "val has no label (dry run said yes)": (
        lambda data: void(data, "val"),
        [],
        "No pixel of the 2 scenes of split 'val'",
    ),
    "train has none": (lambda data: void(data, "train"), [], "No pixel of the 3 scenes of split 'train'"),
    "the first image is cut short": (lambda data: cut(data, "images", "train"), [], "images/train/0.png"),
    "the first mask to score is cut short": (lambda data: cut(data, "masks", "val"), [], "masks/val/0.png"),
    "a value that is no class": (wrong, [], "masks/val/1.png: value 9 at pixel (x=0, y=0)"),
    "one value for a batch norm": (
        lambda data: None,
        ["model.name=pspnet", "train.batch_size=1"],
        "A batch norm sees one value per channel (1 image of 32 x 32)",
    ),
    "no model to start from": (lambda data: None, ["train.init_from=~/none"], "There is no model at"),
    "no directory to write into": (lambda data: (data.parent / "out").write_text("in the way"), [], "out"),
}


@pytest.mark.parametrize("case", STUMBLES)
def test_a_stumble_is_told_beforehand(case: str, data: Path, scenescope: Scenescope) -> None:
    change, settings, words = STUMBLES[case]
    change(data)
    arguments = ["train", *QUICK, f"data.root={data}", *settings, "--output", data.parent / "out", "--device", "cpu"]
    before = sorted(data.parent.rglob("*"))
    for ending in (["--dry-run"], []):
        result = scenescope(*arguments, *ending)
        assert result.exit_code == 2, result.output
        (line,) = result.errors.splitlines()
        assert line.startswith("error: ")
        assert words in line
        assert sorted(data.parent.rglob("*")) == before


def test_memory_is_told_as_the_process_will_show_it(data: Path, scenescope: Scenescope) -> None:
    result = scenescope("train", *QUICK, f"data.root={data}", "train.norm=frozen", "--dry-run")
    assert result.exit_code == 0
    assert "Memory: at least 8" in result.output
    assert "MiB for one process (torch itself about 700, weights 2" in result.output


def test_copies_of_frames_in_both_splits_are_told(data: Path, scenescope: Scenescope) -> None:
    for split, copies in (("train", "abc"), ("val", "de")):
        for number, copy in enumerate(copies):
            for kind in ("images", "masks"):
                path = data / kind / split / f"{number}.png"
                path.rename(path.with_name(f"frame_jpg.rf.00{copy}.png"))
    result = scenescope("train", *QUICK, f"data.root={data}", "--dry-run")
    assert result.exit_code == 0
    assert "2 of 2 scenes of val are copies of frames of train by their names" in result.output


@pytest.mark.parametrize("key", ["patience", "epochs", "wandb", "freeze_backbone", "mask_suffix"])
def test_what_other_tools_have_is_no_misspelling(key: str, scenescope: Scenescope) -> None:
    """geoai#322, mmsegmentation#3422: ``patience`` was taken for ``optimizer``, ``wandb`` for ``seed``."""
    for section in ("train.", "model.", "data.", ""):
        result = scenescope("train", "scenes/danet-demo", f"{section}{key}=1", "--dry-run")
        assert result.exit_code == 2
        assert f"{section}{key} is not a setting" in result.errors
        assert "Did you mean" not in result.errors
