"""Every command of docs/label-faults.md runs, in order, as it is printed, with short trainings; and its benchmark."""

from __future__ import annotations

import argparse
import csv
import importlib
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
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


def test_faults_are_planted_and_told_from_what_they_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = importlib.import_module("label_faults")
    labels = np.full((60, 80), 3, np.uint8)
    labels[10:30, 10:40], labels[:2] = 8, 11
    for kind, array in (("images", np.zeros((60, 80, 3), np.uint8)), ("masks", labels)):
        (tmp_path / "camvid/val" / kind).mkdir(parents=True)
        Image.fromarray(array).save(tmp_path / "camvid/val" / kind / "a.png")
    arguments = argparse.Namespace(camvid=tmp_path / "camvid", every=1, faults=2)
    faults = script.plant(arguments, "val", tmp_path / "planted", True)
    written = np.asarray(Image.open(tmp_path / "planted/val/masks/a.png"))
    car = next(fault for fault in faults if fault.was == 8)
    assert (car.now, car.pixels, car.box) == (3, 600, (10, 10, 30, 20))
    assert (written[10:30, 10:40] == 3).all()
    assert (written[:2] == 11).all()
    row = {"image": "a", "mask_class": "Road", "left": "12", "top": "10", "width": "30", "height": "20", "rank": "7"}
    assert script.overlap((12, 10, 30, 20), car.box) == pytest.approx(28 * 20 / (600 + 600 - 28 * 20))
    assert script.rank_of(car, [{**row, "mask_class": "Sky"}, {**row, "left": "30"}, row]) == 7
    assert script.rank_of(car, [{**row, "image": "b"}]) is None
