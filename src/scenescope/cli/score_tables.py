"""The scores of an evaluation, printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from scenescope.errors import visible

if TYPE_CHECKING:
    from scenescope.cli.console import Console
    from scenescope.evaluation.bootstrap import Intervals
    from scenescope.evaluation.boundary_scores import BoundaryScores
    from scenescope.evaluation.scores import Scores


def print_scores(
    console: Console, scores: Scores, boundary: BoundaryScores | None, intervals: Intervals, title: str
) -> None:
    """Print the scores of each class as a table, and their means with their intervals below."""
    total = sum(scores.pixels)
    console.print(title, markup=False, highlight=False, soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("class", overflow="fold")
    columns = {
        "IoU": [_shown(value) for value in scores.iou],
        "F1": [_shown(value) for value in scores.f1],
        "precision": [_shown(value) for value in scores.precision],
        "recall": [_shown(value) for value in scores.accuracy],
        "pixels": [f"{pixels / total:.2%}" for pixels in scores.pixels],
    }
    means: dict[str, tuple[str, float | None]] = {
        "mean IoU": ("mean_iou", scores.mean_iou),
        "mean F1": ("mean_f1", scores.mean_f1),
        "pixel accuracy": ("pixel_accuracy", scores.pixel_accuracy),
        "mean accuracy": ("mean_accuracy", scores.mean_accuracy),
        "mean precision": ("mean_precision", scores.mean_precision),
        "frequency-weighted IoU": ("frequency_weighted_iou", scores.frequency_weighted_iou),
    }
    if boundary is not None:
        columns["boundary\nIoU"] = [_shown(value) for value in boundary.iou]
        columns["boundary\nF"] = [_shown(value) for value in boundary.f]
        means |= {"mean boundary IoU": ("", boundary.mean_iou), "mean boundary F": ("", boundary.mean_f)}
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name, *row in zip(scores.names, *columns.values(), strict=True):
        table.add_row(Text(visible(name)), *row)
    console.print(table, highlight=False)
    for what, (name, value) in means.items():
        found = intervals.means.get(name)
        around = "" if found is None else f"  ({found[0]:.4f} to {found[1]:.4f})"
        console.print(f"{what:24}{_shown(value)}{around}", highlight=False)
    if intervals.means:
        few = "; of so few they are too narrow" if intervals.few else ""
        told = f"In brackets: 95 % intervals, by drawing from the {intervals.images} images{few}."
        console.print(told, highlight=False, soft_wrap=True)
    if scores.absent:
        how = "left out of the means" if scores.absent_as == "skip" else "counted as 0"
        names = ", ".join(scores.absent)
        told = f"{len(scores.absent)} absent from truth and prediction, {how}: {names}"
        console.print(told, markup=False, highlight=False, soft_wrap=True)


def _shown(value: float | None) -> str:
    return "absent" if value is None else f"{value:.4f}"
