"""scenescope predict: label maps and overlays of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, track

from scenescope.cli.console import Console
from scenescope.cli.inference_options import (
    DeviceOption,
    ModelOption,
    PrecisionOption,
    output_path,
    with_test_options,
)
from scenescope.errors import ScenescopeError
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
    write: Annotated[
        str | None,
        typer.Option(
            metavar="KIND[,KIND]",
            help="Also write the connected areas for other tools: coco, coco-rle, labelme, cvat, label-studio, yolo,"
            " geojson, or regions (regions.csv).",
            show_default="none",
        ),
    ] = None,
    min_area: Annotated[
        int | None,
        typer.Option(min=1, help="Take the class from connected areas of fewer pixels.", show_default="all are kept"),
    ] = None,
    fill_holes: Annotated[
        int | None,
        typer.Option(min=1, help="Fill holes of fewer pixels with the class around them.", show_default="none"),
    ] = None,
    rename: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML with other names of classes (car: vehicle); null leaves one out, those not listed stay.",
            show_default="none",
        ),
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(min=1, help="Refuse larger images before decoding them.", show_default="200 million"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Leave out images that are done: unchanged, by this model and settings.")
    ] = False,
    as_map: Annotated[
        bool | None,
        typer.Option(
            "--map/--no-map",
            help="Read TIFFs through windows and write GeoTIFFs; needs --window and the extra geo.",
            show_default="with --window those that say where they lie or are beyond --max-pixels",
        ),
    ] = None,
    *,
    settings: InferenceSettings,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Segment images. Goes on past those that cannot be read and lists them at the end (exit code 1)."""
    from scenescope.data.images import MAX_PIXELS
    from scenescope.data.tiff_bands import tiff_facts
    from scenescope.files import output_directory
    from scenescope.inference.predictor import require_windows
    from scenescope.inference.renaming import read_names
    from scenescope.inference.segmenter import Segmenter
    from scenescope.jobs.batch import SUMMARY, predict_files, require_free, wanted_endings
    from scenescope.jobs.inputs import find_images
    from scenescope.jobs.map_batch import map_endings, predict_maps, require_free_maps
    from scenescope.jobs.results import Results
    from scenescope.training.memory import keep_freed_memory

    kinds = tuple(kind.strip() for kind in write.split(",")) if write is not None else ()
    extras = Results(kinds, min_area or 0, fill_holes or 0, read_names(rename) if rename is not None else {})
    found = find_images(images, output)
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    files, maps, placed = [], [], 0
    for file in found:
        pixels, is_placed = (0, False) if as_map is False else tiff_facts(file.path)
        # A tile of a data set is an image as well: without windows what is no map by word is none.
        if pixels and (as_map or (settings.window is not None and (is_placed or pixels > limit))):
            maps.append(file)
        else:
            files.append(file)
            placed += is_placed
    if maps:
        require_windows(settings)
    if maps and extras != Results():
        raise ScenescopeError(
            f"--write, --min-area, --fill-holes and --rename are for images, and {maps[0].path} is a map; outline its"
            " label map with scenescope polygons, or read it as an image with --no-map."
        )
    require_free(files, output, wanted_endings(probabilities, overlay, extras), extras)
    require_free_maps(maps, output, map_endings(probabilities))
    keep_freed_memory()
    segmenter = Segmenter.load(model, device, precision, settings=settings)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    errors = Console(soft_wrap=True, markup=False, highlight=False, stderr=True)
    if placed:
        errors.print(
            f"note: images that say where they lie: {placed}; --window 512 keeps that, in label maps as GeoTIFF."
        )
    shown = track(files, "predicting", console=console, transient=True) if console.is_terminal else files
    segmenter.max_pixels = limit
    results = []
    with output_directory(output):
        if files:
            result = predict_files(
                segmenter,
                shown,
                output,
                probabilities=probabilities,
                overlay=overlay,
                resume=resume,
                results=extras,
            )
            console.print(f"{len(result.done)} of {len(files)} images predicted; see {output / SUMMARY}.")
            results.append(result)
        if maps:
            with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
                row = bar.add_task("map")
                result = predict_maps(
                    segmenter,
                    maps,
                    output,
                    probabilities=probabilities,
                    resume=resume,
                    progress=lambda file, share: bar.update(row, description=file.path.name, completed=100 * share),
                )
            console.print(f"{len(result.done)} of {len(maps)} maps predicted; see {output}.")
            results.append(result)
    for result in results:
        for note in result.notes:
            errors.print("note:", note)
        for _, reason in result.failed:
            errors.print("failed:", " ".join(reason.split()))
    if any(result.failed for result in results):
        raise typer.Exit(1)
