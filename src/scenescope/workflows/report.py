"""A report as one HTML file: numbers, tables and pictures, nothing loaded from elsewhere, no script."""

from __future__ import annotations

import base64
import importlib.resources
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from scenescope.files import write_text

Cell = str | int | float | None
"""What stands in a table or beside a name; a float is shown with three decimals, None as a dash."""


@dataclass(frozen=True)
class Picture:
    """A picture and the words below it.

    Attributes:
        image: H x W x 3 uint8 RGB, a PIL image, or the path of a PNG file.
        caption: shown below, and read out in the picture's place.
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
    """A heading, a few words, then a table or pictures or both."""

    heading: str
    text: str = ""
    table: Table | None = None
    pictures: Sequence[Picture] = ()


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
    template = Template(importlib.resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=escape(title),
        lead=escape(lead),
        facts="\n".join(f"<div><dt>{escape(name)}</dt><dd>{_shown(value)}</dd></div>" for name, value in facts),
        sections="\n".join(_section(section) for section in sections),
    )
    write_text(path, page)


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.heading)}</h2>"]
    if section.text:
        parts.append(f"<p>{escape(section.text)}</p>")
    if section.table is not None:
        parts.append(_table(section.table))
    if section.pictures:
        parts.append('<div class="pictures">')
        parts += [_figure(picture) for picture in section.pictures]
        parts.append("</div>")
    return "\n".join(parts)


def _table(table: Table) -> str:
    """Return a table whose columns of numbers are flushed right, heading included."""
    numeric = [not any(isinstance(cell, str) for cell in column) for column in zip(*table.rows, strict=True)]
    kinds = [' class="number"' if flag else "" for flag in numeric or [False] * len(table.header)]

    def line(tag: str, cells: Sequence[Cell]) -> str:
        inner = "".join(f"<{tag}{kind}>{_shown(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))
        return f"<tr>{inner}</tr>"

    rows = "\n".join(line("td", row) for row in table.rows)
    return f'<div class="scroll"><table>\n{line("th", table.header)}\n{rows}\n</table></div>'


def _figure(picture: Picture) -> str:
    wide = ' class="wide"' if picture.wide else ""
    caption = escape(picture.caption)
    kind = "jpeg" if picture.photograph else "png"
    source = f"data:image/{kind};base64,{base64.b64encode(_encoded(picture.image, kind)).decode('ascii')}"
    return f'<figure{wide}><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


def _encoded(image: np.ndarray | Image.Image | Path, kind: str) -> bytes:
    if isinstance(image, Path):
        return image.read_bytes()
    buffer = io.BytesIO()
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    picture.save(buffer, format=kind, optimize=True, quality=90)  # the quality is that of JPEG; PNG has none
    return buffer.getvalue()


def _shown(cell: Cell) -> str:
    if cell is None:
        return "&ndash;"
    return f"{cell:.3f}" if isinstance(cell, float) else escape(str(cell))
