"""Every command in docs/scores.md runs, in order, as it is printed, and what the page says of the numbers holds."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from scenescope.checkpoints.model_directory import save_model
from scenescope.cli.main import app
from scenescope.evaluation.bootstrap import LEVEL, RESAMPLES
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from tests.test_readme import BLOCK, ROOT

PAGE = (ROOT / "docs/scores.md").read_text()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for kind, size, most in (("images", (40, 48, 3), 256), ("masks", (40, 48), 2)):
        (tmp_path / "mine" / kind / "val").mkdir(parents=True)
        for name in ("street", "square", "park"):
            array = generator.integers(0, most, size, dtype=np.uint8)
            Image.fromarray(array).save(tmp_path / "mine" / kind / "val" / f"{name}.png")
    (tmp_path / "mine" / "classes.yaml").write_text("names: [road, tree]\n")
    for seed, name in enumerate(("danet", "sanet")):
        torch.manual_seed(seed)
        network = create_model(name, backbone="test_resnet", num_classes=2, output_stride=32)
        save_model(network, Classes.named(["road", "tree"]), tmp_path / "runs" / name)
    return tmp_path


def test_every_command_runs(place: Path) -> None:
    commands = []
    for block in BLOCK.finditer(PAGE):
        for line in filter(None, (line.strip() for line in block["shell"].splitlines())):
            result = CliRunner().invoke(app, shlex.split(line)[1:])
            assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
            commands.append(line)
    assert commands == re.findall(r"^ {4}(scenescope .*)$", PAGE, re.MULTILINE)
    for folder, files in {
        "danet": ("scores.json", "per_image.csv", "confusion.csv", "confusion.png"),
        "compared": ("comparison.json", "changes.csv"),
    }.items():
        assert {path.name for path in (place / folder).iterdir()} == set(files)
        assert all(f"`{file}`" in PAGE for file in files)
    # "The second and third give the same numbers as scoring the model."
    assert (
        CliRunner().invoke(app, shlex.split("evaluate folder:mine --model runs/sanet --output of_model")).exit_code == 0
    )
    of_files, of_model = (json.loads((place / folder / "scores.json").read_text()) for folder in ("sanet", "of_model"))
    assert (of_files["scores"], of_files["per_image"]) == (of_model["scores"], of_model["per_image"])


def test_the_page_tells_the_level_and_the_number_of_draws() -> None:
    assert f"{LEVEL:.0%}".replace("%", " %") in PAGE
    assert f"drawn with replacement {RESAMPLES:,} times" in " ".join(PAGE.split())
