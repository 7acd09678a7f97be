"""Each recipe of the package builds its network, and trains a step on a small data set of its kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scenescope.lab import scenes
from scenescope.recipes.reader import dump_recipe, list_recipes, load_recipe
from scenescope.workflows import train
from scenescope.workflows.train import create_network, open_sets, run_training
from tests.recipes.trees import write_tree
from tests.silent import Silent

SMALL = [
    "model.backbone=test_resnet",
    "model.pretrained=false",
    "augment.crop=[64, 64]",
    "train.start_from=null",
    "train.steps=1",
    "train.batch_size=2",
    "train.precision=float32",
    "train.workers=0",
    "train.log_every=1",
]


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_builds_and_takes_a_step(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "SPLITS", {"train": 2, "val": 2, "test": 2})
    monkeypatch.setattr(train, "draw_curves", lambda rows, path: None)  # the slowest part, and tested elsewhere
    root = "" if name.startswith("scenes/") else str(tmp_path / "data")
    recipe = load_recipe(name, [f"data.root={root}"])
    write_tree(recipe.data, tmp_path / "data")

    settings = recipe.settings()
    train_set, _ = open_sets(settings.data)
    with torch.device("meta"):
        network = create_network(settings.model, len(train_set.classes), pretrained=False)
    weights = {"main": 1.0} | network.loss_weights
    # A published recipe writes out the weights; they are what the network has by itself.
    assert settings.loss.weights in ({}, weights)

    small = load_recipe(name, [f"data.root={root}", *SMALL])
    result = run_training(
        small.settings(),
        tmp_path / "run",
        recipe=small.model_dump(mode="json"),
        recipe_text=dump_recipe(small),
        device=torch.device("cpu"),
        progress=Silent(),
    )
    assert result.step == 1
    row = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    assert row["rate"] == pytest.approx(recipe.train.learning_rate / max(recipe.train.warmup_steps, 1))
    terms = {output: row.get(f"loss/{output}", row["loss"]) for output in weights}
    assert all(term > 0 for term in terms.values())
    assert row["loss"] == pytest.approx(sum(weights[output] * term for output, term in terms.items()), rel=1e-5)
