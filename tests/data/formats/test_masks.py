from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenescope.data.formats import mask_pairs
from scenescope.data.formats.annotations import IGNORED
from scenescope.data.formats.catalog import open_annotations, recognize
from scenescope.data.formats.mask_pairs import find_pairs, partners
from scenescope.errors import DataError


def write(folder: Path, mask: Any, *names: tuple[str, str]) -> Path:
    pixels = np.array(mask, dtype=np.uint8)
    for image, label in names or (("images/train/a.jpg", "masks/train/a.png"),):
        for name in (image, label):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (pixels.shape[1], pixels.shape[0])).save(folder / image)
        Image.fromarray(pixels).save(folder / label)
    return folder


def pixels(folder: Path, number: int = 0) -> list[list[int]]:
    found = open_annotations(folder).images[number].labels().pixels
    assert found is not None
    values: list[list[int]] = found.tolist()
    return values


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([("a.jpg", "a_mask.png"), ("b.jpg", "b_mask.png")], "The mask of NAME.jpg is NAME_mask.png."),
        ([("a.jpg", "a_L.png"), ("b.jpg", "b_L.png")], "The mask of NAME.jpg is NAME_L.png."),
        ([("x/a.jpg", "masks/a.jpg.png")], "The mask of x/NAME.jpg is masks/NAME.jpg.png."),
        ([("a.jpg", "gt_a.png"), ("b.jpg", "gt_b.png")], "The mask of NAME.jpg is gt_NAME.png."),
        (
            [("images/train/a.jpg", "masks/train/a.png"), ("images/val/b.jpg", "masks/val/b.png")],
            "The mask of images/SPLIT/NAME.jpg is masks/SPLIT/NAME.png.",
        ),
        ([("images/a.jpg", "annotations/a.png")], "The mask of images/NAME.jpg is annotations/NAME.png."),
    ],
)
def test_the_pattern_of_names_is_found_used_and_told(tmp_path: Path, names: Any, told: str) -> None:
    found = open_annotations(write(tmp_path, [[0, 255]], *names))
    assert recognize(tmp_path) == ("masks", "images and masks")
    assert len(found.images) == len(names)
    assert found.notes[0] == told


def test_a_mask_serves_one_image_and_none_of_another_split(tmp_path: Path) -> None:
    def image(name: str) -> Path:
        return tmp_path / name

    files = [image(name) for name in ("images/train/a.jpg", "images/val/a.jpg", "masks/train/a.png")]
    assert find_pairs(tmp_path, files) == {image("images/train/a.jpg"): image("masks/train/a.png")}
    files = [image(name) for name in ("old/a.jpg", "new/a.jpg", "masks/new/a.png", "images/b.jpg")]
    assert find_pairs(tmp_path, files) == {image("new/a.jpg"): image("masks/new/a.png")}
    files = [image(name) for name in ("images/x/a.jpg", "images/y/b.jpg", "masks/a.png", "masks/b.png")]
    assert find_pairs(tmp_path, files) == {files[0]: files[2], files[1]: files[3]}


def test_a_damaged_file_of_names_is_told_and_another_passed_over(tmp_path: Path) -> None:
    write(tmp_path, [[0, 1]])
    (tmp_path / "notes.json").write_text("{")
    assert open_annotations(tmp_path).classes == ("background", "foreground")
    (tmp_path / "classes.json").write_text('{"classes": {"0"')
    with pytest.raises(DataError, match=r"classes\.json"):
        open_annotations(tmp_path)


def test_masks_of_one_name_go_with_the_split_of_their_image(tmp_path: Path) -> None:
    for split, value in (("train", 1), ("val", 2)):
        write(tmp_path, [[0, value]], (f"images/{split}/a.jpg", f"masks/{split}/a.png"))
    found = open_annotations(tmp_path)
    assert [(image.name, image.splits) for image in found.images] == [
        ("train/a.jpg", ("train",)),
        ("val/a.jpg", ("val",)),
    ]
    assert [pixels(tmp_path, number) for number in (0, 1)] == [[[0, 1]], [[0, 2]]]


def test_names_of_ultralytics(tmp_path: Path) -> None:
    write(tmp_path, [[0, 1, 255]])
    (tmp_path / "data.yaml").write_text("path: x\ntrain: images/train\nmasks_dir: masks\nnames: {0: road, 1: car}\n")
    found = open_annotations(tmp_path)
    assert found.classes == ("road", "car")
    assert pixels(tmp_path) == [[0, 1, IGNORED]]


