"""Every command of docs/label-faults.md runs, in order, as it is printed; only the trainings are cut short."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

from typer.testing import CliRunner

from scenescope.cli.main import app
from tests.test_readme import BLOCK, ROOT, place  # noqa: F401


def test_every_command_runs(place: Path) -> None:  # noqa: F811
    text = (ROOT / "docs/label-faults.md").read_text()
    lines = [line.strip() for block in BLOCK.finditer(text) for line in block["shell"].splitlines() if line.strip()]
    assert len(lines) == 3
    for line in lines:
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
    # Two scenes of train are each judged by the half that has not seen them, and so is val.
    assert "Labels of 3 images" in result.output
    assert "are judged by models" not in result.output
    with (place / "suspects/suspects.csv").open(encoding="utf-8") as file:
        assert {row["seen"] for row in csv.DictReader(file)} <= {"no"}
