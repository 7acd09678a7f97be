"""scenescope compare: two results of evaluate over the same images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from scenescope.cli.console import Console
from scenescope.cli.inference_options import output_path
from scenescope.errors import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scenescope.workflows.comparison import Change

MEANS = {
    "mean_iou": "mean IoU",
    "mean_f1": "mean F1",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_precision": "mean precision",
    "frequency_weighted_iou": "frequency-weighted IoU",
}


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="Output folder or scores.json of scenescope evaluate.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another, of the same images.")],
    images: Annotated[int, typer.Option(min=0, help="How many of the most changed images to print.")] = 5,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for comparison.json and changes.csv.", show_default="only print", parser=output_path),
    ] = None,
) -> None:
    """Compare two results: B less A, with 95 % intervals over the choice of the images. Differences are paired."""
    from scenescope.files import output_directory, write_csv, write_text
    from scenescope.workflows.comparison import compare as compare_results
    from scenescope.workflows.evaluation_result import read_result

    results = [read_result(path) for path in (first, second)]
    found = compare_results(*results)
    console = Console()
    for letter, path, result in zip("AB", (first, second), results, strict=True):
        what = result.about["model"] or result.about["predictions"]
        console.print(f"{letter}: {path} ({what})", markup=False, highlight=False, soft_wrap=True)
    _print(console, "class", found.classes)
    _print(console, "", {title: found.means[name] for name, title in MEANS.items()})
    console.print(f"{found.sentence()} {len(found.images)} images were compared.", highlight=False, soft_wrap=True)
    changed = [(name, change) for name, change in found.images.items() if change.difference]
    if changed and images:
        _print(console, f"most changed of {len(changed)}", dict(changed[:images]), "mIoU")
    if output is None:
        return
    with output_directory(output):
        about = {"first": str(first), "second": str(second)}
        write_text(output / "comparison.json", json.dumps({**about, **found.to_json()}, indent=2) + "\n")
        rows = [[name, change.first, change.second, change.difference] for name, change in found.images.items()]
        write_csv(output / "changes.csv", [["image", "mIoU in A", "mIoU in B", "difference"], *rows])


def _print(console: Console, heading: str, changes: Mapping[str, Change], score: str = "IoU") -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(heading, overflow="fold")
    columns = [f"{score} in A" if heading else "A", f"{score} in B" if heading else "B", "B less A"]
    with_interval = any(change.interval for change in changes.values())
    for column in [*columns, *(["95 % interval"] if with_interval else [])]:
        table.add_column(column, justify="right", no_wrap=True)
    for name, change in changes.items():
        cells = [_shown(change.first), _shown(change.second), _shown(change.difference, "+")]
        if with_interval:
            cells.append(" to ".join(_shown(bound, "+") for bound in change.interval) if change.interval else "")
        table.add_row(Text(visible(name)), *cells)
    console.print(table, highlight=False)


def _shown(value: float | None, sign: str = "") -> str:
    return "absent" if value is None else f"{value:{sign}.4f}"
