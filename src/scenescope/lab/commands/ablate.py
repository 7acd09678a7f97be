"""scenescope ablate: the papers' ablation tables on your own data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenescope.cli.console import Console
from scenescope.cli.inference_options import DeviceOption, output_path
from scenescope.errors import ScenescopeError

if TYPE_CHECKING:
    from scenescope.lab.ablation import Ablation


def ablate(
    ablation: Annotated[
        str, typer.Argument(help="An ablation in the package (see scenescope recipes) or a YAML file.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[a.b=c]...", help="Settings to replace in all rows, such as train.steps=2000."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the runs and the tables.", parser=output_path)] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the rows and what they differ in; do not train.")
    ] = False,
    device: DeviceOption = "auto",
) -> None:
    """Train a grid of networks over seeds and print the table; called again, it goes on where it stopped."""
    from scenescope.lab.ablation_file import load_ablation

    planned = load_ablation(ablation, overrides or [])
    console = Console()
    if dry_run:
        _print_plan(console, planned)
        return
    if output is None:
        raise ScenescopeError("Where to write runs and tables is missing; give --output runs/NAME.")
    from scenescope.cli.training_progress import terminal_progress, training_device
    from scenescope.files import write_text
    from scenescope.lab.ablation import run_ablation
    from scenescope.lab.ablation_table import as_markdown, draw_sweep, summarize

    with terminal_progress(console) as progress:
        outcome = run_ablation(planned, output, device=training_device(device), progress=progress)
    rows = summarize(planned, outcome)
    table = as_markdown(planned, rows, outcome.failures)
    write_text(output / f"{planned.name}.md", table)
    stored = {"title": planned.title, "rows": rows, "failures": outcome.failures}
    write_text(output / f"{planned.name}.json", json.dumps(stored, indent=2) + "\n")
    if planned.sweep is not None:
        draw_sweep(planned.sweep, rows, output / f"{planned.name}.png")
    typer.echo(table, nl=False)
    if outcome.signal is not None:
        console.print("Interrupted and saved; the same command goes on.")
        raise typer.Exit(128 + outcome.signal)
    if outcome.failures:
        raise typer.Exit(1)


def _print_plan(console: Console, ablation: Ablation) -> None:
    runs = ablation.rows[0].runs
    steps, seeds = runs[0].config.train.steps, ", ".join(str(run.seed) for run in runs)
    lines = [f"{ablation.title}: {len(runs) * len(ablation.rows)} runs of {steps:,} steps, seeds {seeds}."]
    for row in ablation.rows:
        lines.append(
            f"  {row.name}: " + (", ".join(f"{key}={value}" for key, value in row.settings.items()) or "as the recipe")
        )
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
