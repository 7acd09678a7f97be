"""scenescope predict: label maps and overlays of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from scenescope.cli.console import Console
from scenescope.cli.inference_options import (
    DeviceOption,
    ModelOption,
    PrecisionOption,
    output_path,
    with_test_options,
)
from scenescope.inference.settings import InferenceSettings


@with_test_options
def predict(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Files, folders or patterns.")],
    output: Annotated[Path, typer.Option(help="Folder for label maps, overlays and summary.csv.", parser=output_path)],
    model: ModelOption = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write the probability of every class as .npz.")
    ] = False,
    overlay: Annotated[
        bool, typer.Option("--overlay/--no-overlay", help="Write the image with the classes' colors and a legend.")
    ] = True,
    max_pixels: Annotated[
        int | None,
        typer.Option(min=1, help="Refuse larger images before decoding them.", show_default="200 million"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Leave out images that are done: unchanged, by this model and settings.")
    ] = False,
    *,
    settings: InferenceSettings,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Segment images. Goes on past those that cannot be read and lists them at the end (exit code 1)."""
    from scenescope.files import output_directory
    from scenescope.inference.batch import SUMMARY, predict_files, require_free, wanted_endings
    from scenescope.inference.inputs import find_images
    from scenescope.inference.segmenter import Segmenter
    from scenescope.training.memory import keep_freed_memory

    files = find_images(images, output)
    require_free(files, output, wanted_endings(probabilities, overlay))
    keep_freed_memory()
    segmenter = Segmenter.load(model, device, precision, settings=settings)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    errors = Console(soft_wrap=True, markup=False, highlight=False, stderr=True)
    shown = track(files, "predicting", console=console, transient=True) if console.is_terminal else files
    segmenter.max_pixels = segmenter.max_pixels if max_pixels is None else max_pixels
    with output_directory(output):
        result = predict_files(
            segmenter,
            shown,
            output,
            probabilities=probabilities,
            overlay=overlay,
            resume=resume,
        )
    console.print(f"{len(result.done)} of {len(files)} images predicted; see {output / SUMMARY}.")
    for note in result.notes:
        errors.print("note:", note)
    for _, reason in result.failed:
        errors.print("failed:", " ".join(reason.split()))
    if result.failed:
        raise typer.Exit(1)
