"""A report as one HTML file: numbers, tables and images, nothing loaded from elsewhere, no script."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from scenescope.files import write_text

Cell = str | int | float | None
"""What stands in a table or beside a name; a float is shown with three decimals, None as a dash."""


@dataclass(frozen=True)
class Figure:
    """An image and the words below it.

    Attributes:
        image: H x W x 3 uint8 RGB, a PIL image, or the path of a PNG file.
        caption: shown below, and read out in the image's place.
        wide: takes a line of its own, as charts do.
        photograph: stored as JPEG, a fraction of the bytes; for what has no sharp lines.
    """

    image: np.ndarray | Image.Image | Path
    caption: str
    wide: bool = False
    photograph: bool = False


@dataclass(frozen=True)
class Table:
    """A table: the names of its columns, and rows of as many cells."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Section:
    """A heading, a few words, then a table or images or both."""

    heading: str
    text: str = ""
    table: Table | None = None
    figures: Sequence[Figure] = ()


def write_report(
    path: Path, title: str, lead: str, facts: Sequence[tuple[str, Cell]], sections: Sequence[Section]
) -> None:
    """Write a report.

    Args:
        path: the HTML file.
        lead: one paragraph below the title.
        facts: names and values that stand out at the top.
        sections: what follows, in order.

    Raises:
        StorageError: the place cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__, "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"shown": _shown, "source": _source, "numeric": _numeric}
    template = environment.get_template("report.html")
    write_text(path, template.render(title=title, lead=lead, facts=facts, sections=sections) + "\n")


def _numeric(table: Table) -> list[bool]:
    """Return whether each column holds numbers: these are flushed right, heading included."""
    columns = zip(table.header, *table.rows, strict=True)
    return [bool(cells) and not any(isinstance(cell, str) for cell in cells) for _, *cells in columns]


def _source(figure: Figure) -> str:
    """Return an image as the address of an image that is in the page itself."""
    kind = "jpeg" if figure.photograph else "png"
    if isinstance(figure.image, Path):
        content = figure.image.read_bytes()
    else:
        buffer = io.BytesIO()
        image = Image.fromarray(figure.image) if isinstance(figure.image, np.ndarray) else figure.image
        image.save(buffer, format=kind, optimize=True, quality=90)  # the quality is that of JPEG; PNG has none
        content = buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _shown(cell: Cell) -> str:
    if cell is None:
        return "\u2013"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)
