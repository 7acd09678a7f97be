"""Options of networks: one dataclass each, refused before anything is built."""

from __future__ import annotations

import dataclasses

import pytest

from scenescope.config import ModelSettings
from scenescope.errors import ModelError, RecipeError
from scenescope.models.catalog import MODELS
from scenescope.models.options import OPTIONS, PRESETS, DANetOptions, read_options, recipe_options


def test_every_network_has_options_of_its_name() -> None:
    assert OPTIONS.keys() == MODELS.keys()
    assert {name: kind().name for name, kind in OPTIONS.items()} == {name: name for name in OPTIONS}


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name in PRESETS for preset in PRESETS[name]])
def test_every_preset_is_read(name: str, preset: str) -> None:
    values = PRESETS[name][preset]
    assert {key: getattr(read_options(name, values), key) for key in values} == values


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("dannet", {}, "There is no network 'dannet'. Did you mean 'danet'? Known: danet, sanet, "),
        ("danet", {"chanel": True}, "danet: chanel is not a setting. Did you mean 'channel'?"),
        ("danet", {"channel": "no"}, 'danet: channel is "no", but it should be true or false.'),
        (
            "danet",
            {"channel_form": "papper"},
            "channel_form is \"papper\", but it should be 'official', 'paper' or 'sca",
        ),
        ("danet", {"dropout": 2}, "danet: dropout is 2, but it should be less than or equal to 1."),
        ("sanet", {"dense": False}, "sanet: dense=false leaves no dense logits; give prediction=mask"),
        ("encnet", {"num_codewords": 0}, "num_codewords is 0, but it should be greater than or equal to 1."),
    ],
)
def test_what_is_refused(name: str, values: dict[str, object], told: str) -> None:
    with pytest.raises(ModelError) as caught:
        read_options(name, values)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (
            ModelSettings(options={"chanel": True}),
            "model.options.chanel is not a setting. Did you mean 'model.options.cha",
        ),
        (
            ModelSettings(options={"backbon": "x"}),
            "model.options.backbon is not a setting. Known: dropout, position, ",
        ),
        (
            ModelSettings(options={"backbone": "x"}),
            "model.options.backbone is not an option of the head; set model.backb",
        ),
        (ModelSettings(name="sanet", options={"channel": True}), "model.options.channel is not a setting."),
        (ModelSettings(name="sanett"), "There is no network 'sanett'. Did you mean 'sanet'?"),
    ],
)
def test_what_a_recipe_is_refused(model: ModelSettings, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_options(model, "mine")
    assert str(caught.value).startswith("mine: ")
    assert told in str(caught.value)


def test_a_recipes_model_becomes_options() -> None:
    model = ModelSettings(backbone="resnet18", input_scale=2.0, options={"low_level_channels": 5})
    expected = DANetOptions(backbone="resnet18", input_scale=2.0, low_level_channels=5)
    assert recipe_options(model, "mine") == expected
    assert dataclasses.asdict(expected).keys() >= {"name", "dropout", "position"}
