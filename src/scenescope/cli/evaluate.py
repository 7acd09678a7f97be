"""scenescope evaluate: score a model on a data set."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from scenescope.cli.attention_tables import print_attention
from scenescope.cli.console import Console, progress_bars
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
from scenescope.errors import ScenescopeError, visible

if TYPE_CHECKING:
    from scenescope.evaluation.boundary_scores import BoundaryScores
    from scenescope.evaluation.scores import Scores


def evaluate(
    source: Annotated[str, typer.Argument(metavar="KIND:ROOT", help="The data set, such as camvid:DIR or scenes:.")],
    model: ModelOption = None,
    split: Annotated[str, typer.Option(help="Part of the data set to score.")] = "val",
    val_fraction: Annotated[
        float | None,
        typer.Option(help="For folder: without splits: data.val_fraction of the training.", show_default="as on disk"),
    ] = None,
    val_seed: Annotated[int, typer.Option(min=0, help="And its data.val_seed.")] = 0,
    classes: Annotated[
        str | None,
        typer.Option(help="Where the kind leaves a choice: data.classes of the training.", show_default="its first"),
    ] = None,
    protocol: ProtocolOption = None,
    scales: ScalesOption = None,
    flip: FlipOption = None,
    window: WindowOption = None,
    stride: StrideOption = None,
    base_size: BaseSizeOption = None,
    absent: Annotated[
        Literal["skip", "zero"],
        typer.Option(help="A class in neither truth nor prediction: left out of the means, or counted as 0."),
    ] = "skip",
    boundary: Annotated[
        bool, typer.Option("--boundary", help="Also score boundaries: Boundary IoU and boundary F.")
    ] = False,
    attention: Annotated[
        bool,
        typer.Option("--attention", help="Also check attention: what it is paid to, and the score without it."),
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images of one size that are looked at together.")] = 1,
    num_workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read images.", show_default="0; with a GPU by its cores")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for scores.json and confusion.png.", show_default="only print", parser=output_path),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report.html: numbers, charts, and the best and worst images looked into.",
            show_default="none",
            parser=output_path,
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
) -> None:
    """Score a model on a data set, at the size of the labels. Under torchrun the processes share the images."""
    from scenescope.checkpoints.model_directory import class_difference
    from scenescope.data.catalog import open_dataset, parse_source
    from scenescope.data.dataset import seen_by
    from scenescope.drawing.charts import draw_confusion
    from scenescope.evaluation.boundary import BoundaryCounts
    from scenescope.evaluation.boundary_scores import BoundaryScores
    from scenescope.evaluation.distributed import joined_processes
    from scenescope.evaluation.evaluator import evaluate as evaluate_network
    from scenescope.evaluation.scores import Scores
    from scenescope.files import output_directory, write_text
    from scenescope.inference.segmenter import Segmenter
    from scenescope.training.memory import keep_freed_memory
    from scenescope.workflows.attention_check import check_attention
    from scenescope.workflows.evaluation_report import ImageScores, write_evaluation_report

    settings = inference_settings(scales, flip, window, stride, base_size, protocol)
    dataset = open_dataset(*parse_source(source), split, val_fraction=val_fraction, val_seed=val_seed, classes=classes)
    images = None if report is None else ImageScores(dataset.classes.names)
    if images is not None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ScenescopeError("--report looks at every image in one process; run it without torchrun.")
    if attention and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ScenescopeError("--attention looks at every image in one process; run it without torchrun.")
    along = BoundaryCounts(len(dataset.classes)) if boundary else None
    keep_freed_memory()
    segmenter = Segmenter.load(model, device, precision, settings=settings)
    dataset = seen_by(dataset, segmenter.band_rule, "the model")
    difference = class_difference(segmenter.classes.names, dataset.classes.names)
    with contextlib.ExitStack() as places:
        for place in (output, report):
            # Before the work: that a folder cannot be written is to be known early.
            if place is not None:
                places.enter_context(output_directory(place))
        with joined_processes() as (rank, world_size):
            console = Console(quiet=rank != 0)
            if difference and rank == 0:
                print(visible(f"note: {difference}."), file=sys.stderr)
            with progress_bars(console) as show:
                confusion = evaluate_network(
                    segmenter,
                    dataset,
                    batch_size=batch_size,
                    num_workers=num_workers,
                    rank=rank,
                    world_size=world_size,
                    progress=None if show is None else partial(show, "evaluating"),
                    boundary=along,
                    each=None if images is None else images.see,
                )
        if rank != 0:
            return
        checked = None
        if attention:
            with progress_bars(console) as show:
                told = None if show is None else partial(show, "checking attention")
                checked = check_attention(segmenter, dataset, progress=told)
        names = dataset.classes.names
        scores = Scores.from_matrix(confusion, names, absent)
        boundary_scores = None if along is None else BoundaryScores.from_counts(along, names, absent)
        # Before anything is written: whatever becomes of the files, the numbers are known.
        _print_scores(console, scores, boundary_scores, f"{source}, {split}, {len(dataset)} images")
        if checked is not None:
            print_attention(console, checked)
        if output is not None:
            stored = {
                "data": source,
                "split": split,
                "images": len(dataset),
                "model": str(segmenter.source),
                "precision": segmenter.precision,
                "classes": list(names),
                "settings": dataclasses.asdict(settings),
                "scores": scores.to_json(),
            }
            if boundary_scores is not None:
                stored["boundary"] = boundary_scores.to_json()
            if checked is not None:
                stored["attention"] = checked.to_json()
            write_text(output / "scores.json", json.dumps(stored, indent=2) + "\n")
            draw_confusion(confusion.counts(), names, output / "confusion.png")
        if report is not None and images is not None:
            page = write_evaluation_report(report, segmenter, dataset, scores, images, f"{source}, {split}", checked)
            console.print(f"Report: {page}", markup=False, highlight=False, soft_wrap=True)


def _print_scores(console: Console, scores: Scores, boundary: BoundaryScores | None, title: str) -> None:
    total = sum(scores.pixels)
    console.print(title, markup=False, highlight=False, soft_wrap=True)
    table = Table()
    table.add_column("class", overflow="fold")
    columns = {
        "IoU": [_shown(value) for value in scores.iou],
        "accuracy": [_shown(value) for value in scores.accuracy],
        "pixels": [f"{pixels / total:.2%}" for pixels in scores.pixels],
    }
    means: dict[str, float | None] = {
        "mean IoU": scores.mean_iou,
        "pixel accuracy": scores.pixel_accuracy,
        "mean accuracy": scores.mean_accuracy,
        "frequency-weighted IoU": scores.frequency_weighted_iou,
    }
    if boundary is not None:
        columns["boundary IoU"] = [_shown(value) for value in boundary.iou]
        columns["boundary F"] = [_shown(value) for value in boundary.f]
        means |= {"mean boundary IoU": boundary.mean_iou, "mean boundary F": boundary.mean_f}
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name, *row in zip(scores.names, *columns.values(), strict=True):
        table.add_row(Text(visible(name)), *row)
    console.print(table, highlight=False)
    for what, value in means.items():
        console.print(f"{what:24}{_shown(value)}", highlight=False)
    if scores.absent:
        how = "left out of the means" if scores.absent_as == "skip" else "counted as 0"
        names = ", ".join(scores.absent)
        told = f"{len(scores.absent)} absent from truth and prediction, {how}: {names}"
        console.print(told, markup=False, highlight=False, soft_wrap=True)


def _shown(value: float | None) -> str:
    return "absent" if value is None else f"{value:.4f}"
