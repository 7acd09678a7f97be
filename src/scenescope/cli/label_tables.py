"""What the command line tells of labels that models disbelieve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from scenescope.cli.console import Console

if TYPE_CHECKING:
    from scenescope.workflows.label_check import LabelFindings

SHOWN = 10
"""Suspects that are printed; a file has them all."""

CARE = (
    "a model disbelieves less of what it may have learned by heart. Train one on each fold "
    "(data.train_split=train-without-1of2, then 2of2) and give both: --model A --model B."
)


def print_labels(console: Console, found: LabelFindings) -> None:
    """Print how many regions are disbelieved, the first of them, and how far that can be trusted."""

    def say(text: str) -> None:
        console.print(text, markup=False)

    if found.unread:
        say(f"note: the labels of {len(found.unread)} scenes were not judged: {found.unread[0]}")
    if not found.scenes:
        say("There is no label to judge: no scene that can be read has a labeled pixel.")
        return
    images = f"{len(found.scenes)} images" + (f" ({found.unlabeled} more have no label)" if found.unlabeled else "")
    small = f"; {found.num_small} are too small and left out" if found.num_small else ""
    say(f"Labels of {images}: {len(found.suspects)} of {found.num_regions} regions are disbelieved{small}.")
    for seen, words in ((True, "that were trained on them"), (None, "of whose training not all is known")):
        number = sum(scene.seen is seen for scene in found.scenes)
        if number:
            say(f"note: {number} of {len(found.scenes)} images are judged by models {words}; {CARE}")
    if not found.suspects:
        return
    table = Table()
    for column in ("rank", "image", "mask", "model", "score", "left, top, width x height"):
        table.add_column(column, justify="right" if column in ("rank", "score") else "left", overflow="fold")
    names = found.classes.names
    for rank, each in enumerate(found.suspects[:SHOWN], start=1):
        left, top, width, height = each.region.box
        box = f"{left}, {top}, {width} x {height}"
        texts = each.scene.name, names[each.region.label], names[each.region.answer], f"{each.score:.1f}", box
        table.add_row(str(rank), *(Text(text) for text in texts))
    console.print(table, highlight=False)
