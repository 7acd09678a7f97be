"""scenescope benchmark: what an image costs on this machine."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from scenescope.cli.inference_options import DeviceOption, parse_size
from scenescope.errors import ScenescopeError


def benchmark(
    network: Annotated[
        str | None,
        typer.Argument(help="A network of scenescope models, with random weights.", show_default="that of --model"),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model directory, a model in the box by name, or hub:org/name.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Any timm network with four stages.", show_default="the network's own")
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="HEIGHT,WIDTH", help="Of the image; may be given several times.", show_default="512,512"),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Calls that count, of each form.")] = 5,
    device: DeviceOption = "auto",
) -> None:
    """Measure time and memory of a prediction: the network as it is and fused, as the other commands use it."""
    if (network is None) == (model is None):
        raise ScenescopeError("Name a network, such as danet, or a trained one with --model; one of the two.")
    if backbone is not None and network is None:
        raise ScenescopeError("--backbone is for a network with random weights; a model has its own. Leave it out.")
    sizes = [parse_size(each) for each in size or ["512,512"]]
    import torch
    from rich.table import Table

    from scenescope.benchmark import measure
    from scenescope.cli.console import Console
    from scenescope.inference.segmenter import Segmenter
    from scenescope.labels import Classes
    from scenescope.models.catalog import create_model

    options: dict[str, Any] = {} if backbone is None else {"backbone": backbone}
    if network is None:
        segmenter = Segmenter.load(model, device, "float32", fused=False)
    else:
        classes = Classes.named([f"class {number}" for number in range(19)])
        segmenter = Segmenter(create_model(network, num_classes=len(classes), **options).eval(), classes, device)
    built = segmenter.network
    listing = Table(box=None)
    for column in ("image", "form", "s", "time", "MB"):
        listing.add_column(column, justify="left" if column in ("image", "form") else "right")
    for height, width in sizes:
        costs = measure(segmenter, height, width, repeats=repeats)
        for cost in costs:
            megabytes = "" if cost.peak is None else f"{cost.peak / 1e6:,.0f}"
            share = f"{cost.seconds / costs[0].seconds:.2f}"
            listing.add_row(f"{height} x {width}", cost.form, f"{cost.seconds:.3f}", share, megabytes)
    console = Console()
    console.print(listing, highlight=False)
    told = f"{built.config['name']}, backbone {built.config['backbone']}, {built.num_classes} classes"
    console.print(
        f"{told}, on {segmenter.device}, {torch.get_num_threads()} threads, torch {torch.__version__}.", highlight=False
    )
