"""The demo: its report tells the numbers of its own model, and a second call reuses the training."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from scenescope.checkpoints.model_directory import load_model, save_model
from scenescope.data.catalog import open_dataset
from scenescope.evaluation.evaluator import evaluate
from scenescope.evaluation.scores import Scores
from scenescope.lab import scenes
from scenescope.lab.demo import DemoResult, run_demo
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from scenescope.recipes.reader import load_recipe
from scenescope.training.log import read_log
from tests.silent import Silent


def demo(directory: Path) -> DemoResult:
    overrides = [
        "train.steps=2",
        "train.batch_size=2",
        "train.num_workers=0",
        "model.output_stride=32",
        "train.log_every=1",
    ]
    recipe = load_recipe("scenes/danet-demo", overrides)
    result = run_demo(
        recipe,
        directory,
        device=torch.device("cpu"),
        progress=Silent(),
    )
    assert isinstance(result, DemoResult)
    return result


@pytest.fixture(autouse=True)
def few_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "SPLITS", {"train": 6, "val": 2, "test": 4})
    monkeypatch.setattr("scenescope.lab.demo.find_photograph", lambda: None)


def test_it_ends_with_a_real_photograph_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photograph = tmp_path / "china.jpg"
    Image.new("RGB", (64, 48), "green").save(photograph)
    network = create_model("danet", backbone="test_resnet", num_classes=2, output_stride=32)
    save_model(network, Classes.named(["street", "palace"]), tmp_path / "model")
    monkeypatch.setattr("scenescope.lab.demo.find_photograph", lambda: photograph)
    monkeypatch.setattr("scenescope.lab.demo.models_in_box", lambda: {str(tmp_path / "model"): tmp_path})
    page = demo(tmp_path / "demo").report.read_text()
    assert "CC BY 2.0" in page
    assert "danielbuechele" in page
    with Image.open(tmp_path / "demo" / "images" / "photo_labels.png") as labels:
        assert labels.size == (64, 48)


def test_report_tells_the_numbers_of_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = demo(tmp_path)
    loaded = load_model(result.model)
    matrix = evaluate(loaded.network, open_dataset("scenes", "", "test"))
    assert Scores.from_matrix(matrix, loaded.classes.names).mean_iou == result.miou
    page = result.report.read_text()
    assert f"<dd>{result.miou:.3f}</dd>" in page
    assert len(re.findall("<img ", page)) == 4 + 1 + 1 + 1  # scenes, legend, confusion, curves
    assert len(list((tmp_path / "images").iterdir())) == 5
    before = read_log(tmp_path / "run" / "log.jsonl")
    assert demo(tmp_path).miou == result.miou
    assert read_log(tmp_path / "run" / "log.jsonl") == before
