"""Calling the command line in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from scenescope.cli.main import main


class Result(NamedTuple):
    """What a command left: its exit code and what it printed."""

    exit_code: int
    output: str
    errors: str


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
