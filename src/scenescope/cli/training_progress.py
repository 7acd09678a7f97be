"""The course of a training on a terminal, or as plain lines where there is none."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from scenescope.cli.console import Console

if TYPE_CHECKING:
    import torch

SECONDS_BETWEEN_LINES = 15.0


def training_device(name: str) -> torch.device:
    """Return the device to train on; where that is the CPU, this process keeps the memory of each step for the next."""
    from scenescope.device import resolve_device, traits
    from scenescope.training.memory import keep_freed_memory

    device = resolve_device(name)
    if traits(device).bands:
        keep_freed_memory()
    return device


@contextlib.contextmanager
def terminal_progress(console: Console) -> Iterator[TerminalProgress]:
    """Give a progress that draws a bar on a terminal and else prints a line now and then.

    Only the first of several processes tells anything.
    """
    if os.environ.get("RANK", "0") != "0":
        console = Console(quiet=True)
    if not console.is_terminal:
        yield TerminalProgress(console, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console) as bar:
        yield TerminalProgress(console, bar)


class TerminalProgress:
    """Draws a training; see scenescope.training.progress.Progress."""

    def __init__(self, console: Console, bar: Bar | None) -> None:
        self.console = console
        self.bar = bar
        self.loss: float | None = None

    def started(self, step: int, steps: int) -> None:
        """Begin the bar at a step."""
        self.step, self.first, self.steps = step, step, steps
        self.began = self.told = time.monotonic()
        if self.bar is not None:
            self.task = self.bar.add_task("training", total=steps, completed=step, status="")

    def stepped(self, step: int, loss: float | None, lr: float) -> None:
        """Move the bar, or print a line if the last one is long ago."""
        self.step = step
        self.loss = loss if loss is not None else self.loss
        status = f"lr {lr:.2g}" if self.loss is None else f"loss {self.loss:.3f}  lr {lr:.2g}"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, status=status)
        elif time.monotonic() - self.told > SECONDS_BETWEEN_LINES:
            self.told = time.monotonic()
            left = (self.told - self.began) / (step - self.first) * (self.steps - step)
            self._print(f"step {step}/{self.steps}  {status}  {left / 60:.1f} min left")

    def validated(self, row: dict[str, Any]) -> None:
        """Print the scores of a validation."""
        self._print(
            f"step {row['step']}/{self.steps}  val mIoU {row['val/miou']:.4f}"
            f"  pixel accuracy {row['val/pixel_accuracy']:.4f}"
        )

    def note(self, text: str) -> None:
        """Print a note."""
        self._print(text)

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
