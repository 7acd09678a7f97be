from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.formats.catalog import recognize
from scenescope.errors import DataError
from tests.data.formats.imported import run, write_image, write_json


def write_mask(
    folder: Path, task: int, name: str, mask: object, annotation: int | None = None, region: int = 0
) -> None:
    """As label_studio_sdk.converter.brush.save_brush_images_from_annotation names and writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    number = task if annotation is None else annotation
    place = folder / f"task-{task}-annotation-{number}-by-me@x.y-tag-{name}-{region}.png"
    Image.fromarray((np.array(mask) * 255).astype(np.uint8)).save(place)


LEFT, MIDDLE, FULL = [[1, 1, 0, 0]], [[0, 1, 0, 0]], [[1, 1, 1, 1]]


def test_masks_of_an_annotation_are_joined_and_the_pairing_is_told(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for number, stem in enumerate(("img2", "img10", "img1")):
        write_image(source / "images" / f"{stem}.jpg", 4, 1, number)
    for task, mask in ((7, FULL), (9, LEFT), (11, MIDDLE)):
        write_mask(source / "masks", task, "semi-trailer", mask)
    write_mask(source / "masks", 7, "car", MIDDLE)
    write_mask(source / "masks", 9, "semi-trailer", [[0, 0, 0, 1]], region=1)
    assert recognize(source) == ("label_studio_masks", "Label Studio masks by class")
    got = run(source, tmp_path / "out")
    assert got.names == ["background", "car", "semi-trailer"]
    # Tasks by number, images by name with numbers as numbers; the smaller area is on top.
    assert {name: mask.tolist() for name, mask in got.masks.items()} == {
        "img1": [[2, 1, 2, 2]],
        "img2": [[2, 2, 0, 2]],
        "img10": [[0, 2, 0, 0]],
    }
    assert "task 7 for img1.jpg ... task 11 for img10.jpg" in got.notes
    assert got.summary.overlap == "area"


def test_folders_of_splits_are_paired_by_themselves(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_image(tmp_path / "in" / "images" / split / f"{split}0.jpg", 4, 1)
        write_mask(tmp_path / "in" / "masks" / split, 0, "road", LEFT if split == "train" else FULL)
    got = run(tmp_path / "in", tmp_path / "out")
    assert {name: mask.tolist() for name, mask in got.masks.items()} == {"train/train0": LEFT, "val/val0": FULL}
    assert dict(got.summary.splits) == {"train": 1, "val": 1}


def test_of_two_annotations_of_a_task_the_later_counts(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.jpg", 4, 1)
    write_mask(tmp_path / "in", 1, "road", LEFT, annotation=3)
    write_mask(tmp_path / "in", 1, "road", FULL, annotation=2)
    got = run(tmp_path / "in", tmp_path / "out")
    assert got.masks["a"].tolist() == LEFT
    assert got.dropped[0][2:] == ["a later annotation of the task counts", "1"]


def test_the_json_of_the_project_is_read_instead(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.jpg", 4, 1)
    write_mask(tmp_path / "in", 1, "road", LEFT)
    write_json(tmp_path / "in" / "project.json", [{"id": 1, "annotations": [], "data": {"image": "a.jpg"}}])
    assert recognize(tmp_path / "in") == ("label_studio", "Label Studio JSON")


def test_refuses_to_pair_what_does_not_fit(tmp_path: Path) -> None:
    source = tmp_path / "in"
    write_mask(source, 1, "road", LEFT)
    write_image(source / "a.jpg", 5, 1)
    with pytest.raises(DataError, match=r"tag-road-0.png: a mask of 4 x 1 for an image of 5 x 1"):
        run(source, tmp_path / "out")
    write_image(source / "b.jpg", 4, 1)
    with pytest.raises(DataError, match=r"masks of 1 tasks, but there are 2 images.*export as JSON"):
        run(source, tmp_path / "out")
    (source / "a.jpg").unlink()
    mask = next(source.glob("task*.png"))
    mask.write_bytes(mask.read_bytes()[:40])
    with pytest.raises(DataError, match=r"tag-road-0.png: Cannot read .* damaged"):
        run(source, tmp_path / "out")
