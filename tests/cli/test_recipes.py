from __future__ import annotations

import sys

import pytest

from scenescope.cli.main import main
from scenescope.recipes.reader import list_recipes, recipe_text


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["scenescope", "recipes", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    return capsys.readouterr().out


def test_lists_each_recipe_with_its_first_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(monkeypatch, capsys).splitlines()[1:]
    assert len(lines) == len(list_recipes())
    for line, (name, comment) in zip(lines, list_recipes().items(), strict=True):
        assert line.split()[0] == name
        assert comment.splitlines()[0] in line


def test_prints_one_as_it_is_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(monkeypatch, capsys, "camvid/danet-lite0") == recipe_text("camvid/danet-lite0")
