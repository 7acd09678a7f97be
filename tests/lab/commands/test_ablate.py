"""scenescope ablate from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

SMALL = """\
title: Weight of the position loss
recipe: scenes/danet-demo
settings:
  train.steps: 3
  train.warmup_steps: 0
  train.average_decay: null
  train.batch_size: 2
  train.workers: 0
  train.precision: float32
  augment.crop: [32, 32]
seeds: [2]
sweep: {setting: loss.weights.position, values: [0.0, 1.0]}
"""


@pytest.fixture
def ablation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL)
    return path


def test_a_table_as_markdown_json_and_curve(ablation: Path, scenescope: Callable[..., object]) -> None:
    result = scenescope("ablate", "mine.yaml", "--output", "out", "--device", "cpu")
    assert result.exit_code == 0, result
    table = Path("out/mine.md").read_text()
    assert table in result.output
    stored = json.loads(Path("out/mine.json").read_text())["rows"]
    assert [row["name"] for row in stored] == ["0.0", "1.0"]
    for row in stored:
        assert f"| {row['name']} | 1 | {100 * row['miou']:.2f} |" in table
        assert row["runs"]["2"]["miou"] == row["miou"]
    # Another weight is another training.
    assert stored[0]["miou"] != stored[1]["miou"]
    with Image.open("out/mine.png") as curve:
        assert curve.format == "PNG"
    again = scenescope("ablate", "mine.yaml", "--output", "out", "--device", "cpu")
    assert again.exit_code == 0
    assert "step" not in again.output.replace("last step", "")
    assert Path("out/mine.md").read_text() == table


def test_a_plan_is_printed_and_nothing_is_written(ablation: Path, scenescope: Callable[..., object]) -> None:
    result = scenescope("ablate", "mine.yaml", "train.steps=9", "--dry-run")
    assert result.output.splitlines() == [
        "Weight of the position loss: 2 runs of 9 steps, seeds 2.",
        "  0.0: loss.weights.position=0.0",
        "  1.0: loss.weights.position=1.0",
    ]
    assert [path.name for path in Path().iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["mine.yaml"], "give --output runs/NAME"),
        (["camvid/ablatoin", "--output", "out"], "Did you mean 'camvid/ablation'?"),
        (["mine.yaml", "loss.weights.position=3", "--output", "out"], "is what the rows of mine.yaml differ in"),
        (["mine.yaml", "data.kind=folder", "data.root=nowhere", "--output", "out"], "nowhere does not exist"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    ablation: Path, scenescope: Callable[..., object], arguments: list[str], told: str
) -> None:
    result = scenescope("ablate", *arguments)
    assert result.exit_code == 2
    assert told in result.errors
    assert len(result.errors.splitlines()) == 1
    assert not Path("out").exists()
