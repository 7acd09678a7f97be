from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import ValidationError

from scenescope.data.settings import AugmentSettings
from scenescope.errors import RecipeError
from scenescope.recipes.recipe import SECTIONS, SETTINGS, Recipe, build_recipe

SMALLEST: dict[str, Any] = {"data": {"kind": "scenes"}, "augment": {"crop": [64, 96]}}


def document(key: str, value: object) -> dict[str, Any]:
    section, _, name = key.partition(".")
    return SMALLEST | {section: SMALLEST.get(section, {}) | {name: value}}


def test_what_is_left_out_keeps_the_rooms_default() -> None:
    recipe = build_recipe(SMALLEST, "small")
    assert recipe.train == SECTIONS["train"]()
    assert recipe.augment == AugmentSettings(crop=(64, 96))
    assert isinstance(recipe.augment.crop, tuple)


def test_sections_reach_a_run_unchanged() -> None:
    recipe = build_recipe(document("train.steps", 7), "small")
    run = recipe.settings()
    assert run.train.steps == 7
    for section in dataclasses.fields(run):
        assert getattr(run, section.name) is getattr(recipe, section.name)


def test_frozen() -> None:
    recipe = build_recipe(SMALLEST, "small")
    with pytest.raises(ValidationError, match="frozen"):
        recipe.data = recipe.data  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.train.steps = 3  # type: ignore[misc]


def test_every_section_refuses_unknown_keys() -> None:
    for section in SECTIONS:
        with pytest.raises(RecipeError, match=rf"^Recipe small: {section}\.nonsense_here is not a setting"):
            build_recipe(document(f"{section}.nonsense_here", 1), "small")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("train.step", 3, "train.step is not a setting. Did you mean 'train.steps'?"),
        ("train.steps", "many", 'train.steps is "many", but it should be a whole number.'),
        ("train.steps", "12", 'train.steps is "12", but it should be a whole number.'),
        ("train.steps", 1.5, "train.steps is 1.5, but it should be a whole number."),
        ("train.steps", True, "train.steps is true, but it should be a whole number."),
        ("train.steps", 0, "train.steps is 0, but it should be greater than 0."),
        ("train.learning_rate", [1], "train.learning_rate is [1], but it should be a number."),
        ("train.optimiser", "adam", "train.optimiser is \"adam\", but it should be 'sgd' or 'adamw'."),
        ("train.average_decay", 2, "train.average_decay is 2, but it should be less than 1."),
        ("train.learning_rate", float("inf"), "train.learning_rate is inf; give a finite number."),
        ("augment.scale", [0.5, float("nan")], "augment.scale is nan; give a finite number."),
        ("model.pretrained", "yes", 'model.pretrained is "yes", but it should be true or false.'),
        ("model.options", 3, "model.options is 3, but it should be keys and values."),
        ("data.root", 3, "data.root is 3, but it should be text."),
        ("augment.crop", 4, "augment.crop is 4, but it should be a list such as [1, 2]."),
        ("augment.crop", [1, 2, 3], "augment.crop is [1, 2, 3], but it should have at most 2 items, not 3."),
        ("augment.crop", [0, 2], "augment.crop is [0, 2], but its values should be greater than or equal to 1."),
        ("augment.scale", [2, 1], "augment: scale is (2.0, 1.0), but the smallest comes first: write [1.0, 2.0]."),
        (
            "loss.weights",
            {"position": -1},
            "loss.weights.position is -1, but it should be greater than or equal to 0.",
        ),
        (
            "loss.class_weights",
            "rare",
            "loss.class_weights is \"rare\", but it should be 'none', 'median_frequency' or 'sqrt_median_frequency',"
            " or it should be a list such as [1, 2].",
        ),
    ],
)
def test_a_wrong_value_is_told_in_one_line(key: str, value: object, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build_recipe(document(key, value), "small")
    assert str(caught.value) == f"Recipe small: {told}"


def test_a_section_that_is_no_section() -> None:
    with pytest.raises(RecipeError, match=r"^Recipe small: train is 3, but it should be keys and values\.$"):
        build_recipe(SMALLEST | {"train": 3}, "small")


def test_missing_settings_are_named_by_their_whole_key() -> None:
    with pytest.raises(RecipeError, match=r"^Recipe bare: data\.kind is missing.*add data\.kind=\.\.\. .* And 1 more"):
        build_recipe({}, "bare")


def test_an_unknown_section_is_told_before_what_it_makes_missing() -> None:
    misspelt = {"date": {"kind": "scenes"}, "augment": {"crop": [8, 8]}}
    with pytest.raises(RecipeError, match=r"date is not a setting\. Did you mean 'data'\?"):
        build_recipe(misspelt, "misspelt")
    with pytest.raises(RecipeError, match=r"zzz is not a setting\. .*sections are model, data, augment, loss, train\."):
        build_recipe(SMALLEST | {"zzz": 1}, "odd")


def test_settings_names_every_field_of_every_section() -> None:
    assert {key.partition(".")[0] for key in SETTINGS} == set(SECTIONS) == set(Recipe.model_fields)
    assert SETTINGS["data.root"] == "str"
    assert len(SETTINGS) == sum(len(dataclasses.fields(section)) for section in SECTIONS.values())
