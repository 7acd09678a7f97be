"""scenescope convert: checkpoints of other code become models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from scenescope.cli.inference_options import output_path
from scenescope.errors import ModelError


def convert(
    file: Annotated[Path, typer.Argument(help="The checkpoint: .pth, .pth.tar, ...")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Model directory to write.", parser=output_path)],
    preset: Annotated[
        str | None,
        typer.Option(help="Where options come from that the file does not tell.", show_default="its source's"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One such option, such as align_corners=true; repeatable."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="KIND|FILE",
            help="What the classes are: a kind of data set, such as cityscapes, or a classes.yaml.",
            show_default="as in the file, or by their number",
        ),
    ] = None,
) -> None:
    """Make a model of a checkpoint of the official DANet or DRANet, mmsegmentation or Tramac's DANet."""
    from scenescope.checkpoints.convert import convert as convert_checkpoint

    done = convert_checkpoint(file, output, preset=preset, options=_options(settings or []), classes=classes)
    network = f"{done.model['name']}, backbone {done.model['backbone']}, {done.parameters:,} parameters"
    assumed = " ".join(f"{key}={json.dumps(value)}" for key, value in done.assumed.items())
    rows = {
        "source": done.source,
        "network": network,
        "classes": f"{len(done.classes)}, {done.classes_from}",
        "assumed": f"{assumed} (preset {done.preset}; the file does not tell: --preset, --set)",
        "left out": ", ".join(done.left_out),
        "filled in": "; ".join(done.filled_in),
        "model": f"{output}  (try: scenescope predict PHOTO --model {output} --output out)",
    }
    for name, text in rows.items():
        if text:
            print(f"{name:10}{text}")


def _options(settings: list[str]) -> dict[str, Any]:
    from scenescope.yaml_reader import parse_yaml

    options = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise ModelError(f"--set {setting!r} is not an option; write KEY=VALUE, such as align_corners=true.")
        options[key] = parse_yaml(text, f"--set {key}", ModelError)
    return options
