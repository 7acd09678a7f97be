"""Calling the command line in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from scenescope.checkpoints.model_directory import save_model
from scenescope.cli.main import main
from scenescope.labels import Classes
from scenescope.models.catalog import create_model


class Result(NamedTuple):
    """What a command left: its exit code and what it printed."""

    exit_code: int
    output: str
    errors: str


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a small DANet with the classes road, sky and car."""
    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("model")
    network = create_model("danet", backbone="test_resnet", num_classes=3, output_stride=16)
    save_model(network, Classes.named(["road", "sky", "car"]), directory)
    return directory


@pytest.fixture
def scenescope(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Return a function that calls ``scenescope`` with arguments."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["scenescope", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        return Result(int(left.value.code or 0), *capsys.readouterr())

    return call
