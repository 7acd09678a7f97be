import csv
import json
import re

import numpy as np
import pytest

from scenescope.evaluation.bootstrap import Intervals
from scenescope.evaluation.scores import Scores
from scenescope.workflows.evaluation_result import EvaluationResult

NAMES = ("road", "[red]sky", "never")


def write(folder, seed, images=("a", "=b", "c", "d")):
    """A result of four images of the same labels; the seed is what differs."""
    truth = np.random.default_rng(0).integers(100, 200, (4, 2))
    generator = np.random.default_rng(seed)
    matrices = np.zeros((4, 3, 3), int)
    for number, pixels in enumerate(truth):
        for true, count in enumerate(pixels):
            matrices[number, true, true] = generator.integers(count // 2, count)
            matrices[number, true, 1 - true] = count - matrices[number, true, true]
    folder.mkdir()
    counts = np.stack([matrices.sum(2), matrices.sum(1), matrices.diagonal(axis1=1, axis2=2)], axis=1)
    result = EvaluationResult({"model": f"model-{seed}"}, NAMES, "skip", images, counts)
    result.write(folder, Scores.from_matrix(matrices.sum(0), NAMES), Intervals(counts, "skip"), {})
    return folder


@pytest.fixture
def pair(tmp_path):
    return [write(tmp_path / name, seed) for name, seed in (("first", 1), ("second", 2))]


def test_tables_and_files(scenescope, pair, tmp_path):
    result = scenescope("compare", *pair, "--output", tmp_path / "out", "--images", 2)
    assert (result.exit_code, result.errors) == (0, "")
    first, second = (json.loads((folder / "scores.json").read_text())["scores"] for folder in pair)
    stored = json.loads((tmp_path / "out" / "comparison.json").read_text(), parse_constant=pytest.fail)
    mean = stored["means"]["mean_iou"]
    assert (mean["first"], mean["second"]) == pytest.approx((first["mean_iou"], second["mean_iou"]))
    low, high = mean["interval"]
    shown = rf"mean IoU +{mean['first']:.4f} +{mean['second']:.4f} +{re.escape(format(mean['difference'], '+.4f'))}"
    assert re.search(rf"{shown} +{re.escape(f'{low:+.4f} to {high:+.4f}')}", result.output), result.output
    assert re.search(r"\[red\]sky +0\.", result.output)
    assert re.search(r"never +absent +absent +absent", result.output)
    assert "A: " in result.output
    assert "(model-2)" in result.output
    assert "4 images were compared." in result.output
    with (tmp_path / "out" / "changes.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["image", "mIoU in A", "mIoU in B", "difference"]
    assert {row[0] for row in rows} == {"a", "'=b", "c", "d"}
    differences = [abs(float(row[3])) for row in rows]
    assert differences == sorted(differences, reverse=True)
    assert any(row[3].startswith("-") for row in rows)  # a number, and no text
    table = result.output.partition("most changed of 4")[2]
    assert rows[1][0].lstrip("'") in table
    assert not re.search(rf"^ *{re.escape(rows[2][0].lstrip(chr(39)))} ", table, re.MULTILINE)


def test_a_result_and_itself(scenescope, pair):
    result = scenescope("compare", pair[0], pair[0] / "scores.json")
    assert result.exit_code == 0
    assert re.search(r"mean IoU .* \+0\.0000 +\+0\.0000 to \+0\.0000", result.output)
    assert "do not tell the two apart" in result.output
    assert "most changed" not in result.output


def test_other_images_and_no_result_are_one_line(scenescope, pair, tmp_path):
    other = write(tmp_path / "other", 3, ("a", "=b", "c", "e"))
    refused = scenescope("compare", pair[0], other, "--output", tmp_path / "out")
    assert refused.exit_code == 2
    told = "1 images are in the first alone, such as d and 1 images are in the second alone, such as e"
    assert told in refused.errors
    assert len(refused.errors.splitlines()) == 1
    nothing = scenescope("compare", pair[0], tmp_path)
    assert (nothing.exit_code, len(nothing.errors.splitlines())) == (2, 1)
    assert not (tmp_path / "out").exists()
