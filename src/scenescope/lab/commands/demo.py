"""scenescope demo: train, evaluate, predict and look, on generated scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scenescope.cli.console import Console
from scenescope.cli.inference_options import output_path


def demo(
    output: Annotated[
        Path, typer.Option(help="Where report.html, the run and the images go.", parser=output_path)
    ] = Path("demo"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Train a small DANet on generated street scenes, score it, and look at what it attends to; some minutes."""
    from scenescope.cli.training_progress import terminal_progress, training_device
    from scenescope.lab.demo import run_demo
    from scenescope.recipes.reader import load_recipe

    config = load_recipe("scenes/danet-demo")
    console = Console()
    with terminal_progress(console) as progress:
        result = run_demo(config, output, device=training_device(device), progress=progress)
    if isinstance(result, int):
        raise typer.Exit(128 + result)
    print(f"Report: {result.report}")
    print(f"Model:  {result.model}  (try: scenescope predict PHOTO --model {result.model} --output out)")
    print(f"mIoU {result.miou:.3f}")
