"""Settings by the names that they had are read, and told once."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from scenescope import old_names
from scenescope.checkpoints.find import models_in_box
from scenescope.checkpoints.model_directory import load_model, save_model
from scenescope.config import SETTINGS, Config
from scenescope.data.classes_yaml import read_class_file
from scenescope.data.masks import pack
from scenescope.errors import RecipeError
from scenescope.files import CHECKSUMS, sha256
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from scenescope.models.options import OPTIONS
from scenescope.old_names import OLD_NAMES, new_name, renamed, renamed_model, renamed_tensors
from scenescope.recipes.reader import load_recipe
from scenescope.training.log import read_log

OLD = """\
model: {name: danet, magnify: 1.5, refine: 8, options: {skip: 4}}
data: {kind: scenes}
augment: {crop: [64, 64]}
loss: {hard_fraction: 0.5, picture_target: area}
train:
  optimiser: adamw
  learning_rate: 1e-3
  average_decay: 0.9
  workers: 0
"""


@pytest.fixture(autouse=True)
def untold() -> None:
    old_names._tell.cache_clear()


def test_every_new_name_is_one_and_no_old_name_is() -> None:
    options = {field.name for kind in OPTIONS.values() for field in dataclasses.fields(kind)}
    for old in OLD_NAMES:
        new = new_name(old, tell=False)
        assert new is None or new in SETTINGS or new.removeprefix("model.options.") in options, old
        assert old not in SETTINGS
        assert old.removeprefix("model.options.") not in options


def test_an_old_recipe_is_read_and_each_name_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.yaml").write_text(OLD)
    config = load_recipe(str(tmp_path / "old.yaml"), ["train.head_factor=4", "model.options={skip: 6}"])
    assert (config.model.input_scale, config.model.refinement_channels) == (1.5, 8)
    assert config.model.options == {"low_level_channels": 6}
    assert (config.loss.ohem_fraction, config.loss.image_label_target) == (0.5, "area")
    train = config.train
    assert (train.optimizer, train.lr, train.ema_decay, train.num_workers) == ("adamw", 1e-3, 0.9, 0)
    assert train.head_lr_mult == 4
    told = capsys.readouterr().err.splitlines()
    assert "train.learning_rate is now called train.lr; the old name is still read." in told
    assert len(told) == len(set(told)) == 10
    load_recipe(str(tmp_path / "old.yaml"))
    assert capsys.readouterr().err == ""


def test_a_setting_under_both_names_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^train\.workers is the old name of train\.num_workers, and both are given"):
        renamed({"train": {"workers": 1, "num_workers": 1}})
    with pytest.raises(RecipeError, match=r"^model\.options\.low_level_width is the old name"):
        renamed({"model": {"options": {"skip": 1, "low_level_width": 1}}})


def test_a_wrong_value_is_told_by_the_new_name_and_its_line(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(OLD.replace("1e-3", "fast"))
    with pytest.raises(RecipeError, match=r'old\.yaml, line 7: train\.lr is "fast", but it should be a number\.$'):
        load_recipe(str(tmp_path / "old.yaml"))


def test_a_setting_that_is_gone_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(OLD_NAMES, "data.tape", None)
    config = Config.from_dict({"data": {"kind": "scenes", "tape": 3}, "augment": {"crop": [8, 8]}}, "old")
    assert config.data.kind == "scenes"
    assert load_recipe("scenes/danet-demo", ["data.tape=2"]) == load_recipe("scenes/danet-demo")
    assert capsys.readouterr().err == "data.tape is gone and has no effect.\n"


def with_old_names(directory: Path) -> None:
    """Write a model directory's config as it was before: other names, and what is off left out."""
    path = directory / "config.json"
    config = json.loads(path.read_text())
    back = {"input_scale": "magnify", "refinement_channels": "refine", "low_level_channels": "skip"}
    config["model"] = {back.get(key, key): value for key, value in config["model"].items()}
    path.write_text(json.dumps(config))
    sums = (directory / CHECKSUMS).read_text().splitlines()
    other = [line for line in sums if not line.endswith(" config.json")]
    (directory / CHECKSUMS).write_text("\n".join([f"{sha256(path)}  config.json", *other]) + "\n")


def test_a_model_directory_with_old_names_answers_as_it_did(tmp_path: Path) -> None:
    network = create_model(
        "danet",
        num_classes=3,
        backbone="test_resnet",
        output_stride=16,
        input_scale=1.5,
        refinement_channels=4,
        low_level_channels=8,
    )
    torch.nn.init.normal_(network.refinement.correct.weight)  # type: ignore[union-attr]
    save_model(network, Classes.named(["a", "b", "c"]), tmp_path / "model")
    with_old_names(tmp_path / "model")
    images = torch.randn(1, 3, 37, 50)
    loaded = load_model(tmp_path / "model").network
    assert loaded.config == network.config
    torch.testing.assert_close(loaded(images).logits, network.eval()(images).logits, rtol=0, atol=0)


@pytest.mark.skipif(not models_in_box(), reason="the models in the box are not installed (pip install ./box)")
@pytest.mark.parametrize(
    ("name", "described"),
    [
        ("camvid-danet-lite0", {"skip": 24, "magnify": 1.5, "refine": 32}),
        ("camvid-sanet-lite0", {"magnify": 2.0, "refine": 32, "upsampling": "stretched", "prediction": "mask"}),
    ],
)
def test_the_models_in_the_box_are_the_networks_that_they_were(name: str, described: dict[str, object]) -> None:
    """Built by old names and new ones, with the same weights, they give the same logits."""
    now = load_model(name).network
    common = {"backbone": "tf_efficientnet_lite0", "output_stride": 16, "align_corners": False}
    was = create_model(now.config["name"], num_classes=11, **common, **renamed_model(described)).eval()
    was.load_state_dict(now.state_dict())
    images = torch.randn(1, 3, 61, 83)
    torch.testing.assert_close(was(images).logits, now(images).logits, rtol=0, atol=1e-6)


def test_a_log_of_then_is_read_with_the_keys_of_now(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2.0, "rate": 0.1}\n')
    assert read_log(tmp_path / "log.jsonl") == [{"step": 1, "loss": 2.0, "lr": 0.1}]


def test_a_file_of_classes_of_then_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old_names._tell.cache_clear()
    (tmp_path / "classes.yaml").write_text("names: [a, b]\ncolours: [[1, 2, 3], [4, 5, 6]]\n")
    classes, table = read_class_file(tmp_path / "classes.yaml")
    assert classes.palette == ((1, 2, 3), (4, 5, 6))
    assert table.train_ids == {pack((1, 2, 3)): 0, pack((4, 5, 6)): 1}
    assert "colours is now called colors" in capsys.readouterr().err


def test_tensors_of_then_have_the_names_of_now() -> None:
    names = ["optimiser.0.momentum_buffer", "average.a.b", "head.pyramid.views.1.0.weight", "x.average.y"]
    names += ["network.head.pyramid.picture.0.weight", "backbone.optimiser.a"]
    assert list(renamed_tensors(dict.fromkeys(names))) == [
        "optimizer.0.momentum_buffer",
        "ema.a.b",
        "head.pyramid.branches.1.0.weight",
        "x.average.y",
        "network.head.pyramid.image_pool.0.weight",
        "backbone.optimiser.a",
    ]
