"""What a check of attention and the cuts of its classes found, printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from scenescope.errors import visible

if TYPE_CHECKING:
    from scenescope.cli.console import Console
    from scenescope.workflows.attention_check import AttentionCheck
    from scenescope.workflows.class_cuts import ClassCuts


def print_attention(console: Console, check: AttentionCheck) -> None:
    """Print what attention is paid to, class by class, and a sentence about each attention."""
    if check.shares is not None:
        shares = check.shares
        table = Table("class")
        for column in ("attention on its own class", "share of the area", "times chance"):
            table.add_column(column, justify="right")
        for name, own, area in zip(shares.names, shares.own, shares.area, strict=True):
            shown = ["absent"] * 3 if own is None or not area else [f"{own:.1%}", f"{area:.1%}", f"{own / area:.1f}"]
            table.add_row(Text(visible(name)), *shown)
        console.print(table, highlight=False)
        told = (
            f"A position attends to {shares.attends_to:.0f} of {shares.positions:.0f} positions (exp of the entropy)."
        )
        console.print(told, highlight=False, soft_wrap=True)
    for sentence in check.sentences():
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def print_class_cuts(console: Console, cuts: ClassCuts) -> None:
    """Print both tables of classes by classes: what is paid, and what changes without it."""
    seen = [number for number, iou in enumerate(cuts.iou) if iou is not None]
    for title, values, form in (
        ("Attention paid by the class of a row to that of a column, in percent", cuts.paid, "{:.0f}"),
        ("IoU of the class of a row without that of a column to attend to, change in points", cuts.change, "{:+.1f}"),
    ):
        console.print(title, highlight=False, soft_wrap=True)
        # Columns have numbers for names, and no line between: so a dozen classes fit a terminal.
        table = Table("class", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for number in seen:
            table.add_column(str(number), justify="right", no_wrap=True)
        for row in seen:
            cells = [values[row][column] for column in seen]
            shown = ["" if value is None else form.format(100 * value) for value in cells]
            table.add_row(Text(visible(f"{row} {cuts.names[row]}")), *shown)
        # Wider than the terminal where it must be: a number that is cut short is another number.
        width, console.width = console.width, 10_000
        console.width = max(console.measure(table).maximum, width)
        console.print(table, highlight=False)
        console.width = width
