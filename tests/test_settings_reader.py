"""What the reader of settings takes, what it refuses, and how it tells."""

from __future__ import annotations

from typing import Any

import pytest

from scenescope.config import SECTIONS, AugmentSettings, Config
from scenescope.errors import ModelError, RecipeError
from scenescope.settings_reader import checked, read_settings
from scenescope.yaml_reader import parse_yaml

SMALLEST: dict[str, Any] = {"data": {"kind": "scenes"}, "augment": {"crop": [64, 96]}}


def read(document: dict[str, Any]) -> Config:
    return Config.from_dict(document, "small")


def document(key: str, value: object) -> dict[str, Any]:
    section, _, name = key.partition(".")
    return SMALLEST | {section: SMALLEST.get(section, {}) | {name: value}}


def test_what_is_left_out_keeps_its_default() -> None:
    recipe = read(SMALLEST)
    assert recipe.train == SECTIONS["train"]()
    assert recipe.augment == AugmentSettings(crop=(64, 96))
    assert isinstance(recipe.augment.crop, tuple)


def test_every_section_refuses_unknown_keys() -> None:
    for section in SECTIONS:
        with pytest.raises(RecipeError, match=rf"^small: {section}\.nonsense_here is not a setting"):
            read(document(f"{section}.nonsense_here", 1))


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("train.step", 3, "train.step is not a setting. Did you mean 'train.steps'?"),
        ("train.steps", "many", 'train.steps is "many", but it should be a whole number.'),
        ("train.steps", "12", 'train.steps is "12", but it should be a whole number.'),
        ("train.steps", 1.5, "train.steps is 1.5, but it should be a whole number."),
        ("train.steps", True, "train.steps is true, but it should be a whole number."),
        ("train.steps", 0, "train.steps is 0, but it should be greater than or equal to 1."),
        ("train.lr", [1], "train.lr is [1], but it should be a number."),
        ("train.optimizer", "adam", "train.optimizer is \"adam\", but it should be 'sgd' or 'adamw'."),
        ("train.ema_decay", 2, "train.ema_decay is 2, but it should be less than 1."),
        ("train.lr", float("inf"), "train.lr is Infinity, but it should be a finite number."),
        (
            "augment.scale",
            [0.5, float("nan")],
            "augment.scale is [0.5, NaN], but its values should be a finite number.",
        ),
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
        read(document(key, value))
    assert str(caught.value) == f"small: {told}"


def test_a_section_that_is_no_section() -> None:
    with pytest.raises(RecipeError, match=r"^small: train is 3, but it should be keys and values\.$"):
        read(SMALLEST | {"train": 3})


def test_missing_settings_are_named_by_their_whole_key() -> None:
    with pytest.raises(RecipeError, match=r"^small: data\.kind is missing.*add data\.kind=\.\.\. .* And 1 more"):
        read({})


def test_an_unknown_section_is_told_before_what_it_makes_missing() -> None:
    misspelt = {"date": {"kind": "scenes"}, "augment": {"crop": [8, 8]}}
    with pytest.raises(RecipeError, match=r"date is not a setting\. Did you mean 'data'\?"):
        read(misspelt)
    with pytest.raises(RecipeError, match=r"zzz is not a setting\. .*Known: model, data, augment, loss, train\."):
        read(SMALLEST | {"zzz": 1})


def test_a_mistake_in_a_file_is_told_with_its_line() -> None:
    text = "data:\n  kind: scenes\naugment:\n  crop: [64, 96]\ntrain:\n  lr: 1\n  steps: many\n"
    with pytest.raises(RecipeError, match=r"^small, line 7: train\.steps is \"many\""):
        read(parse_yaml(text, "small", RecipeError))  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=r"^small, line 6: train\.learnin_rate is not a setting"):
        read(parse_yaml(text.replace("lr:", "learnin_rate:"), "small", RecipeError))  # type: ignore[arg-type]


def test_a_dataclass_made_by_hand_is_checked_likewise() -> None:
    crop = AugmentSettings((8, 8))
    assert checked(crop) == crop
    with pytest.raises(ModelError, match=r"^AugmentSettings: flip is 2, but it should be less than or equal to 1\.$"):
        checked(AugmentSettings((8, 8), flip=2))


def test_the_nearest_name_is_one_of_the_dataclass_that_is_read() -> None:
    with pytest.raises(ModelError, match=r"^here: a\.fli is not a setting\. Did you mean 'a\.flip'\?$"):
        read_settings(AugmentSettings, {"crop": [1, 2], "fli": 1}, "here", within="a.", error=ModelError)
    with pytest.raises(ModelError, match=r"^here: a\.zzz is not a setting\. Known: crop, scale, "):
        read_settings(AugmentSettings, {"crop": [1, 2], "zzz": 1}, "here", within="a.", error=ModelError)
