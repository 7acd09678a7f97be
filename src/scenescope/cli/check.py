"""scenescope check: is a data set fit to train on?"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from scenescope.cli.console import Console, progress_bars
from scenescope.cli.inference_options import DeviceOption, output_path
from scenescope.cli.label_tables import print_labels
from scenescope.errors import DataError

if TYPE_CHECKING:
    from collections import Counter

    from scenescope.inference.segmenter import Segmenter
    from scenescope.workflows.check import Findings, SplitFindings


def check(
    source: Annotated[str, typer.Argument(metavar="KIND:ROOT", help="The data set, such as camvid:DIR or scenes:.")],
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="Part of the data set, may be repeated; the one to train on first.",
            show_default="train, val and test, as far as there are",
        ),
    ] = None,
    val_fraction: Annotated[
        float | None, typer.Option(help="For folder: without splits: data.val_fraction.", show_default="as on disk")
    ] = None,
    val_seed: Annotated[int, typer.Option(min=0, help="And its data.val_seed.")] = 0,
    classes: Annotated[
        str | None,
        typer.Option(help="Where the kind leaves a choice, data.classes: 60, voc, ...", show_default="its first"),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Also tell which labels this model disbelieves; may be repeated: each image is then judged by those "
            "that were not trained on it.",
            show_default="labels are not judged",
        ),
    ] = None,
    device: DeviceOption = "auto",
    num_workers: Annotated[int | None, typer.Option(min=0, help="Threads that read.", show_default="all cores")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for check.json and a sheet of overlays per split; with --model for suspects.csv, "
            "suspect_images.csv and suspects.png.",
            show_default="only print",
            parser=output_path,
        ),
    ] = None,
) -> None:
    """Read every scene of a data set and tell all that is wrong with it (exit code 2 when it cannot be trained on)."""
    from scenescope.data.catalog import parse_source
    from scenescope.files import output_directory, write_text
    from scenescope.workflows.check import check_dataset, write_contact_sheet

    _tell_format(source)
    kind, root = parse_source(source)
    models = _load(model or [], device)
    console = Console(highlight=False, soft_wrap=True)
    with output_directory(output) if output is not None else contextlib.nullcontext():
        with progress_bars(console) as progress:
            findings = check_dataset(
                kind,
                root,
                split or (),
                num_workers=num_workers,
                progress=progress,
                val_fraction=val_fraction,
                val_seed=val_seed,
                classes=classes,
            )
        _print(console, findings)
        if output is not None:
            write_text(output / "check.json", json.dumps(findings.to_json(), indent=2) + "\n")
            for found in findings.splits:
                if found.thumbnails:
                    write_contact_sheet(found, output / f"{found.split}.png")
        if models and findings.splits:
            splits = [found.split for found in findings.splits]
            options = {"val_fraction": val_fraction, "val_seed": val_seed, "classes": classes}
            _judge(console, kind, root, splits, options, models, output)
    if not findings.fit:
        raise typer.Exit(2)


def _tell_format(source: str) -> None:
    """Say which command imports a source that is a path without a kind, if a tool's format is seen there."""
    from scenescope.data.formats.catalog import recognize

    path = Path(source).expanduser()
    if path.exists() and not (path / "classes.yaml").exists() and (found := recognize(path)):
        raise DataError(
            f"{source} holds {found[1]}, which is not a data set yet: scenescope import {source} OUT makes one, "
            "then check folder:OUT."
        )


def _load(names: list[str], device: str) -> list[Segmenter]:
    """Load the models before anything is read: that there is no such model is to be known early."""
    if not names:
        return []
    from scenescope.inference.segmenter import Segmenter
    from scenescope.training.memory import keep_freed_memory

    keep_freed_memory()
    return [Segmenter.load(name, device, "float32") for name in names]


