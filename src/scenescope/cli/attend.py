"""scenescope attend: what pixels, channels and heads attend to."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scenescope.cli.attention_tables import print_attention, print_class_cuts
from scenescope.cli.console import Console, progress_bars
from scenescope.cli.inference_options import DeviceOption, ModelOption, PrecisionOption, output_path
from scenescope.errors import ImageError, ScenescopeError, nearest, visible

if TYPE_CHECKING:
    from scenescope.explore.points import Point
    from scenescope.inference.segmenter import Segmenter
    from scenescope.workflows.attention import AttentionInput


def attend(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Files, folders or patterns; or one data set KIND:ROOT, for its truth; with --check, MODEL KIND:ROOT.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Folder for the images.", parser=output_path, show_default="none")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a look at one image as one HTML file to send, in which every pixel can be clicked.",
            show_default="none",
        ),
    ] = None,
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
    check: Annotated[
        bool,
        typer.Option("--check", help="Tell whether attention is at work: what it is paid to, the score without it."),
    ] = False,
    cut: Annotated[
        Literal["classes"] | None,
        typer.Option(help="Over a data set: what becomes of each class without another to attend to."),
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
    from scenescope.workflows.shared_look import require_free_page

    of_figures = channel or head or received or truth or against or arrays or form != "png"
    if check or cut is not None:
        if html is not None:
            raise ScenescopeError("--html is a look at one image; leave out --check and --cut.")
        if (check and cut is not None) or of_figures or point or scene:
            raise ScenescopeError(
                "--check and --cut are about a whole data set, one at a time; leave out the other, and what asks about"
                " single images."
            )
        _over_a_set(images, output, model, split, check, device, precision)
        return
    if output is None and html is None:
        raise ScenescopeError(
            "--output is missing; give a folder for the figures, such as --output out, or --html look.html."
        )
    if output is None and of_figures:
        raise ScenescopeError(
            "--channel, --head, --received, --truth, --against, --format and --arrays are about the figures; give"
            " --output for them."
        )
    if form not in FORMATS:
        raise ScenescopeError(f"--format {form!r} is not known.{nearest(form, FORMATS)} Known: {', '.join(FORMATS)}.")
    if html is not None:
        require_free_page(html, [])  # before a model is loaded
    points = list(dict.fromkeys(_parse_point(text) for text in point or []))
    segmenter = Segmenter.load(model, device, precision)
    others = {shown: Segmenter.load(name, device, precision) for name, shown in _short_names(against or []).items()}
    require_same_classes(segmenter, others)
    # A file holds no images that a folder would be searched without.
    place = output or html or Path()
    subjects = find_inputs(images, place, segmenter, split=split, scenes=scene or [], truth=truth)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    wish = FigureOptions(points, channel or (), head or HEADS, received, form, arrays, others)
    if output is not None:
        require_free(subjects, wish, output)
    if html is not None:
        _one_file(subjects, segmenter, html, points, console)
    if output is None:
        return
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


def _one_file(
    subjects: list[AttentionInput], segmenter: Segmenter, html: Path, points: list[Point], console: Console
) -> None:
    """Write a look at one image as one file, and say where it is."""
    from scenescope.workflows.shared_look import require_one, share_look

    with progress_bars(console) as show:
        progress = None if show is None else partial(show, "cutting")
        lines = share_look(require_one(subjects), segmenter, html, points=points, progress=progress)
    for line in lines:
        console.print(visible(line))


def _over_a_set(
    given: list[str],
    output: Path | None,
    model: str | None,
    split: str,
    check: bool,
    device: str,
    precision: Literal["auto", "float32", "bfloat16"],
) -> None:
    """Check attention on a data set, or cut its classes; print what is found, and write it where there is an output."""
    from scenescope.data.catalog import open_dataset, parse_source
    from scenescope.drawing.charts import draw_class_cuts
    from scenescope.files import output_directory, write_text
    from scenescope.inference.segmenter import Segmenter
    from scenescope.workflows.attention_check import check_attention
    from scenescope.workflows.class_cuts import ClassCuts, cut_classes

    what = "--check" if check else "--cut classes"
    if model is None and len(given) == 2:
        model, *given = given
    if len(given) != 1:
        raise ScenescopeError(f"{what} takes one data set, as in: attend {what} MODEL KIND:ROOT.")
    dataset = open_dataset(*parse_source(given[0]), split)
    segmenter = Segmenter.load(model, device, precision)
    console = Console(highlight=False)

    def keep(name: str, found: dict[str, Any]) -> None:
        if output is not None:
            kept = {"data": given[0], "split": split, "model": str(segmenter.source), **found}
            write_text(output / name, json.dumps(kept, indent=2) + "\n")

    with output_directory(output) if output is not None else nullcontext():
        with progress_bars(console) as show:
            progress = None if show is None else partial(show, "looking")
            found = (check_attention if check else cut_classes)(segmenter, dataset, progress=progress)
        told = f"{given[0]}, {split}, {len(dataset)} images, {segmenter.source}"
        console.print(visible(told), markup=False, soft_wrap=True)
        if isinstance(found, ClassCuts):
            print_class_cuts(console, found)
            keep("cuts.json", found.to_json())
            if output is not None:
                draw_class_cuts(found.paid, found.change, found.names, output / "cuts.png")
        else:
            print_attention(console, found)
            keep("attention.json", found.to_json())


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
