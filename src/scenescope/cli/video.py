"""scenescope video: the overlay and the class shares of every frame of a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scenescope.cli.console import Console
from scenescope.cli.inference_options import (
    BaseSizeOption,
    DeviceOption,
    FlipOption,
    ModelOption,
    PrecisionOption,
    ProtocolOption,
    ScalesOption,
    StrideOption,
    WindowOption,
    inference_settings,
    output_path,
)


def video(
    source: Annotated[str, typer.Argument(metavar="VIDEO", help="A file; with --stream an address or a camera.")],
    output: Annotated[
        Path,
        typer.Option(
            help="Folder for NAME_overlay.mp4, NAME_shares.csv and NAME_summary.json.",
            parser=output_path,
        ),
    ],
    model: ModelOption = None,
    every: Annotated[int, typer.Option(min=1, help="Predict one of so many frames.")] = 1,
    smooth: Annotated[
        float,
        typer.Option(
            metavar="S", help="Smooth probabilities over time: S times those before plus 1 - S times the new; 0 to 1."
        ),
    ] = 0.0,
    stream: Annotated[
        bool, typer.Option("--stream", help="Open an address such as rtsp://..., or the camera /dev/video0.")
    ] = False,
    overlay: Annotated[
        bool, typer.Option("--overlay/--no-overlay", help="Write the video with the classes' colors.")
    ] = True,
    legend: Annotated[bool, typer.Option("--legend/--no-legend", help="Name the classes below the overlay.")] = True,
    max_pixels: Annotated[
        int | None,
        typer.Option(min=1, help="Refuse larger frames before decoding them.", show_default="200 million"),
    ] = None,
    protocol: ProtocolOption = None,
    scales: ScalesOption = None,
    flip: FlipOption = None,
    window: WindowOption = None,
    stride: StrideOption = None,
    base_size: BaseSizeOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Segment a video. Of one that is damaged, or when Ctrl-C ends it, what is done is kept (exit code 1 or 130)."""
    from scenescope.data.images import MAX_PIXELS
    from scenescope.data.video import VideoReader, is_address, shown_name
    from scenescope.errors import ImageError
    from scenescope.files import output_directory
    from scenescope.inference.segmenter import Segmenter
    from scenescope.jobs.flicker import STILL
    from scenescope.jobs.video import check_options, places, predict_video
    from scenescope.training.memory import keep_freed_memory

    check_options(every, smooth)
    if is_address(source) and not stream:
        raise ImageError(f"{shown_name(source)} is not a file; add --stream to open it, or download it.")
    settings = inference_settings(scales, flip, window, stride, base_size, protocol)
    with VideoReader(source, stream=stream, max_pixels=max_pixels or MAX_PIXELS) as opened:
        places(opened.name, output, overlay)
        keep_freed_memory()
        segmenter = Segmenter.load(model, device, precision, settings=settings)
        console = Console(soft_wrap=True, markup=False, highlight=False)
        errors = Console(soft_wrap=True, markup=False, highlight=False, stderr=True)
        columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        shown = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        total = None if opened.num_frames is None else -(-opened.num_frames // every)
        with output_directory(output), shown:
            task = shown.add_task("predicting", total=total)
            result = predict_video(
                segmenter,
                opened,
                output,
                every=every,
                smooth=smooth,
                overlay=overlay,
                legend=legend,
                progress=lambda done: shown.update(task, completed=done),
            )
    console.print(f"{result.num_frames} frames predicted; see", ", ".join(map(str, result.files)) + ".")
    if result.flicker.still:
        before = f" ({result.unsmoothed.share:.2%} without smoothing)" if smooth else ""
        console.print(
            f"Flicker: {result.flicker.share:.2%} of the pixels whose color stayed within {STILL} of 255 changed their"
            f" class from frame to frame{before}."
        )
    for note in result.notes:
        errors.print("note:", note)
    if result.problem is not None:
        errors.print("failed:", " ".join(result.problem.split()))
        raise typer.Exit(1)
