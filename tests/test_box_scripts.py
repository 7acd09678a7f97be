"""The scripts that make the models in the box, and compare the choices for them."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

from scenescope.checkpoints.find import models_in_box
from scenescope.checkpoints.model_directory import load_model, save_model
from scenescope.data.camvid import CLASSES
from scenescope.models.catalog import create_model
from scenescope.recipes.reader import load_recipe

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(not (ROOT / "box").is_dir(), reason="the box is another distribution")


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The scripts find each other as they do when Python runs one of them."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.syspath_prepend(str(ROOT / "box"))
    return {name: importlib.import_module(name) for name in ("make", "folds")}


def test_only_the_last_training_sees_val(scripts: dict[str, ModuleType]) -> None:
    for making in scripts["make"].MODELS.values():
        assert {load_recipe(making.recipe, stage).data.train_split for stage in making.stages} == {"train"}
        assert load_recipe(making.recipe, making.last).data.train_split == "trainval"
        splits = [load_recipe(making.recipe, settings).data.train_split for settings in making.awakened]
        assert splits in ([], ["train", "trainval"])


@pytest.mark.skipif(not models_in_box(), reason="the models in the box are not installed (pip install ./box)")
def test_the_models_in_the_box_are_those_that_the_script_makes(scripts: dict[str, ModuleType]) -> None:
    for name, making in scripts["make"].MODELS.items():
        training = load_model(name).training
        assert (training["recipe"], training["stages"]) == (making.recipe, making.stages)
        assert (training["last"], training["seeds"]) == (making.last, list(scripts["make"].SEEDS))
        assert training.get("awakened", []) == making.awakened
        made = [load_recipe(making.recipe, settings) for settings in [*making.stages, making.last, *making.awakened]]
        assert training["steps"] == [recipe.train.steps for recipe in made]


def test_the_mean_of_weights_is_taken_of_each(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("one", "two", "three")]
    for run, value in zip(runs, (1.0, 2.0, 6.0), strict=True):
        network = create_model("fcn", num_classes=len(CLASSES), backbone="resnet18", pretrained=False)
        counted = {key: torch.full_like(weight, value) for key, weight in network.state_dict().items()}
        save_model(network, CLASSES, run / "last", weights=counted)
    for weight in scripts["make"].averaged(runs).network.state_dict().values():
        expected = 3.0 if weight.is_floating_point() else 1
        assert torch.equal(weight, torch.full_like(weight, expected))


def test_what_folds_compare_takes_the_settings_of_the_box(scripts: dict[str, ModuleType]) -> None:
    folds = scripts["folds"]
    magnified = [load_recipe(folds.RECIPE, settings) for settings in folds.WAYS.values()][1:]
    assert {(recipe.loss.lovasz, recipe.model.input_scale) for recipe in magnified} == {(1, 1.5)}
    assert [recipe.loss.class_weights for recipe in magnified] == ["sqrt_median_frequency", "none"]


def test_an_absent_class_is_left_out_of_its_mean(scripts: dict[str, ModuleType]) -> None:
    present = {"mean": 0.5, **dict.fromkeys(CLASSES.names, 0.25)}
    without_poles = {**present, "mean": 0.7, "Pole": None}
    page = scripts["folds"].told({"before": [present, without_poles, present]})
    assert "| before | 50.0 | 70.0 | 50.0 | 56.7 |" in page
    assert "| Pole | 25.0 |" in page
