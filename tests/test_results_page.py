"""Every command of docs/results.md runs as it is printed, and what its tables name is written."""

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
from scenescope.data.camvid import CLASSES
from scenescope.data.formats.write_regions import HEADER
from scenescope.data.formats.writers import KINDS
from scenescope.models.catalog import create_model
from scenescope.own_files import file_name

PAGE = (Path(__file__).resolve().parent.parent / "docs/results.md").read_text()
BLOCK = re.compile(r"<!-- run -->\n+(?:```python\n(?P<python>.*?)```|(?P<shell>(?: {4}[^\n]*\n)+))", re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images, names, and an untrained model of CamVid's classes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photos/street.jpg")
    names = re.search(r"`names.yaml` gives.*\n\n((?: {4}.+\n)+)", PAGE)
    assert names is not None
    (tmp_path / "names.yaml").write_text(re.sub("^    ", "", names[1], flags=re.MULTILINE))
    torch.manual_seed(0)
    save_model(create_model("danet", backbone="test_resnet", num_classes=len(CLASSES)), CLASSES, tmp_path / "model")
    monkeypatch.setattr("scenescope.checkpoints.find.models_in_box", lambda: {"model": tmp_path / "model"})
    monkeypatch.setattr("scenescope.checkpoints.find._tell_license", lambda: None)
    return tmp_path


def test_every_command_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = []
    for block in BLOCK.finditer(PAGE):
        if block["python"]:
            exec(block["python"], {})
            continue
        for line in block["shell"].splitlines():
            program, *arguments = shlex.split(line)
            assert program == "scenescope"
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
            commands.append(line.strip())
    assert commands == [line.strip() for line in PAGE.splitlines() if line.startswith("    scenescope ")]
    assert "holes" in capsys.readouterr().out
    for output, kind in re.findall(r"--output (for-\S+) --write (\S+)", PAGE):
        assert (place / output / file_name("street", KINDS[kind].ending)).is_file()
        assert all((place / output / name).is_file() for name in KINDS[kind].joined)


def test_the_tables_tell_what_is_written() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (`.*) \|.*\|$", PAGE, re.MULTILINE))
    assert rows.keys() == KINDS.keys()
    for name, kind in KINDS.items():
        files = [file_name("NAME", kind.ending), *kind.joined]
        assert re.findall("`([^`]+)`", rows[name])[: len(files)] == files
    columns = PAGE.partition("| column | |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in columns.splitlines() if line.startswith("| `")]
    assert tuple(re.findall("`([^`]+)`", " ".join(cells))) == HEADER
