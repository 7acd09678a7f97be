from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.conftest import Result

SHAPE = {"label": "cat", "points": [[0, 0], [4, 0], [4, 4]], "shape_type": "polygon"}


@pytest.fixture
def run(scenescope: Callable[..., Result]) -> Callable[..., Result]:
    return scenescope


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of LabelMe with a good and a bad shape."""
    folder = tmp_path / "tool"
    folder.mkdir()
    Image.new("RGB", (10, 8)).save(folder / "a.jpg")
    bad = SHAPE | {"points": [[0, 0], [1, 1]]}
    content = {"imagePath": "a.jpg", "imageData": None, "shapes": [SHAPE, bad]}
    (folder / "a.json").write_text(json.dumps(content))
    return folder


def test_faults_end_it_in_one_line(run: Callable[..., Result], source: Path, tmp_path: Path) -> None:
    result = run("import", source, tmp_path / "out")
    assert result.exit_code == 2
    assert result.errors == (
        f"error: {source / 'a.json'}, shape 2 'cat': a polygon of 2 points; expected three or more; repair it, or "
        "leave out what is at fault with --faults skip, which lists it.\n"
    )
    assert not (tmp_path / "out").exists()


def test_what_was_skipped_is_told_and_the_exit_code_says_so(
    run: Callable[..., Result], source: Path, tmp_path: Path
) -> None:
    result = run("import", source, tmp_path / "out", "--faults", "skip")
    assert result.exit_code == 1
    for told in (
        "LabelMe JSON: 1 images",
        "2 regions, 1 drawn, 1 not; where two overlap, the later in the file is on top",
        "without label, the class background",
        f"fault: {source / 'a.json'}, shape 2 'cat': a polygon of 2 points",
        "left out: 1, of which 1 at fault",
        f"scenescope check folder:{tmp_path / 'out'} --val-fraction 0.2)",  # there are no splits
    ):
        assert told in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["NONE", "OUT"], "does not exist"),
        (["EMPTY", "OUT"], "coco_panoptic, coco, labelme"),
        (["TOOL", "TOOL"], "is no folder that import has written"),
        (["TOOL", ""], "empty"),
        (["TOOL", "OUT", "--image-dir", "NONE"], "is not a directory"),
        (["TOOL", "OUT", "--overlap", "size"], "--overlap"),
        (["TOOL"], "OUT"),
    ],
)
def test_bad_input_is_one_line(
    run: Callable[..., Result], source: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    places: dict[str, Any] = {"NONE": tmp_path / "none", "EMPTY": tmp_path / "empty", "OUT": tmp_path / "out"}
    result = run("import", *(str((places | {"TOOL": source}).get(part, part)) for part in arguments))
    assert result.exit_code == 2
    assert message in result.errors
    assert result.errors.count("\n") == 1


def test_check_names_the_format_and_the_command(run: Callable[..., Result], source: Path) -> None:
    result = run("check", source)
    assert result.exit_code == 2
    assert f"{source} holds LabelMe JSON" in result.errors
    assert f"scenescope import {source} OUT" in result.errors
    result = run("check", f"folder:{source}")
    assert result.exit_code == 2
    assert f"{source} holds LabelMe JSON: scenescope import {source} OUT" in result.output + result.errors


def test_check_of_labels_as_text_names_the_command(run: Callable[..., Result], tmp_path: Path) -> None:
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / kind / split).mkdir(parents=True)
        Image.new("RGB", (10, 8)).save(tmp_path / f"images/{split}/a.jpg")
        (tmp_path / f"labels/{split}/a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    result = run("check", f"folder:{tmp_path}")
    assert f"{tmp_path} holds YOLO segmentation: scenescope import {tmp_path} OUT" in result.output + result.errors
