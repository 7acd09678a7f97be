"""scenescope train: train a recipe."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenescope.cli.console import Console
from scenescope.cli.inference_options import output_path
from scenescope.errors import ScenescopeError

if TYPE_CHECKING:
    from scenescope.config import Config


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe in the package (see scenescope recipes) or a YAML file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[a.b=c]...", help="Settings to replace, such as train.steps=2000.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Run directory: log, curves, checkpoints, models.", parser=output_path)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in --output.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe, data counts, steps and memory; do not train.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Train a network. Ctrl-C saves; --resume goes on exactly where it stopped."""
    from scenescope.recipes.reader import load_recipe

    config = load_recipe(recipe, overrides or [])
    console = Console()
    if dry_run:
        _print_plan(console, config, output, device)
        return
    if output is None:
        raise ScenescopeError("Where to write the run is missing; give --output runs/NAME.")
    again = shlex.join(["scenescope", "train", recipe, *(overrides or []), "--output", str(output), "--resume"])
    _train(console, config, output, resume, device, again if device == "auto" else f"{again} --device {device}")


def _train(console: Console, config: Config, output: Path, resume: bool, device: str, again: str) -> None:
    from scenescope.cli.training_progress import terminal_progress, training_device
    from scenescope.workflows.train import run_training

    with terminal_progress(console) as progress:
        result = run_training(config, output, device=training_device(device), progress=progress, resume=resume)
    if result.signal is not None:
        progress.note(f"Interrupted and saved after step {result.step}. To go on:")
        processes = os.environ.get("WORLD_SIZE", "1")
        launcher = f"by the same launcher with {processes} processes: " if processes != "1" else ""
        progress.note(f"  {launcher}{again}")
        raise typer.Exit(128 + result.signal)
    if result.best is not None:
        progress.note(
            f"Done. Best val mIoU {result.best['val/miou']:.4f} at step {result.best['step']};"
            f" model in {output / 'best'}."
        )


def _print_plan(console: Console, config: Config, output: Path | None, device: str) -> None:
    from scenescope.device import resolve_device
    from scenescope.training.memory import RUNTIME
    from scenescope.workflows.readiness import require_writable
    from scenescope.workflows.train import check_run, estimate_run_memory, find_problems, open_sets

    if output is not None:
        require_writable(output)
    train_set, val_set = open_sets(config.data)
    check_run(config, train_set)
    remarks = find_problems(config, train_set, val_set)
    console.print(config.to_yaml(), highlight=False, markup=False, soft_wrap=True)
    train = config.train
    epochs = train.steps * train.batch_size / max(len(train_set), 1)
    console.print(
        f"Data: {len(train_set)} scenes to train on, {len(val_set)} to score, {len(train_set.classes)} classes."
    )
    console.print(
        f"Steps: {train.steps:,} of {train.batch_size} scenes, {epochs:.1f} times through the data.",
        soft_wrap=True,
        highlight=False,
    )
    estimate = estimate_run_memory(config, train_set, resolve_device(device))
    console.print(
        f"Memory: at least {(estimate.total + RUNTIME) / 2**20:,.0f} MiB for one process (torch itself about"
        f" {RUNTIME / 2**20:,.0f}, weights {estimate.weights / 2**20:,.0f}, gradients"
        f" {estimate.gradients / 2**20:,.0f}, optimizer {estimate.optimizer / 2**20:,.0f}, EMA"
        f" {estimate.ema / 2**20:,.0f}, activations {estimate.activations / 2**20:,.0f}), workspace and validation"
        " apart.",
        soft_wrap=True,
        highlight=False,
    )
    for remark in remarks:
        console.print(remark, soft_wrap=True, highlight=False, markup=False)
