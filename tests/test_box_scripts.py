"""The scripts that make the models in the box, and compare the choices for them."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from scenescope.checkpoints.find import models_in_box
from scenescope.checkpoints.model_directory import load_model
from scenescope.data.camvid import CLASSES
from scenescope.recipes.reader import load_recipe

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The scripts find each other as they do when Python runs one of them."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.syspath_prepend(str(ROOT / "box"))
    return {name: importlib.import_module(name) for name in ("make", "folds")}


def test_only_the_last_stage_sees_val(scripts: dict[str, ModuleType]) -> None:
    for recipe, stages in scripts["make"].MODELS.values():
        splits = [load_recipe(recipe, settings).data.train_split for settings in stages]
        assert splits == ["train"] * (len(stages) - 1) + ["trainval"]


@pytest.mark.skipif(not models_in_box(), reason="the models in the box are not installed (pip install ./box)")
def test_the_models_in_the_box_are_those_that_the_script_makes(scripts: dict[str, ModuleType]) -> None:
    for name, (recipe, stages) in scripts["make"].MODELS.items():
        training = load_model(name).training
        assert (training["recipe"], training["stages"]) == (recipe, stages)
        assert training["steps"] == [load_recipe(recipe, settings).train.steps for settings in stages]


def test_what_folds_compare_takes_the_settings_of_the_box(scripts: dict[str, ModuleType]) -> None:
    folds = scripts["folds"]
    magnified = [load_recipe(folds.RECIPE, settings) for settings in folds.WAYS.values()][1:]
    assert {(recipe.loss.lovasz, recipe.model.magnify) for recipe in magnified} == {(1, 1.5)}
    assert [recipe.loss.class_weights for recipe in magnified] == ["sqrt_median_frequency", "none"]


def test_an_absent_class_is_left_out_of_its_mean(scripts: dict[str, ModuleType]) -> None:
    present = {"mean": 0.5, **dict.fromkeys(CLASSES.names, 0.25)}
    without_poles = {**present, "mean": 0.7, "Pole": None}
    page = scripts["folds"].told({"before": [present, without_poles, present]})
    assert "| before | 50.0 | 70.0 | 50.0 | 56.7 |" in page
    assert "| Pole | 25.0 |" in page
