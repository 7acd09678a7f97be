"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenescope.errors import ScenescopeError

if TYPE_CHECKING:
    from scenescope.inference.settings import InferenceSettings

ModelOption = Annotated[
    str | None,
    typer.Option(
        help="A model directory, a model in the box by name, or hub:org/name.", show_default="first in the box"
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ScalesOption = Annotated[str, typer.Option(help="Look at each picture at these sizes, such as 0.75,1,1.25.")]
FlipOption = Annotated[bool, typer.Option("--flip", help="Look at the mirrored picture as well.")]
WindowOption = Annotated[
    int | None,
    typer.Option(help="Slide a square window of this many pixels over each picture.", show_default="the whole picture"),
]
StrideOption = Annotated[
    int | None, typer.Option(help="Pixels from window to window.", show_default="two thirds of the window")
]


def output_path(text: str) -> Path:
    """Return the path of an output; an empty one would be the current folder.

    Raises:
        ScenescopeError: it is empty.
    """
    if not text.strip():
        raise ScenescopeError("--output is empty; give a folder, or . for the current one.")
    return Path(text)


def inference_settings(scales: str, flip: bool, window: int | None, stride: int | None) -> InferenceSettings:
    """Return the settings that the options describe.

    Raises:
        ScenescopeError: numbers that cannot be read or are not possible.
    """
    from scenescope.inference.settings import InferenceSettings

    return InferenceSettings(_parse_scales(scales), flip, window, stride)


def _parse_scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ScenescopeError(f"--scales {text!r} is not a list of numbers; write it like 0.75,1,1.25.") from None
