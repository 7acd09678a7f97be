"""scenescope import: annotations of another tool become a data set to train on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scenescope.cli.console import Console, progress_bars
from scenescope.cli.inference_options import output_path

if TYPE_CHECKING:
    from scenescope.workflows.import_data import ImportSummary


MAX_SHOWN = 30
"""Classes that are printed."""


def import_data(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Folder or file that the tool has written.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.", parser=output_path)],
    image_dir: Annotated[
        Path | None, typer.Option(help="Where the images are.", show_default="the folder of the source")
    ] = None,
    overlap: Annotated[
        Literal["file", "area"] | None,
        typer.Option(
            help="Which of two regions is on top: the later in the file, or the smaller.", show_default="as the tool"
        ),
    ] = None,
    unlabeled: Annotated[
        Literal["background", "ignore"] | None,
        typer.Option(
            help="What pixels without label become: a class background, or ignored.", show_default="as the tool"
        ),
    ] = None,
    faults: Annotated[
        Literal["error", "skip"],
        typer.Option(help="What is at fault ends the import, or is left out and listed in dropped.csv."),
    ] = "error",
    link: Annotated[Literal["hardlink", "symlink", "copy"], typer.Option(help="How images get into OUT.")] = "hardlink",
) -> None:
    """Make a folder: data set of annotations in COCO, LabelMe, YOLO, ... (exit code 1 where faults were left out)."""
    from scenescope.workflows.import_data import import_data as run

    console = Console(highlight=False, soft_wrap=True)
    with progress_bars(console) as progress:
        summary = run(
            source,
            output,
            image_dir=image_dir,
            overlap=overlap,
            unlabeled=unlabeled,
            faults=faults,
            link=link,
            progress=progress,
        )
    _print(console, summary, output)
    if summary.num_faults:
        raise typer.Exit(1)


def _print(console: Console, summary: ImportSummary, output: Path) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False)

    splits = ", ".join(f"{name} {count:,}" for name, count in summary.splits.items())
    say(f"{summary.format}: {summary.images:,} images{f' ({splits})' if splits else ''}")
    if summary.regions_found:
        on_top = "the later in the file is on top" if summary.overlap == "file" else "the smaller is on top"
        lost = summary.regions_found - summary.regions_of.total()
        say(
            f"{summary.regions_found:,} regions, {summary.regions_of.total():,} drawn, {lost:,} not; "
            f"where two overlap, {on_top}"
        )
    total = max(1, summary.pixels_of.total() + summary.unlabeled_pixels + summary.ignored_pixels)
    for name, count in list(summary.pixels_of.items())[:MAX_SHOWN]:
        say(f"  {name}: {count / total:.2%} of the pixels")
    if len(summary.pixels_of) > MAX_SHOWN:
        say(f"  and {len(summary.pixels_of) - MAX_SHOWN} more classes; see {output}/import.json")
    become = "the class background" if summary.unlabeled == "background" else "ignored"
    say(f"  without label, {become}: {summary.unlabeled_pixels / total:.2%}")
    if summary.ignored_pixels:
        say(f"  ignored by the tool's own word: {summary.ignored_pixels / total:.2%}")
    for note in summary.notes:
        say(f"note: {note}")
    for fault in summary.dropped[: summary.num_faults][:5]:
        say(f"fault: {fault}")
    if summary.dropped:
        say(f"left out: {len(summary.dropped):,}, of which {summary.num_faults:,} at fault; see {output}/dropped.csv")
    drawn = "" if summary.splits else " --val-fraction 0.2"
    say(f"{output}  (try: scenescope check folder:{output}{drawn})")