def _judge(
    console: Console,
    kind: str,
    root: str,
    splits: list[str],
    options: dict[str, Any],
    models: list[Segmenter],
    output: Path | None,
) -> None:
    """Tell which labels the models disbelieve."""
    from scenescope.data.catalog import open_dataset
    from scenescope.workflows.label_check import check_labels
    from scenescope.workflows.label_findings import write_label_findings

    datasets = [open_dataset(kind, root, split, **options) for split in splits]
    with progress_bars(console) as progress:
        found = check_labels(models, datasets, kind, progress=progress)
    print_labels(console, found)
    if output is not None:
        write_label_findings(found, models, output)


def _print(console: Console, findings: Findings) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False)

    if findings.splits:
        say(f"{findings.source}, {len(findings.splits[0].classes)} classes")
        console.print(_table_of_splits(findings.splits))
        console.print(_table_of_classes(findings.splits))
    for found in findings.splits:
        if found.absent and any(found.pixels):
            effect = "cannot be learned" if found is findings.splits[0] else "are not scored there"
            absent = f"{len(found.absent)} of {len(found.pixels)} classes absent, which {effect}"
            say(f"note: {found.split}: {absent}: {', '.join(found.absent)}.")
        if found.unlabeled:
            say(f"{found.split}: no labeled pixel in {found.unlabeled} of {found.num_scenes} scenes.")
    for note in dict.fromkeys(note for found in findings.splits for note in found.notes):
        say(note)
    if findings.num_identical:
        more = ", ..." if findings.num_identical > len(findings.identical) else ""
        say(f"identical images in two splits: {findings.num_identical} ({', '.join(findings.identical)}{more})")
    if findings.class_weights is not None:
        say(f"Class weights of {findings.splits[0].split}, square root of median frequency, for `loss` in a recipe:")
        say(f"  class_weights: [{', '.join(f'{weight:g}' for weight in findings.class_weights)}]")
    for reason in findings.unopened:
        say(f"fault: {reason}")
    for found in findings.splits:
        for kind, number in found.faulty.items():
            say(f"fault: {found.split}: {kind}, {number} of {found.num_scenes} scenes:")
            for sentence in found.faults[kind]:
                say(f"  {sentence}")
            if number > len(found.faults[kind]):
                say(f"  and {number - len(found.faults[kind])} more")
    for reason in findings.unteachable:
        say(f"fault: {reason}")
    for proposal in findings.proposals:
        say(f"Proposal for classes.yaml of a folder: data set, to be judged: {proposal}")
    say("Fit to train on." if findings.fit else "Not fit to train on; see the faults above.")


def _table_of_splits(splits: list[SplitFindings]) -> Table:
    table = Table()
    for column in ("split", "scenes", "sizes", "width x height", "labeled", "faults"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for found in splits:
        total = int(found.counts.sum())
        labeled = f"{sum(found.pixels) / total:.1%}" if total else "none"
        numbers = str(found.num_scenes), str(len(found.sizes)), _sizes(found.sizes)
        table.add_row(Text(found.split), *numbers, labeled, str(sum(found.faulty.values())))
    return table


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    """One size, or the smallest and the largest."""
    if not sizes:
        return "none"
    by_area = sorted(sizes, key=lambda size: size[0] * size[1])
    (width, height), (most_width, most_height) = by_area[0], by_area[-1]
    smallest, largest = f"{width} x {height}", f"{most_width} x {most_height}"
    return smallest if len(sizes) == 1 else f"{smallest} to {largest}"


def _table_of_classes(splits: list[SplitFindings]) -> Table:
    """The share of every class in the labeled pixels of every split."""
    table = Table()
    table.add_column("class", overflow="fold")
    for found in splits:
        table.add_column(Text(found.split), justify="right", no_wrap=True)
    for index, name in enumerate(splits[0].classes.names):
        shares = (found.pixels[index] / max(1, sum(found.pixels)) for found in splits)
        table.add_row(Text(name), *(f"{share:.2%}" if share else "absent" for share in shares))
    return table
