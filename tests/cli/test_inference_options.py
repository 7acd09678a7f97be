from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from scenescope.cli.inference_options import with_test_options
from scenescope.errors import ScenescopeError
from scenescope.inference.settings import PROTOCOLS, InferenceSettings

given: list[tuple[str, InferenceSettings, bool]] = []


@with_test_options
def command(
    name: Annotated[str, typer.Argument(help="First.")],
    *,
    settings: InferenceSettings,
    last: Annotated[bool, typer.Option("--last", help="Behind them.")] = False,
) -> None:
    """What it does."""
    given.append((name, settings, last))


def call(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})
    if result.exception is not None and result.exit_code != 0:
        raise result.exception
    return result.output


def test_the_command_gets_what_the_options_describe() -> None:
    call("x", "--protocol", "official", "--scales", "0.5,1", "--no-flip", "--window", "24", "--stride", "8", "--last")
    name, settings, last = given.pop()
    assert (name, last) == ("x", True)
    assert (settings.scales, settings.flip, settings.window, settings.stride) == ((0.5, 1.0), False, 24, 8)
    assert (settings.base_size, settings.border) == (PROTOCOLS["official"].base_size, "pad")
    call("x")
    assert given.pop() == ("x", InferenceSettings(), False)


def test_help_has_them_in_the_place_of_the_settings() -> None:
    told = call("--help")
    places = [
        told.index(f"--{name}") for name in ("protocol", "scales", "flip", "window", "stride", "base-size", "last")
    ]
    assert places == sorted(places)
    assert "settings" not in told
    assert "What it does." in told


def test_what_is_not_possible_is_refused_before_the_command() -> None:
    with pytest.raises(ScenescopeError, match="Did you mean 'official'"):
        call("x", "--protocol", "offical")
    assert given == []
