"""Ablations as YAML: what each row trains, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from scenescope.errors import RecipeError
from scenescope.inference.settings import InferenceSettings
from scenescope.lab.ablation_file import load_ablation
from scenescope.recipes.reader import list_ablations, load_recipe, recipe_text
from scenescope.workflows.train import create_network

SMALL = """\
title: One and two
recipe: scenes/danet-demo
settings: {train.steps: 7}
seeds: [3, 5]
rows:
  - name: fcn
    settings: {model.name: fcn}
    published: fcn
  - name: both
    published: pam+cam
    scales: [0.5, 1]
    flip: true
published: {table: danet-cityscapes-attention, backbone: R101}
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_rows_are_the_recipe_with_their_own_settings_and_seeds(tmp_path: Path) -> None:
    ablation = load_ablation(written(tmp_path, SMALL), ["train.batch_size=4"])
    fcn, both = ablation.rows
    expected = load_recipe(
        "scenes/danet-demo", ["train.steps=7", "train.batch_size=4", "model.name=fcn", "train.seed=5"]
    )
    assert fcn.runs[1].recipe == expected.model_dump(mode="json")
    assert [run.settings.train.seed for run in both.runs] == [3, 5]
    assert both.runs[0].settings.model.name == "danet"
    assert ablation.name == "mine"


def test_rows_carry_their_test_and_the_published_number_of_their_backbone(tmp_path: Path) -> None:
    ablation = load_ablation(written(tmp_path, SMALL))
    assert [row.published for row in ablation.rows] == [72.54, 77.57]
    assert ablation.published is not None
    assert "Fu et al. 2019, Table 1" in ablation.published
    assert ablation.rows[0].inference == InferenceSettings()
    assert ablation.rows[1].inference == InferenceSettings(scales=(0.5, 1.0), flip=True)


def test_a_sweep_is_a_row_for_each_value(tmp_path: Path) -> None:
    text = SMALL[: SMALL.index("rows:")] + "sweep: {setting: loss.weights.position, values: [0, 0.5]}\n"
    ablation = load_ablation(written(tmp_path, text))
    assert [row.name for row in ablation.rows] == ["0", "0.5"]
    assert [row.runs[0].settings.loss.weights for row in ablation.rows] == [{"position": 0.0}, {"position": 0.5}]
    assert ablation.sweep == "loss.weights.position"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("title: One and two\n", "", r"title: Field required\. An ablation has title, recipe,"),
        ("seeds: [3, 5]", "seed: [3, 5]", r"seeds: Field required|seed is not known\. Did you mean 'seeds'\?"),
        ("seeds: [3, 5]", "seeds: [3, 3]", r"a seed twice"),
        ("seeds: [3, 5]", "seeds: []", r"seeds: "),
        ("name: both", "name: fcn", r"two rows of one name"),
        ("scales: [0.5, 1]", "scales: [0.5, x]", r"rows\.1\.scales\.1: "),
        ("scales: [0.5, 1]", "protocol: oficial", r"both has the protocol 'oficial'; known: official, "),
        ("settings: {model.name: fcn}", "settings: {model.nam: fcn}", r"model\.nam is not a setting\. Did you mean"),
        ("settings: {train.steps: 7}", "settings: {train.steps: -7}", r"row fcn: train\.steps is -7, but"),
        ("recipe: scenes/danet-demo", "recipe: scenes/danet", r"no recipe 'scenes/danet'\. Did you mean"),
        ("seeds: [3, 5]", "seeds: [3, 5]\nsweep: {setting: train.steps, values: [1, 2]}", r"and not both"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in SMALL
    with pytest.raises(RecipeError, match=told) as caught:
        load_ablation(written(tmp_path, SMALL.replace(old, new)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["model.name=sanet", "train.seed=4"])
def test_what_rows_differ_in_cannot_be_replaced_for_all(tmp_path: Path, override: str) -> None:
    with pytest.raises(RecipeError, match=f"{override.partition('=')[0]} is what the rows .* differ in"):
        load_ablation(written(tmp_path, SMALL), [override])


def test_unknown_names_say_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"no ablation 'camvid/ablatio'\. Did you mean 'camvid/ablation'\?"):
        load_ablation("camvid/ablatio")
    with pytest.raises(RecipeError, match=r"no ablation 'camvid/danet-lite0'"):
        load_ablation("camvid/danet-lite0")  # a recipe
    with pytest.raises(RecipeError, match=r"camvid/ablation is an ablation; .*scenescope ablate"):
        load_recipe("camvid/ablation")


@pytest.mark.parametrize("name", sorted(list_ablations()))
def test_every_ablation_of_the_package_opens_with_its_command_and_compares_equal_trainings(name: str) -> None:
    ablation, comment = load_ablation(name), list_ablations()[name]
    what, command, *_ = comment.splitlines()
    assert what.endswith(".")
    assert command.startswith(f"scenescope ablate {name} ")
    assert len(recipe_text(name).splitlines()) <= 60
    first = ablation.rows[0].runs
    for row in ablation.rows:
        for run, other in zip(row.runs, first, strict=True):
            # Rows may differ in network, losses and augmentation, never in the data, the steps or the seed; one that is
            # about the rate of attention's scales says so.
            factor = row.settings.get("train.attention_factor", other.settings.train.attention_factor)
            expected = dataclasses.replace(other.settings.train, attention_factor=factor)
            assert run.settings.data == other.settings.data
            assert dataclasses.replace(run.settings.train, accumulation=1) == expected
        with torch.device("meta"):
            network = create_network(row.runs[0].settings.model, num_classes=11, pretrained=False)
        assert row.runs[0].settings.loss.weights.keys() <= {"main", *network.loss_weights}


def test_camvid_rows_are_those_of_the_papers() -> None:
    rows = {row.name: row.runs[0].settings.model for row in load_ablation("camvid/ablation").rows}
    assert {name: (model.name, model.options) for name, model in rows.items()} == {
        "FCN": ("fcn", {}),
        "PAM": ("danet", {"channel": False}),
        "CAM": ("danet", {"position": False}),
        "PAM + CAM": ("danet", {}),
    }
    loss = load_ablation("camvid/ablation-losses")
    assert [row.published for row in loss.rows] == [43.2, 49.2, 50.7, 51.9]
