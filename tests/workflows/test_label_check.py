"""Faults planted in masks are found by models whose answers are known, at the command line too."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.bands import declared_rule
from scenescope.data.catalog import open_dataset
from scenescope.errors import ModelError
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.outputs import SegmentationOutput
from scenescope.workflows.label_check import check_labels
from tests.cli.conftest import scenescope  # noqa: F401
from tests.evaluation.conftest import Strongest
from tests.workflows.test_seen import model as model_directory
from tests.workflows.test_seen import recipe

NAMES = ["red", "green", "blue"]


class Soft(Strongest):
    """Says of each pixel which color channel is strongest, not too surely."""

    def forward(self, images: torch.Tensor, stretch: bool = False) -> SegmentationOutput:
        return SegmentationOutput(images / 50, {})


class Ranged(Soft):
    """Sees numbers of 0..255 by a rule, as 0..1."""

    band_rule = declared_rule(None, [0, 255])

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        return images * 255


class Wrong(Strongest):
    """Says of each pixel that it is of the last class."""

    def forward(self, images: torch.Tensor, stretch: bool = False) -> SegmentationOutput:
        return SegmentationOutput(torch.zeros_like(images) + torch.tensor([0.0, 0, 9])[:, None, None], {})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two splits of three scenes, red with a green and a blue object; in one mask the blue one is forgotten."""
    root = tmp_path / "data"
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for number in range(3):
            labels = np.zeros((40, 60), np.uint8)
            labels[5:15, 5:20], labels[20:32, 30:50] = 1, 2
            image = np.eye(3, dtype=np.uint8)[labels] * 200
            if split == "val" and number == 1:
                labels[labels == 2] = 0
            labels[:2] = 255
            Image.fromarray(image).save(root / "images" / split / f"{split}{number}.png")
            Image.fromarray(labels).save(root / "masks" / split / f"{split}{number}.png")
    (root / "classes.yaml").write_text(f"names: {json.dumps(NAMES)}\nignore: 255\n")
    return root


def segmenter(network: Strongest | None = None, names: list[str] = NAMES, source: Path | None = None) -> Segmenter:
    made = Segmenter(network or Soft(), Classes.named(names))  # type: ignore[arg-type]
    made.source = source
    return made


