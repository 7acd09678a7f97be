"""The benchmark scripts name recipes that exist and tell what was measured."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from scenescope.recipes.reader import load_recipe

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def camvid() -> ModuleType:
    specification = importlib.util.spec_from_file_location("camvid_benchmark", ROOT / "benchmarks/camvid.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_runs_differ_only_in_what_they_compare(camvid: ModuleType) -> None:
    recipes = {}
    for run, (_, recipe, changes) in camvid.RUNS.items():
        command = camvid.train_command(recipe, changes, "DIR", "out")
        assert command[0] == "train"
        assert command[-2:] == ["--output", "out"]
        recipes[run] = load_recipe(command[1], command[2:-2]).model_dump()
    danet, fcn, random = (recipes[run] for run in ("camvid-danet", "camvid-fcn", "camvid-danet-random"))
    for section in ("data", "augment", "loss", "train"):
        assert danet[section] == fcn[section] == random[section]
    assert {key for key in danet["model"] if danet["model"][key] != fcn["model"][key]} == {"name"}
    assert {key for key in danet["model"] if danet["model"][key] != random["model"][key]} == {"pretrained"}


def test_the_page_tells_the_scores(camvid: ModuleType, tmp_path: Path) -> None:
    scores = {}
    for number, run in enumerate(camvid.RUNS):
        (tmp_path / run).mkdir()
        rows = [{"step": 10, "loss": 1.0, "seconds": 0.5 + number}, {"step": 10, "val/miou": 0.25 + number / 10}]
        (tmp_path / run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        scores[run] = {
            "mean_iou": 0.5 - number / 10, "pixel_accuracy": 0.9, "mean_accuracy": 0.7,
            "frequency_weighted_iou": 0.8, "iou": {"road": 0.75, "pole": None},
        }  # fmt: skip
    page = camvid.page(scores, tmp_path)
    assert "| mIoU | 0.5000 | 0.4000 | 0.3000 |" in page
    assert "ImageNet weights are worth 20.0 points" in page
    assert "| pole | absent | absent | absent |" in page
    assert "| 10 | 0.2500 | 0.3500 | 0.4500 |" in page
