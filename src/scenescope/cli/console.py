"""Where all commands print: names of strangers are shown as text, and steer no terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from scenescope.errors import visible


class Console(rich.console.Console):
    r"""rich's console, but for control characters in what is printed: they are written out, such as ``\x1b``."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of text; rich adds colors to them later and moves the cursor by segments of control."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


@contextlib.contextmanager
def progress_bars(console: Console) -> Iterator[Callable[[str, int, int], None] | None]:
    """Give a callback (what, done, total) that moves a bar for each of what is done on a terminal, else nothing."""
    if not console.is_terminal or console.quiet:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        tasks = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield show