@pytest.fixture
def run(scenescope: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:  # noqa: F811
    """Return a function that calls the command with models in place of files."""

    def call(models: dict[str, Segmenter], *arguments: object) -> Any:
        monkeypatch.setattr(Segmenter, "load", lambda name, *_: models[name])
        return scenescope("check", *arguments, *[word for name in models for word in ("--model", name)])

    return call


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_forgotten_object_is_told_written_and_drawn(run: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    result = run({"m": segmenter()}, f"folder:{data}", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.errors
    assert "Labels of 6 images: 1 of 18 regions are disbelieved." in result.output
    assert "note: 6 of 6 images are judged by models of whose training not all is known" in result.output
    (suspect,) = rows(tmp_path / "out" / "suspects.csv")
    mask = str(data / "masks" / "val" / "val1.png")
    assert {**suspect, "score": ""} == {
        "rank": "1", "split": "val", "image": "val1", "mask_class": "red", "model_class": "blue", "score": "",
        "left": "30", "top": "20", "width": "20", "height": "12", "pixels": "240",
        "share": suspect["share"], "mask_probability": suspect["mask_probability"], "seen": "unknown", "mask": mask,
    }  # fmt: skip
    assert float(suspect["share"]) == pytest.approx(240 / (38 * 60 - 150), abs=1e-4)
    # Logits are 0 and 200 / 50, and usual for both classes; the rim of the object is 60 of 240 pixels.
    assert float(suspect["score"]) == pytest.approx(4 * 240 / (240 + 4 * 60), rel=0.05)
    (image,) = rows(tmp_path / "out" / "suspect_images.csv")
    assert (image["image"], image["suspects"], image["score"]) == ("val1", "1", suspect["score"])
    assert float(image["agreement"]) == pytest.approx(1 - 240 / (38 * 60), abs=1e-4)
    sheet = np.asarray(Image.open(tmp_path / "out" / "suspects.png"))
    assert (sheet == (255, 0, 255)).all(axis=2).sum() > 100  # the outline of the object


def test_images_are_seen_by_the_rule_of_the_model(run: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    result = run({"m": segmenter(Ranged())}, f"folder:{data}", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.errors
    (suspect,) = rows(tmp_path / "out" / "suspects.csv")
    assert (suspect["image"], suspect["mask_class"], suspect["model_class"]) == ("val1", "red", "blue")
    assert (tmp_path / "out" / "suspects.png").is_file()
    with (data / "classes.yaml").open("a") as file:
        file.write("range: [0, 100]\n")
    result = run({"m": segmenter(Ranged())}, f"folder:{data}")
    assert result.exit_code == 2
    assert "but the model sees gray or RGB with the range 0 to 255" in result.errors


def test_classes_are_matched_by_name_and_not_by_number(data: Path) -> None:
    class Turned(Soft):
        def forward(self, images: torch.Tensor, stretch: bool = False) -> SegmentationOutput:
            return SegmentationOutput(images.roll(1, dims=1) / 50, {})

    dataset = open_dataset("folder", str(data), "val")
    straight = check_labels([segmenter()], [dataset], "folder")
    turned = check_labels([segmenter(Turned(), ["blue", "red", "green"])], [dataset], "folder")
    assert [each.region for each in turned.suspects] == [each.region for each in straight.suspects]
    assert len(straight.suspects) == 1


def test_other_classes_are_refused_and_told_by_name(run: Callable[..., Any], data: Path) -> None:
    result = run({"m": segmenter(names=["red", "green", "sky"])}, f"folder:{data}")
    assert result.exit_code == 2
    assert "other classes than the data set (only in the model: sky; only in the data: blue)" in result.errors
    assert "\n" not in result.errors.strip()
    with pytest.raises(ModelError, match="only in the data: blue"):
        check_labels([segmenter(names=["red", "green", "sky"])], [open_dataset("folder", str(data), "val")], "folder")


def test_an_image_is_judged_by_models_that_have_not_seen_it(data: Path, tmp_path: Path) -> None:
    first, second = (
        segmenter(network, source=model_directory(tmp_path / split, recipe(data, f"train-without-{split}")))
        for network, split in ((Soft(), "1of2"), (Wrong(), "2of2"))
    )
    train = open_dataset("folder", str(data), "train")
    left_out = [
        {fold.name(index) for index in range(len(fold))}
        for fold in (open_dataset("folder", str(data), f"train-only-{number}of2") for number in (1, 2))
    ]
    found = check_labels([first, second], [train], "folder")
    assert [scene.seen for scene in found.scenes] == [False] * 3
    assert {scene.name for scene in found.scenes if scene.judges == (0,)} == left_out[0]
    assert {scene.name for scene in found.scenes if scene.judges == (1,)} == left_out[1]
    assert {each.scene.name for each in found.suspects} == left_out[1]
    # Neither has seen val: their mean judges it.
    val = check_labels([first, second], [open_dataset("folder", str(data), "val")], "folder")
    assert {scene.judges for scene in val.scenes} == {(0, 1)}


def test_images_that_all_models_have_seen_are_told(run: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    known = segmenter(source=model_directory(tmp_path / "model", recipe(data)))
    result = run({"m": known}, f"folder:{data}")
    assert "note: 3 of 6 images are judged by models that were trained on them; a model disbelieves" in result.output
    assert "not all is known" not in result.output


def test_masks_that_are_believed_leave_no_sheet(run: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    result = run({"m": segmenter()}, f"folder:{data}", "--split", "train", "--output", tmp_path / "out")
    assert "0 of 9 regions are disbelieved" in result.output
    assert not (tmp_path / "out" / "suspects.png").exists()
    assert rows(tmp_path / "out" / "suspects.csv") == []


def test_scenes_without_a_label_and_those_that_cannot_be_read(run: Callable[..., Any], data: Path) -> None:
    Image.fromarray(np.full((40, 60), 255, np.uint8)).save(data / "masks" / "val" / "val0.png")
    (data / "images" / "val" / "val2.png").write_bytes(b"no image")
    result = run({"m": segmenter()}, f"folder:{data}", "--split", "val")
    assert result.exit_code == 2  # the image is a fault of the data
    assert "note: the labels of 1 scenes were not judged" in result.output
    assert "Labels of 1 images (1 more have no label): 1 of 3 regions are disbelieved" in result.output
    for path in (data / "masks" / "val").iterdir():
        Image.fromarray(np.full((40, 60), 255, np.uint8)).save(path)
    assert "There is no label to judge" in run({"m": segmenter()}, f"folder:{data}", "--split", "val").output


def test_names_of_strangers_are_no_formulas_and_tiny_objects_are_told(
    run: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    for kind in ("images", "masks"):
        (data / kind / "val" / "val1.png").rename(data / kind / "val" / "=HYPERLINK(1).png")
    labels = np.zeros((40, 60), np.uint8)
    labels[5:15, 5:20], labels[20:32, 30:50], labels[36:38, 3:6] = 1, 2, 1
    Image.fromarray(labels).save(data / "masks" / "val" / "val0.png")
    result = run({"m": segmenter()}, f"folder:{data}", "--output", tmp_path / "out")
    assert rows(tmp_path / "out" / "suspects.csv")[0]["image"] == "'=HYPERLINK(1)"
    assert "regions are disbelieved; 1 are too small and left out." in result.output


def test_one_class_cannot_be_judged(data: Path) -> None:
    (data / "classes.yaml").write_text("names: [all]\nvalues: [[0, 1, 2]]\nignore: 255\n")
    with pytest.raises(ModelError, match="has one class, 'all'"):
        check_labels([segmenter()], [open_dataset("folder", str(data), "val")], "folder")


def test_that_there_is_no_such_model_is_told_before_anything_is_read(
    scenescope: Callable[..., Any],  # noqa: F811
    data: Path,
) -> None:
    result = scenescope("check", f"folder:{data}", "--model", data / "none")
    assert result.exit_code == 2
    assert result.output == ""
    assert "There is no model at" in result.errors
