"""Folders as other tools leave them: read, or told what they are and what makes them readable."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Scenescope = Callable[..., Any]


def write(path: Path, number: int = 0, mask: bool = False) -> None:
    """Write an image of its own, or a mask of halves of 0 and 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(np.repeat(np.arange(8, dtype=np.uint8)[None] // 4, 6, 0) if mask else image).save(path)


def write_pairs(root: Path, image: str, mask: str, scenes: int = 3) -> None:
    """Write pairs for train and val, as two patterns of ``split`` and ``name`` say."""
    for split in ("train", "val"):
        for number in range(scenes):
            names = {"split": split, "name": f"{split}{number}"}
            write(root / image.format(**names), 10 * number + (split == "val"))
            write(root / mask.format(**names), mask=True)
    (root / "classes.yaml").write_text("names: [left, right]\n")


READ = {
    "dsgoficial PR#194: folders below train": ("images/{split}/city/{name}.jpg", "masks/{split}/city/{name}.png"),
    "folders of folders": ("images/{split}/a/b.c/{name}.jpg", "labels/{split}/a/b.c/{name}.png"),
    "mmseg: img_dir and ann_dir": ("img_dir/{split}/{name}.jpg", "ann_dir/{split}/{name}.png"),
    "datumaro PR#1572: train/images and train/masks": ("{split}/images/{name}.jpg", "{split}/masks/{name}.png"),
    "train/images and train/labels": ("{split}/images/{name}.jpg", "{split}/labels/{name}.png"),
}


@pytest.mark.parametrize("case", READ)
def test_layouts_that_are_read(case: str, tmp_path: Path, scenescope: Scenescope) -> None:
    write_pairs(tmp_path, *READ[case])
    result = scenescope("check", f"folder:{tmp_path}", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    splits = json.loads((tmp_path / "out" / "check.json").read_text())["splits"]
    assert [(split["scenes"], split["pixels"]) for split in splits] == [(3, {"left": 72, "right": 72})] * 2


NAMED = {
    "roboflow/notebooks#23: masks beside images": ("{split}/{name}.jpg", "{split}/{name}_mask.png"),
    "cellpose#667: a suffix": ("images/{split}/{name}.jpg", "masks/{split}/{name}_mask.png"),
    "mmseg PR#3091: x.jpg.png": ("images/{split}/{name}.jpg", "masks/{split}/{name}.jpg.png"),
    "a prefix": ("images/{split}/{name}.jpg", "masks/{split}/mask_{name}.png"),
    "two suffixes": ("images/{split}/{name}_sat.jpg", "masks/{split}/{name}_mask.png"),
    "leftImg8bit and gtFine": ("images/{split}/{name}_leftImg8bit.png", "masks/{split}/{name}_gtFine_labelIds.png"),
    "masks beside images in images": ("images/{split}/{name}.jpg", "images/{split}/{name}_L.png"),
    "Mask_RCNN#2784": ("Object_Images/{name}.png", "Object_Segmented_Masks/{name}_seg_mask.png"),
    "Image_Segmentation#67": ("{split}/{name}.jpg", "{split}_GT/{name}.png"),
    "ISIC": ("ISIC_Input/ISIC_{name}.jpg", "ISIC_GroundTruth/ISIC_{name}_segmentation.png"),
    "folders of their own": ("photos/{split}/{name}.jpg", "gt/{split}/{name}.png"),
}


@pytest.mark.parametrize("case", NAMED)
def test_layouts_that_are_told_with_the_list_that_reads_them(case: str, tmp_path: Path, scenescope: Scenescope) -> None:
    image, mask = NAMED[case]
    write_pairs(tmp_path, image, mask)
    result = scenescope("check", f"folder:{tmp_path}")
    assert result.exit_code == 2
    (told,) = [line for line in result.output.splitlines() if line.startswith("fault:") and "train.txt" in line]
    # The line that it shows, written for all, is what makes the folder fit.
    example = re.search(r"such as '([^']*)'", told)
    assert example is not None
    assert example[1] in {
        f"{image.format(split='train', name=name)} {mask.format(split='train', name=name)}"
        for name in ("train0", "train1", "train2")
    }
    for split in ("train", "val"):
        lines = [example[1].replace("train", split)]
        lines = [re.sub(rf"({split})\d", rf"\g<1>{number}", lines[0]) for number in range(3)]
        (tmp_path / f"{split}.txt").write_text("\n".join(lines))
    result = scenescope("check", f"folder:{tmp_path}")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("mask", ["{split}{number}_{kind}.png", "{kind}/{split}{number}.png"])
def test_one_png_for_each_class_is_told(mask: str, tmp_path: Path, scenescope: Scenescope) -> None:
    """label-studio#8561, cvat#7058: a mask for each brush or class."""
    write_pairs(tmp_path, "images/{split}/{name}.jpg", "images/{split}/{name}.jpg", scenes=12)
    for split in ("train", "val"):
        for kind in ("car", "road"):
            for number in range(12):
                name = mask.format(split=split, kind=kind, number=number)
                write(tmp_path / "masks" / split / name, mask=True)
    result = scenescope("check", f"folder:{tmp_path}")
    assert result.exit_code == 2
    assert "There are several masks for each image, such as masks/train/" in result.output
    assert "join those of an image into one PNG" in result.output


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("labels/{split}/{name}.txt", "holds YOLO segmentation: scenescope import"),
        ("labels/{split}/{name}.json", "scenescope import FOLDER OUT makes masks of what most tools write"),
        ("images/{split}/{name}.json", "scenescope import FOLDER OUT makes masks of what most tools write"),
        ("annotations/instances_{split}.json", "scenescope import FOLDER OUT makes masks of what most tools write"),
    ],
)
def test_outlines_are_told_to_be_none_of_masks(place: str, words: str, tmp_path: Path, scenescope: Scenescope) -> None:
    """ultralytics#24967, SkylineDet#9: polygons in the place of masks."""
    write_pairs(tmp_path, "images/{split}/{name}.jpg", "images/{split}/{name}.jpg")
    for split in ("train", "val"):
        for number in range(3):
            path = tmp_path / place.format(split=split, name=f"{split}{number}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("0 0.1 0.1 0.5 0.5 0.2 0.9\n")
    result = scenescope("train", "folder/danet-lite0", f"data.root={tmp_path}", "--dry-run")
    assert result.exit_code == 2
    assert words in result.errors


@pytest.mark.parametrize(
    ("image", "mask", "told"),
    [
        ("JPEGImages/{name}.jpg", "SegmentationClass/{name}.png", "holds Pascal VOC masks: scenescope import"),
        (
            "images/{split}/{name}.jpg",
            "masks/{split}/task-{name}-annotation-1-by-1-tag-car-0.png",
            "holds Label Studio masks by class: scenescope import",
        ),
    ],
)
def test_the_format_of_a_tool_is_told(image: str, mask: str, told: str, tmp_path: Path, scenescope: Scenescope) -> None:
    for split in ("train", "val"):
        for number in range(3):
            write(tmp_path / image.format(split=split, name=f"{split}{number}"), number)
            name = number + 1 if "task" in mask else f"{split}{number}"
            write(tmp_path / mask.format(split=split, name=name), mask=True)
    (tmp_path / "classes.yaml").write_text("names: [left, right]\n")
    result = scenescope("check", f"folder:{tmp_path}")
    assert result.exit_code == 2
    assert told in result.output


@pytest.mark.parametrize("separator", ["\t", ",", ", ", ";", " ", "  "])
def test_lists_of_names_with_spaces(separator: str, tmp_path: Path, scenescope: Scenescope) -> None:
    write_pairs(tmp_path, "my images/{name} of mine.jpg", "my masks/{name} of mine, {split} mask.png")
    for split in ("train", "val"):
        lines = [
            f"my images\\{split}{number} of mine.jpg{separator}.\\my masks\\{split}{number} of mine, {split} mask.png"
            for number in range(3)
        ]
        (tmp_path / f"{split}.txt").write_text("\r\n".join(lines) + "\r\n")
    result = scenescope("check", f"folder:{tmp_path}")
    assert result.exit_code == 0, result.output


def test_lists_of_voc_begin_with_a_slash(tmp_path: Path, scenescope: Scenescope) -> None:
    write_pairs(tmp_path, "JPEGImages/{name}.jpg", "SegmentationClassAug/{name}.png")
    for split in ("train", "val"):
        lines = [f"/JPEGImages/{split}{number}.jpg /SegmentationClassAug/{split}{number}.png" for number in range(3)]
        (tmp_path / f"{split}.txt").write_text("\n".join(lines))
    assert scenescope("check", f"folder:{tmp_path}").exit_code == 0


def test_what_systems_put_among_images_is_passed_over(tmp_path: Path, scenescope: Scenescope) -> None:
    """spatialdata-io#260, Deep_Object_Pose#223, a NAS: ._x, Thumbs.db, .ipynb_checkpoints, @eaDir."""
    write_pairs(tmp_path, "images/{split}/{name}.jpg", "masks/{split}/{name}.png")
    for split in ("train", "val"):
        (tmp_path / "images" / split / f"._{split}0.jpg").write_bytes(b"\0\5\26\7")
        (tmp_path / "images" / split / "Thumbs.db").write_bytes(b"\xd0\xcf")
        write(tmp_path / "images" / split / ".ipynb_checkpoints" / f"{split}0-checkpoint.jpg")
        write(tmp_path / "images" / split / "@eaDir" / f"{split}0.jpg" / "SYNOPHOTO_THUMB_M.jpg")
    result = scenescope("check", f"folder:{tmp_path}")
    assert result.exit_code == 0, result.output


def test_images_beside_the_folders_of_splits_are_told(tmp_path: Path, scenescope: Scenescope) -> None:
    write_pairs(tmp_path, "images/{split}/{name}.jpg", "masks/{split}/{name}.png")
    write(tmp_path / "images" / "left.jpg")
    result = scenescope("check", f"folder:{tmp_path}")
    assert result.exit_code == 0
    assert f"1 images directly in {tmp_path / 'images'} belong to no split." in result.output
    # One in a folder below has to have its mask.
    write(tmp_path / "images" / "train" / "more" / "left.jpg")
    result = scenescope("check", f"folder:{tmp_path}")
    assert "more/left.jpg has no mask in" in result.output


def test_another_name_of_a_split_is_told(tmp_path: Path, scenescope: Scenescope) -> None:
    write_pairs(tmp_path, "images/{split}/{name}.jpg", "masks/{split}/{name}.png")
    for kind in ("images", "masks"):
        (tmp_path / kind / "val").rename(tmp_path / kind / "valid")
    result = scenescope("check", f"folder:{tmp_path}")
    assert result.exit_code == 2
    assert "there are images/train, images/valid" in result.output
    assert "--split" in result.output
    assert scenescope("check", f"folder:{tmp_path}", "--split", "train", "--split", "valid").exit_code == 0


def test_names_as_a_mapping_from_numbers(tmp_path: Path, scenescope: Scenescope) -> None:
    """The files of ultralytics and mmseg."""
    write_pairs(tmp_path, "images/{split}/{name}.jpg", "masks/{split}/{name}.png")
    (tmp_path / "classes.yaml").write_text("names:\n  0: left\n  1: right\n")
    assert scenescope("check", f"folder:{tmp_path}").exit_code == 0


def test_copies_of_a_frame_stay_in_one_split_of_a_draw(tmp_path: Path, scenescope: Scenescope) -> None:
    """Roboflow's augmented export: three copies of each frame."""
    for frame in range(20):
        for copy in range(3):
            name = f"frame{frame:02}_jpg.rf.{frame:04x}{copy:04x}"
            write(tmp_path / "images" / f"{name}.jpg", 3 * frame + copy)
            write(tmp_path / "masks" / f"{name}.png", mask=True)
    (tmp_path / "classes.yaml").write_text("names: [left, right]\n")
    result = scenescope("check", f"folder:{tmp_path}", "--val-fraction", "0.2", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "copies of frames" not in result.output
    splits = json.loads((tmp_path / "out" / "check.json").read_text())["splits"]
    assert [split["scenes"] for split in splits] == [48, 12]
    # In splits of the user's own they are told.
    for kind in ("images", "masks"):
        for number, path in enumerate(sorted((tmp_path / kind).iterdir())):
            split = "val" if number % 3 == 0 else "train"
            (tmp_path / kind / split).mkdir(exist_ok=True)
            path.rename(tmp_path / kind / split / path.name)
    result = scenescope("check", f"folder:{tmp_path}")
    assert "20 of 20 scenes of val are copies of frames of train by their names" in result.output
