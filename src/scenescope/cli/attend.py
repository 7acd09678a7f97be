"""scenescope attend: what pixels, channels and heads attend to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from scenescope.cli.inference_options import DeviceOption, ModelOption, PrecisionOption, output_path
from scenescope.errors import ImageError, ScenescopeError, nearest, visible

if TYPE_CHECKING:
    from scenescope.explore.points import Point


def attend(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="Files, folders or patterns; or one data set KIND:ROOT, for its truth."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the images.", parser=output_path)],
    model: ModelOption = None,
    point: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y",
            help="Pixel to ask about, from the upper left corner; may be repeated.",
            show_default="one in each of the three largest classes",
        ),
    ] = None,
    channel: Annotated[
        list[int] | None,
        typer.Option(
            help="Attended channel to show; may be repeated.", show_default="two that answer to the first point's class"
        ),
    ] = None,
    head: Annotated[
        list[int] | None,
        typer.Option(help="Stage whose squeeze-and-attention head to show; may be repeated.", show_default="1 and 4"),
    ] = None,
    received: Annotated[bool, typer.Option("--received", help="Also show who attends to each point.")] = False,
    truth: Annotated[
        Path | None,
        typer.Option(help="Mask of a single image: class numbers of the model, 255 ignored.", show_default="none"),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Another model whose prediction to show; may be repeated.", show_default="none"),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a data set.")] = "val",
    scene: Annotated[
        list[str] | None,
        typer.Option(help="Scene of a data set by name; may be repeated.", show_default="three, spread over the split"),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="Of the figures: png, svg or pdf.")] = "png",
    arrays: Annotated[bool, typer.Option("--arrays", help="Also write the raw numbers as .npz.")] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Draw what chosen pixels of images attend to, channels and heads, beside the prediction.

    Goes on past images that cannot be read and lists them at the end (exit code 1).
    """
    from scenescope.drawing.panels import FORMATS
    from scenescope.explore.attention_figure import HEADS
    from scenescope.files import output_directory
    from scenescope.inference.segmenter import Segmenter
    from scenescope.workflows.attention import (
        FigureOptions,
        draw_attention,
        find_inputs,
        require_free,
        require_same_classes,
    )

    if form not in FORMATS:
        raise ScenescopeError(f"--format {form!r} is not known.{nearest(form, FORMATS)} Known: {', '.join(FORMATS)}.")
    points = list(dict.fromkeys(_parse_point(text) for text in point or []))
    segmenter = Segmenter.load(model, device, precision)
    others = {shown: Segmenter.load(name, device, precision) for name, shown in _short_names(against or []).items()}
    require_same_classes(segmenter, others)
    subjects = find_inputs(images, output, segmenter, split=split, scenes=scene or [], truth=truth)
    wish = FigureOptions(points, channel or (), head or HEADS, received, form, arrays, others)
    require_free(subjects, wish, output)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    failed = []
    with output_directory(output):
        for subject in subjects:
            try:
                lines = draw_attention(subject, segmenter, wish, output)
            except ImageError as error:
                if len(subjects) == 1:
                    raise
                failed.append(str(error))
                continue
            if len(subjects) > 1:
                console.print(visible(f"{subject.name}:"))
            for line in lines:
                console.print(visible(line))
        console.print(visible(f"Images are in {output}."))
    errors = Console(soft_wrap=True, markup=False, highlight=False, stderr=True)
    for reason in failed:
        errors.print("failed:", visible(" ".join(reason.split())))
    if failed:
        raise typer.Exit(1)


def _short_names(names: list[str]) -> dict[str, str]:
    """Return for each name its last parts, as many for all as tell them apart: every model may be called best."""
    parts = {name: Path(name).parts for name in names}
    longest = max(map(len, parts.values()), default=1)
    for count in range(1, longest + 1):
        short = {name: "/".join(each[-count:]) for name, each in parts.items()}
        if len(set(short.values())) == len(short):
            return short
    return {name: name for name in names}


def _parse_point(text: str) -> Point:
    matched = re.fullmatch(r"\s*(-?\d+)\s*,\s*(-?\d+)\s*", text)
    if matched is None:
        raise ScenescopeError(f"--point {text!r} is not a pixel; write two whole numbers, such as 120,80.")
    return int(matched[1]), int(matched[2])
