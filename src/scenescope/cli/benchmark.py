"""scenescope benchmark: what a picture costs on this machine."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from scenescope.cli.inference_options import DeviceOption
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
        typer.Option(
            metavar="HEIGHT,WIDTH", help="Of the picture; may be given several times.", show_default="512,512"
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Calls that count, of each form.")] = 5,
    device: DeviceOption = "auto",
) -> None:
    """Measure time and memory of a prediction: the network as it is and optimised for inference."""
    if (network is None) == (model is None):
        raise ScenescopeError("Name a network, such as danet, or a trained one with --model; one of the two.")
    if backbone is not None and network is None:
        raise ScenescopeError("--backbone is for a network with random weights; a model has its own. Leave it out.")
    sizes = [_parse_size(each) for each in size or ["512,512"]]
    import torch
    from rich.table import Table

    from scenescope.benchmark import measure
    from scenescope.checkpoints.model_directory import load_model
    from scenescope.cli.console import Console
    from scenescope.device import resolve_device
    from scenescope.models.catalog import create_model

    chosen = resolve_device(device)
    options: dict[str, Any] = {} if backbone is None else {"backbone": backbone}
    built = load_model(model).network if network is None else create_model(network, num_classes=19, **options)
    built = built.to(chosen).eval()
    listing = Table(box=None)
    for column in ("picture", "form", "s", "time", "MB"):
        listing.add_column(column, justify="left" if column in ("picture", "form") else "right")
    for height, width in sizes:
        costs = measure(built, height, width, device=chosen, repeats=repeats)
        for cost in costs:
            megabytes = "" if cost.peak is None else f"{cost.peak / 1e6:,.0f}"
            share = f"{cost.seconds / costs[0].seconds:.2f}"
            listing.add_row(f"{height} x {width}", cost.form, f"{cost.seconds:.3f}", share, megabytes)
    console = Console()
    console.print(listing, highlight=False)
    told = f"{built.config['name']}, backbone {built.config['backbone']}, {built.num_classes} classes"
    console.print(
        f"{told}, on {chosen}, {torch.get_num_threads()} threads, torch {torch.__version__}.", highlight=False
    )


def _parse_size(text: str) -> tuple[int, int]:
    matched = re.fullmatch(r"(\d+),(\d+)", text)
    if matched is None or 0 in (int(matched[1]), int(matched[2])):
        raise ScenescopeError(f"--size {text!r} is no size; write height and width in pixels, such as 512,512.")
    return int(matched[1]), int(matched[2])
