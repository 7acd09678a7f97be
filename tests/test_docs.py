"""Every command in docs/bands.md runs, as it is printed; only the training is cut short."""

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scenescope.cli.main import app
from scenescope.recipes import reader
from tests.test_readme import BLOCK, ROOT, short_recipe


def test_every_command_on_bands_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "load_recipe", short_recipe)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/bands.md").read_text()
    told = {}
    for block in BLOCK.finditer(text):
        if block["python"]:
            exec(block["python"], {})
            continue
        for line in filter(None, (line.strip() for line in block["shell"].splitlines())):
            _, command, *arguments = shlex.split(line)
            result = CliRunner().invoke(app, [command, *arguments])
            assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
            told[command] = result.output
    assert len(told) == len([line for line in text.splitlines() if line.startswith("    scenescope ")]) == 5
    assert "4 bands of uint16 (band 0: 200 to 399" in told["check"]
    assert (tmp_path / "coast-out/0_labels.png").exists()
    assert (tmp_path / "coast.onnx").exists()