def test_names_of_lightly_train(tmp_path: Path) -> None:
    write(tmp_path, [[0, 1, 3, 4]], ("train/images/a.jpg", "train/masks/a.png"))
    classes = {"0": "unlabeled", "1": {"name": "car", "values": [1, 3]}, "4": "road"}
    (tmp_path / "data.json").write_text(json.dumps({"classes": classes, "ignore_classes": [0]}))
    found = open_annotations(tmp_path)
    assert (found.classes, found.images[0].name) == (("car", "road"), "train/a.jpg")
    assert pixels(tmp_path) == [[IGNORED, 0, 0, 1]]


def test_colors_of_lightly_train(tmp_path: Path) -> None:
    write(tmp_path, [[[1, 2, 3], [9, 9, 9], [0, 0, 0]]])
    classes = {"0": {"name": "road", "values": [[1, 2, 3]]}, "1": {"name": "car", "values": [[9, 9, 9], [0, 0, 0]]}}
    (tmp_path / "classes.json").write_text(json.dumps({"classes": classes}))
    assert pixels(tmp_path) == [[0, 1, 1]]


def test_our_own_classes_yaml_means_what_it_means(tmp_path: Path) -> None:
    write(tmp_path, [[10, 20, 7]], ("a.jpg", "a_mask.png"))
    (tmp_path / "classes.yaml").write_text("names: [cat, dog]\nvalues: [10, 20]\nignore: 7\n")
    assert open_annotations(tmp_path).classes == ("cat", "dog")
    assert pixels(tmp_path) == [[0, 1, IGNORED]]


@pytest.mark.parametrize(
    ("mask", "names", "expected"),
    [
        ([[0, 255]], ("background", "foreground"), [[0, 1]]),
        ([[0, 1]], ("background", "foreground"), [[0, 1]]),
        ([[[0, 0, 0], [255, 255, 255]]], ("background", "foreground"), [[0, 1]]),
        ([[3, 7, 255]], ("3", "7"), [[0, 1, IGNORED]]),
        ([[[1, 0, 0], [0, 1, 0], [0, 0, 0]]], ("0,0,0", "0,1,0", "1,0,0"), [[2, 1, 0]]),
    ],
)
def test_without_names_values_say_what_they_can(
    tmp_path: Path, mask: Any, names: tuple[str, ...], expected: list[list[int]]
) -> None:
    found = open_annotations(write(tmp_path, mask))
    assert found.classes == names
    assert pixels(tmp_path) == expected
    assert "No file names the classes" in found.notes[1]


def test_an_unknown_value_is_a_fault_and_ignored(tmp_path: Path) -> None:
    write(tmp_path, [[0, 5, 5]])
    (tmp_path / "data.yaml").write_text("names: [cat]\n")
    labels = open_annotations(tmp_path).images[0].labels()
    assert labels.pixels is not None
    assert labels.pixels.tolist() == [[0, IGNORED, IGNORED]]
    assert [(fault.id, fault.regions) for fault in labels.faults] == [("value 5", 0)]


def test_photographs_are_no_masks(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3))
    with pytest.raises(DataError, match="more than 256 values, as no labels do"):
        open_annotations(write(tmp_path, noise))


def test_what_has_no_partner_is_told(tmp_path: Path) -> None:
    write(tmp_path, [[0, 1]], *((f"{stem}.jpg", f"{stem}_mask.png") for stem in "abc"))
    (tmp_path / "b_mask.png").unlink()
    (tmp_path / "c.jpg").unlink()
    found = open_annotations(tmp_path)
    assert [image.name for image in found.images] == ["a.jpg"]
    assert sorted(Path(fault.file).name for fault in found.dropped) == ["b.jpg", "c_mask.png"]


def test_numbers_are_not_cut(tmp_path: Path) -> None:
    images = [f"images/img_{number}.jpg" for number in range(10, 14)]
    names = [(image, f"masks/m_{number}.png") for number, image in enumerate([*images * 3, images[0], images[0]])]
    write(tmp_path, [[0, 1]], *names)
    pairs = find_pairs(tmp_path, sorted(tmp_path.rglob("*.*")))
    assert {image.stem: mask.stem for image, mask in pairs.items()} == {f"img_{n}": f"m_{n}" for n in range(10, 14)}


def test_folders_of_their_own_masks_are_compared_with_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [(f"images/clip{number}/0.jpg", f"masks/clip{number}/0.png") for number in range(9)]
    write(tmp_path, [[0, 1]], *names)
    tried: list[object] = []
    monkeypatch.setattr(mask_pairs, "partners", lambda *both: tried.append(both) or partners(*both))
    pairs = find_pairs(tmp_path, sorted(tmp_path.rglob("*.*")))
    assert all(image.parent.name == mask.parent.name for image, mask in pairs.items())
    assert len(tried) == len(pairs) == 9
