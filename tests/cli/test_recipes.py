from __future__ import annotations

import sys

import pytest

from scenescope.cli.main import main
from scenescope.recipes.reader import list_ablations, list_recipes, recipe_text


def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str, columns: str = "200"
) -> str:
    monkeypatch.setattr(sys, "argv", ["scenescope", "recipes", *arguments])
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    return capsys.readouterr().out


def test_lists_each_recipe_with_its_first_sentence_and_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line.rstrip() for line in printed(monkeypatch, capsys).splitlines()]
    comments = {name: comment.splitlines() for name, comment in (list_recipes() | list_ablations()).items()}
    assert lines == [
        line for name, (what, command, *_) in comments.items() for line in (name, f"  {what}", f"  {command}")
    ]


def test_on_80_columns_no_command_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(monkeypatch, capsys, columns="80").splitlines()
    assert max(len(line) for line in lines if not line.startswith("  scenescope ")) <= 80
    assert {f"  {comment.splitlines()[1]}" for comment in (list_recipes() | list_ablations()).values()} <= set(lines)


def test_prints_one_as_it_is_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(monkeypatch, capsys, "camvid/danet-lite0") == recipe_text("camvid/danet-lite0")
