from __future__ import annotations

import pytest


@pytest.mark.parametrize("command", ["demo", "submit", "ablate"])
def test_a_command_of_the_lab_has_its_own_help_and_errors(scenescope, command):
    for flag in ("--help", "-h"):
        result = scenescope(command, flag)
        assert result.exit_code == 0
        assert f"scenescope {command} [OPTIONS]" in result.output
        assert "--device" in result.output
    result = scenescope(command, "--devcie", "cpu")
    assert result.exit_code == 2
    assert "--devcie" in result.errors
    assert f"See scenescope {command} --help." in result.errors


def test_the_help_of_all_names_them_with_a_sentence_each(scenescope):
    told = scenescope("--help").output
    for start in ("demo +Train a small DANet on generated", "submit +Predict a test split", "ablate +Train a grid"):
        name, _, sentence = start.partition(" +")
        assert any(name in line and sentence in line for line in told.splitlines()), start
