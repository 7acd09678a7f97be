"""Options that several commands share."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from scenescope.errors import ScenescopeError, nearest
from scenescope.inference.settings import PROTOCOLS, InferenceSettings

ModelOption = Annotated[
    str | None,
    typer.Option(
        help="A model directory, an exported file, a model in the box by name, or hub:org/name.",
        show_default="first in the box",
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(help="Number format; auto is bfloat16 where the device multiplies it, else float32."),
]
ProtocolOption = Annotated[
    str | None,
    typer.Option(
        help="Test as published: official, official-ms, mmseg or mmseg-ms. The options below replace single values.",
        show_default="the whole image in its own size",
    ),
]
ScalesOption = Annotated[
    str | None, typer.Option(help="Look at each image at these sizes, such as 0.75,1,1.25.", show_default="1")
]
FlipOption = Annotated[
    bool | None, typer.Option("--flip/--no-flip", help="Look at the mirrored image as well.", show_default="no-flip")
]
WindowOption = Annotated[
    int | None,
    typer.Option(help="Slide a square window of this many pixels over each image.", show_default="the whole image"),
]
StrideOption = Annotated[
    float | None,
    typer.Option(
        help="Pixels from window to window, or below 1 a share of the window.", show_default="two thirds of the window"
    ),
]
BaseSizeOption = Annotated[
    str | None,
    typer.Option(
        metavar="LONG[,SHORT]",
        help="Long side of each image at scale 1, or the largest long and short side.",
        show_default="its own size",
    ),
]


def output_path(text: str | Path) -> Path:
    """Return the path of an output, as typed or an option's default; an empty one would be the current folder.

    Raises:
        ScenescopeError: it is empty.
    """
    if not str(text).strip():
        raise ScenescopeError("--output is empty; give a folder, or . for the current one.")
    return Path(text)


_TEST_OPTIONS = {
    "protocol": ProtocolOption,
    "scales": ScalesOption,
    "flip": FlipOption,
    "window": WindowOption,
    "stride": StrideOption,
    "base_size": BaseSizeOption,
}


def with_test_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the test procedure in the place of its parameter ``settings``, which they make."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    options = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=option)
        for name, option in _TEST_OPTIONS.items()
    ]

    @wraps(command)
    def called(**given: Any) -> None:
        test = {name: given.pop(name) for name in _TEST_OPTIONS}
        command(**given, settings=inference_settings(**test))

    # Typer reads both.
    parameters = [each for one in own for each in (options if one.name == "settings" else [one])]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def inference_settings(
    scales: str | None,
    flip: bool | None,
    window: int | None,
    stride: float | None,
    base_size: str | None = None,
    protocol: str | None = None,
) -> InferenceSettings:
    """Return the settings that the options describe: those of the protocol, with what is given in their place.

    Raises:
        ScenescopeError: an unknown protocol, or numbers that cannot be read or are not possible.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise ScenescopeError(
            f"There is no protocol {protocol!r}.{nearest(protocol, PROTOCOLS)} Known: {', '.join(PROTOCOLS)}."
        )
    given: dict[str, Any] = {
        "scales": None if scales is None else _parse_scales(scales),
        "flip": flip,
        "window": window,
        "stride": int(stride) if stride is not None and stride.is_integer() else stride,
        "base_size": None if base_size is None else _parse_base_size(base_size),
    }
    settings = PROTOCOLS[protocol] if protocol is not None else InferenceSettings()
    return dataclasses.replace(settings, **{name: value for name, value in given.items() if value is not None})


def parse_size(text: str) -> tuple[int, int]:
    """Read ``HEIGHT,WIDTH`` in pixels.

    Raises:
        ScenescopeError: it is something else.
    """
    matched = re.fullmatch(r"(\d+),(\d+)", text)
    if matched is None or 0 in (int(matched[1]), int(matched[2])):
        raise ScenescopeError(f"--size {text!r} is not a size; write height and width in pixels, such as 480,480.")
    return int(matched[1]), int(matched[2])


def _parse_scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ScenescopeError(f"--scales {text!r} is not a list of numbers; write it like 0.75,1,1.25.") from None


def _parse_base_size(text: str) -> int | tuple[int, ...]:
    try:
        sides = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ScenescopeError(f"--base-size {text!r} is not a size; write it like 2048,1024 or 2048.") from None
    return sides[0] if len(sides) == 1 else sides
