"""Where all commands print: names of strangers are shown as text, and steer no terminal."""

from __future__ import annotations

from collections.abc import Iterable

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from scenescope.errors import visible


class Console(rich.console.Console):
    r"""rich's console, but for control characters in what is printed: they are written out, such as ``\x1b``."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of text; rich adds colours to them later and moves the cursor by segments of control."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
