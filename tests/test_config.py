"""The tree of settings: what differs, how it is written, and that it loads no torch."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenescope.config import (
    FREE_ON_RESUME,
    SECTIONS,
    SETTINGS,
    AugmentSettings,
    Config,
    DataSettings,
    LossSettings,
    ModelSettings,
    TrainSettings,
)
from scenescope.errors import RecipeError
from scenescope.recipes.reader import load_recipe

SMALL = Config(data=DataSettings("scenes"), augment=AugmentSettings((64, 96)))
POSITIVE = st.floats(min_value=1e-300, allow_infinity=False)
CONFIGS = st.builds(
    Config,
    model=st.builds(
        ModelSettings,
        name=st.just("sanet"),
        backbone=st.sampled_from(["null", "1e5", "no", "resnet50c.gluon_in1k", "- a", "#", "a: b", "true "])
        | st.text(),
        multi_grid=st.none() | st.lists(st.integers(), max_size=3).map(tuple),
        options=st.fixed_dictionaries({}, optional={"dense": st.just(True), "groups": st.integers(1)}),
    ),
    data=st.builds(DataSettings, kind=st.text(), root=st.text(), val_fraction=st.none() | st.floats(0.01, 0.99)),
    augment=st.builds(
        AugmentSettings,
        crop=st.tuples(st.integers(1), st.integers(1)),
        scale=st.tuples(POSITIVE, POSITIVE).map(lambda pair: (min(pair), max(pair))),
    ),
    loss=st.builds(
        LossSettings,
        class_weights=st.just("median_frequency") | st.lists(POSITIVE, max_size=3).map(tuple),
        weights=st.dictionaries(st.text(), POSITIVE, max_size=2),
    ),
    train=st.builds(
        TrainSettings,
        steps=st.integers(1),
        lr=POSITIVE,
        weight_decay_on_norms_and_biases=st.booleans(),
        init_from=st.none() | st.text(),
    ),
)


@given(CONFIGS)
def test_what_is_written_reads_back_equal(config: Config) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "recipe.yaml")
        path.write_bytes(config.to_yaml().encode("utf-8"))
        assert load_recipe(str(path)) == config


def test_what_is_written_is_plain_where_it_can_be() -> None:
    model = ModelSettings(options={"channel_form": "paper"})
    data = DataSettings("folder", "/data/camvid", classes="no")
    text = dataclasses.replace(SMALL, model=model, data=data, train=TrainSettings(init_from="1e5")).to_yaml()
    for line in ("root: /data/camvid", "options: {channel_form: paper}", "init_from: '1e5'", "crop: [64, 96]",
                 "multi_grid: null", "classes: no"):  # fmt: skip
        assert f"\n  {line}\n" in text


def test_what_differs_is_named_by_its_dotted_key() -> None:
    train = dataclasses.replace(SMALL.train, steps=6)
    one = dataclasses.replace(SMALL, loss=LossSettings(weights={"position": 0.0}))
    other = dataclasses.replace(SMALL, loss=LossSettings(weights={"channel": 1.0}), train=train)
    assert one.changed(other) == {"loss.weights.channel", "loss.weights.position", "train.steps"}
    assert one.changed(one) == set()
    assert SMALL.changed(one) == {"loss.weights.position"}  # though no weight is not None


def test_what_is_chosen_is_no_default() -> None:
    config = load_recipe("camvid/danet-lite0", ["model.options.channel=false"])
    assert config.chosen()["model.options.channel"] is False
    assert "train.momentum" not in config.chosen()
    assert SMALL.chosen() == {"data.kind": "scenes", "augment.crop": [64, 96]}


def test_nothing_can_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.data = SMALL.data  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.train.steps = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "change",
    [
        {"crop": [0, 320]},
        {"crop": [240]},
        {"scale": [0, 1]},
        {"scale": [2, 1]},
        {"flip": 1.5},
        {"brightness": -0.1},
        {"hue": 0.6},
        {"rare_class_share": 1.1},
        {"max_class_share": 0},
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=next(iter(change))):
        Config.from_dict({"data": {"kind": "scenes"}, "augment": {"crop": [240, 320], **change}}, "small")


@pytest.mark.parametrize("fraction", [0, 1, -0.5])
def test_val_fraction_lies_between_0_and_1(fraction: float) -> None:
    with pytest.raises(RecipeError, match=r"data\.val_fraction"):
        Config.from_dict({"data": {"kind": "folder", "val_fraction": fraction}, "augment": {"crop": [8, 8]}}, "small")


def test_settings_names_every_field_of_every_section() -> None:
    assert SETTINGS.keys() == {
        f"{name}.{field.name}" for name, kind in SECTIONS.items() for field in dataclasses.fields(kind)
    }
    assert SETTINGS["data.root"] == "str"
    assert SETTINGS.keys() >= FREE_ON_RESUME


def test_reading_a_recipe_loads_no_torch() -> None:
    code = (
        "import sys; from scenescope.recipes.reader import load_recipe; import scenescope.data.catalog;"
        "load_recipe('camvid/box-danet'); load_recipe('camvid/box-sanet'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
