"""scenescope evaluate: score a model on a data set."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scenescope.cli.attention_tables import print_attention
from scenescope.cli.console import Console, progress_bars
from scenescope.cli.inference_options import (
    DeviceOption,
    ModelOption,
    PrecisionOption,
    output_path,
    with_test_options,
)
from scenescope.cli.score_tables import print_scores
from scenescope.errors import ScenescopeError, visible
from scenescope.inference.settings import InferenceSettings

if TYPE_CHECKING:
    from scenescope.data.dataset import SegmentationDataset
    from scenescope.evaluation.label_files import LabelFiles
    from scenescope.evaluation.scores import Scores
    from scenescope.inference.segmenter import Segmenter


def _predictions_path(text: str) -> Path:
    if not text.strip():
        raise ScenescopeError("--predictions is empty; give the folder of the label files.")
    return Path(text)


@with_test_options
def evaluate(
    source: Annotated[str, typer.Argument(metavar="KIND:ROOT", help="The data set, such as camvid:DIR or scenes:.")],
    model: ModelOption = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Score the label files in this folder, NAME.png or predict's NAME_labels.png, in place of a model.",
            show_default="none",
            parser=_predictions_path,
        ),
    ] = None,
    predictions_as: Annotated[
        Literal["train-ids", "masks"],
        typer.Option(help="What they hold: train ids 0, 1, 2, ..., or values or colors as the masks of the data."),
    ] = "train-ids",
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
    *,
    settings: InferenceSettings,
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
        typer.Option(
            help="Folder for scores.json, per_image.csv and confusion.csv.",
            show_default="only print",
            parser=output_path,
        ),
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
    """Score a model, or label files, on a data set, at the size of the labels.

    Under torchrun the processes share the images.
    """
    from scenescope.data.catalog import open_dataset, parse_source
    from scenescope.data.dataset import seen_by
    from scenescope.evaluation.bootstrap import Intervals
    from scenescope.evaluation.boundary import BoundaryCounts
    from scenescope.evaluation.boundary_scores import BoundaryScores
    from scenescope.evaluation.distributed import joined_processes
    from scenescope.evaluation.evaluator import evaluate as evaluate_model
    from scenescope.evaluation.image_counts import ImageCounts
    from scenescope.evaluation.label_files import LabelFiles, evaluate_files
    from scenescope.evaluation.scores import Scores
    from scenescope.files import output_directory
    from scenescope.training.memory import keep_freed_memory
    from scenescope.workflows.attention_check import check_attention
    from scenescope.workflows.evaluation_report import write_evaluation_report
    from scenescope.workflows.evaluation_result import EvaluationResult

    dataset = open_dataset(*parse_source(source), split, val_fraction=val_fraction, val_seed=val_seed, classes=classes)
    names = dataset.classes.names
    if attention and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ScenescopeError("--attention looks at every image in one process; run it without torchrun.")
    keep_freed_memory()
    scored: Segmenter | LabelFiles
    if predictions is None:
        if predictions_as != "train-ids":
            raise ScenescopeError("--predictions-as says what --predictions hold; give those as well.")
        scored = _loaded(dataset, model, device, precision, settings)
        dataset = seen_by(dataset, scored.band_rule, "the model")
        count = partial(evaluate_model, scored, dataset, batch_size=batch_size, num_workers=num_workers)
    else:
        _refuse_beside_predictions(model, settings, attention, batch_size, device, precision)
        scored = _found(dataset, predictions, predictions_as)
        count = partial(evaluate_files, scored, dataset, num_workers=num_workers or 0)
    along = BoundaryCounts(len(names)) if boundary else None
    images = ImageCounts(len(dataset), len(names), "cpu" if isinstance(scored, LabelFiles) else scored.device)
    with contextlib.ExitStack() as places:
        for place in (output, report):
            # Before the work: that a folder cannot be written is to be known early.
            if place is not None:
                places.enter_context(output_directory(place))
        with joined_processes() as (rank, world_size):
            console = Console(quiet=rank != 0)
            with progress_bars(console) as show:
                told = None if show is None else partial(show, "evaluating")
                confusion = count(progress=told, boundary=along, images=images, rank=rank, world_size=world_size)
        if rank != 0:
            return
        checked = None
        if attention and not isinstance(scored, LabelFiles):
            with progress_bars(console) as show:
                told = None if show is None else partial(show, "checking attention")
                checked = check_attention(scored, dataset, progress=told)
        scores, counts = Scores.from_matrix(confusion, names, absent), images.array()
        intervals = Intervals(counts, absent)
        boundary_scores = None if along is None else BoundaryScores.from_counts(along, names, absent)
        # Before anything is written: whatever becomes of the files, the numbers are known.
        print_scores(console, scores, boundary_scores, intervals, f"{source}, {split}, {len(dataset)} images")
        if isinstance(scored, LabelFiles) and predictions_as == "train-ids":
            _tell_other_meaning(dataset, scores)
        if checked is not None:
            print_attention(console, checked)
        if output is not None:
            about = {"data": source, "split": split, **_about(scored)}
            result = EvaluationResult(
                about, names, absent, tuple(dataset.name(index) for index in range(len(dataset))), counts
            )
            parts = {"boundary": boundary_scores, "attention": checked}
            found = {what: part.to_json() for what, part in parts.items() if part is not None}
            result.write(output, scores, intervals, found)
        if report is not None:
            page = write_evaluation_report(
                report, scored, dataset, scores, counts, f"{source}, {split}", intervals, checked
            )
            console.print(f"Report: {page}", markup=False, highlight=False, soft_wrap=True)


def _loaded(
    dataset: SegmentationDataset,
    model: str | None,
    device: str,
    precision: Literal["auto", "float32", "bfloat16"],
    settings: InferenceSettings,
) -> Segmenter:
    """Load a model, and tell where its classes are called otherwise than those of the data."""
    from scenescope.checkpoints.model_directory import class_difference
    from scenescope.inference.segmenter import Segmenter

    segmenter = Segmenter.load(model, device, precision, settings=settings)
    _note(class_difference(segmenter.classes.names, dataset.classes.names))
    return segmenter


def _found(dataset: SegmentationDataset, folder: Path, meaning: Literal["train-ids", "masks"]) -> LabelFiles:
    """Find the label files, and tell of those that belong to no image."""
    from scenescope.evaluation.label_files import find_label_files, named

    files = find_label_files(dataset, folder, meaning)
    if files.surplus:
        shown = named([path.relative_to(folder).as_posix() for path in files.surplus])
        _note(f"{len(files.surplus)} images in {folder} belong to no image of the split and are not scored: {shown}")
    return files


def _refuse_beside_predictions(
    model: str | None, settings: InferenceSettings, attention: bool, batch_size: int, device: str, precision: str
) -> None:
    given = {
        "--model": model is not None,
        "the options of the test": settings != InferenceSettings(),
        "--attention": attention,
        "--batch-size": batch_size != 1,
        "--device": device != "auto",
        "--precision": precision != "float32",
    }
    if any(given.values()):
        what = next(option for option, is_given in given.items() if is_given)
        raise ScenescopeError(f"--predictions scores files as they are, by no model; leave out {what}.")


def _tell_other_meaning(dataset: SegmentationDataset, scores: Scores) -> None:
    """Say so if the files make much more sense as the masks' values: a shift by one passes for a bad model."""
    from scenescope.evaluation.label_files import score_as_masks

    other = score_as_masks(scores.matrix, dataset)
    if other is not None and other > scores.mean_iou + 0.1:
        _note(
            f"read as the values of the data's masks, the files would have a mean IoU of {other:.4f};"
            " if they hold those, add --predictions-as masks"
        )


def _about(scored: Segmenter | LabelFiles) -> dict[str, object]:
    """Return what was scored, as JSON holds it."""
    from scenescope.evaluation.label_files import LabelFiles

    if isinstance(scored, LabelFiles):
        return {"predictions": str(scored.folder)}
    return {
        "model": str(scored.source),
        "precision": scored.precision,
        "settings": dataclasses.asdict(scored.settings),
    }


def _note(text: str | None) -> None:
    if text and os.environ.get("RANK", "0") == "0":
        print(visible(f"note: {text}."), file=sys.stderr)
