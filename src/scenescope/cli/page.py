"""scenescope page: click on a pixel, see what it attends to, and cut that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scenescope.cli.inference_options import DeviceOption, PrecisionOption
from scenescope.errors import CheckpointError, ImageError

DEMO_MODEL = Path("demo/run/best")
"""Where ``make demo`` leaves its model; of use where no box is installed."""


def page(
    image: Annotated[
        list[Path] | None,
        typer.Argument(help="Images to offer; the page opens on the first.", show_default="photographs found here"),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A model directory, a model in the box by name, or hub:org/name; may be repeated.",
            show_default="those in the box, or that of the demo",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of 127.0.0.1; 0 takes any free one.")] = 7860,
    host_name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Host under which a proxy or forwarded port shows the page, such as seg.example.org; may be repeated.",
            show_default="this machine alone",
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Serve a page on this machine: click a pixel, see what it attends to, cut that. Ctrl-C ends it."""
    from scenescope.checkpoints.find import HOW_TO_GET_THE_BOX, models_in_box
    from scenescope.data.band_files import read_bands
    from scenescope.data.catalog import open_dataset
    from scenescope.data.images import read_image, require_file
    from scenescope.explore.page import PageServer
    from scenescope.explore.photographs import find_photographs
    from scenescope.explore.session import Session
    from scenescope.inference.segmenter import Segmenter

    names = list(dict.fromkeys(model or [])) or list(models_in_box())
    if not names:
        if not DEMO_MODEL.is_dir():
            raise CheckpointError(
                "No model was named, no models are installed and the demo has not been made here. Name one with"
                f" --model DIR (RUN/best of a training), or {HOW_TO_GET_THE_BOX}."
            )
        names = [str(DEMO_MODEL)]
    for path in image or []:
        require_file(path)
    segmenters = {name: Segmenter.load(name, device, precision) for name in names}
    rule = next(iter(segmenters.values())).band_rule
    given = {path.name: read_image(path) if rule is None else read_bands(path, rule) for path in image or []}
    if rule is not None and not given:
        raise ImageError(
            f"The page has no example of what the model sees, {rule}; give one: scenescope page IMAGE --model MODEL."
        )
    scene = {"Generated street": open_dataset("scenes", "", "test")[0].image}
    photographs = {name: read_image(path) for name, path in find_photographs().items()}
    # The demo's model has seen generated streets alone.
    examples = (
        given
        if rule is not None
        else given | (scene | photographs if names == [str(DEMO_MODEL)] else photographs | scene)
    )
    session = Session(segmenters, next(iter(examples.values())), examples)
    with PageServer(session, port, host_name or ()) as server:
        print(f"The page is at {server.url}; Ctrl-C ends it.", flush=True)
        if show:
            import webbrowser

            webbrowser.open(server.url)
        server.serve_forever()
