"""scenescope submit: the predictions of a test split as its server takes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import track

from scenescope.cli.console import Console
from scenescope.cli.inference_options import DeviceOption, with_test_options
from scenescope.errors import ScenescopeError
from scenescope.inference.settings import InferenceSettings

MAX_TOLD = 3
"""So many faults of one kind are told in words, the others counted."""


@with_test_options
def submit(
    server: Annotated[Literal["cityscapes", "voc", "ade20k"], typer.Argument(help="Whose server.")],
    root: Annotated[str, typer.Argument(metavar="ROOT", help="The folder of the data set.")],
    archive: Annotated[Path, typer.Argument(metavar="OUT.zip", help="The archive to write, or to validate.")],
    model: Annotated[
        str | None,
        typer.Option(help="A model directory or hub:org/name, trained on this data set.", show_default="none"),
    ] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="Predict nothing: tell all that is wrong with an archive.")
    ] = False,
    split: Annotated[str, typer.Option(help="Part of the data set; val to rehearse.")] = "test",
    competition: Annotated[
        Literal["comp5", "comp6"] | None,
        typer.Option(help="For voc: comp5 if trained on nothing but VOC 2012.", show_default="comp6"),
    ] = None,
    *,
    settings: InferenceSettings,
    device: DeviceOption = "auto",
) -> None:
    """Predict a test split and write what its server takes, or validate that (exit code 2 when it would be refused)."""
    if validate == (model is not None):
        raise ScenescopeError(
            "--validate reads an archive and needs no --model; leave out one of the two."
            if validate
            else "No --model to predict with; give one, or --validate to look at an archive that is there."
        )
    if competition is not None and server != "voc":
        raise ScenescopeError(f"--competition is for voc; {server} has no competitions. Leave it out.")
    from scenescope.files import output_directory
    from scenescope.lab.submission import (
        SERVERS,
        image_sizes,
        load_fitting,
        require_output,
        voc_competition,
        write_submission,
    )
    from scenescope.lab.submission_check import check_submission, submission_notes

    console = Console(soft_wrap=True, markup=False, highlight=False)
    chosen = voc_competition(competition) if competition is not None else SERVERS[server]
    dataset = chosen.open(root, split)
    require_output(archive)
    segmenter = None if model is None else load_fitting(model, device, settings, dataset)
    images = [image for image, _ in dataset.pairs]

    def tracked(what: str) -> Iterable[Path]:
        return track(images, what, console=console, transient=True) if console.is_terminal else images

    sizes = image_sizes(chosen, tracked("reading"))
    for note in submission_notes(chosen, dataset, sizes):
        console.print(f"note: {note}")
    if segmenter is not None:
        with output_directory(archive.parent):
            write_submission(segmenter, chosen, tracked("predicting"), archive)
    faults = check_submission(chosen, sizes, archive)
    for kind, told in faults.items():
        console.print(f"fault: {kind} ({len(told):,}):")
        for sentence in told[:MAX_TOLD]:
            console.print(f"  {sentence}")
        if len(told) > MAX_TOLD:
            console.print(f"  and {len(told) - MAX_TOLD} more")
    if faults:
        console.print(f"{archive} is not fit for the server; see the faults above.")
        raise typer.Exit(2)
    console.print(f"{archive} holds {len(sizes):,} predictions as the server of {server} takes them.")
    if chosen.advice:
        console.print(chosen.advice)
