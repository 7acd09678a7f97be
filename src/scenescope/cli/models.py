"""scenescope models: the catalog of networks."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer
from rich.table import Table

from scenescope.cli.console import Console
from scenescope.cli.inference_options import parse_size
from scenescope.errors import ScenescopeError
from scenescope.lab_names import from_lab


def models(
    table: Annotated[str | None, typer.Argument(help="With --published: this table only.", show_default="all")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Any timm network with four stages.", show_default="each network's own")
    ] = None,
    num_classes: Annotated[int, typer.Option(min=1, help="Number of classes.")] = 19,
    size: Annotated[str, typer.Option(metavar="HEIGHT,WIDTH", help="Of the image, in pixels.")] = "480,480",
    output_stride: Annotated[int, typer.Option(help="8, 16 or 32.")] = 8,
    published: Annotated[bool, typer.Option("--published", help="Print the papers' tables as Markdown.")] = False,
) -> None:
    """List the networks with parameters, multiplications of one image, and published scores."""
    if published:
        typer.echo(from_lab("published_page")(table), nl=False)
        return
    if table is not None:
        raise ScenescopeError(
            f"{table!r} is asked for without --published; type scenescope models --published {table}."
        )
    height, width = parse_size(size)
    from scenescope.models.catalog import MODELS, create_model
    from scenescope.models.complexity import complexity

    published_scores = from_lab("published_scores")
    listing = Table("network", box=None)
    for column in ("parameters", "GMACs", "as published"):
        listing.add_column(column, justify="right", no_wrap=True)
    listing.add_column("published mIoU, %", overflow="fold")
    options: dict[str, Any] = {"num_classes": num_classes, "output_stride": output_stride}
    if backbone is not None:
        options["backbone"] = backbone
    for name in MODELS:
        cost = complexity(partial(create_model, name, **options), height, width)
        macs, as_published = (f"{number / 1e9:,.1f}" for number in (cost.macs, cost.macs_as_published))
        listing.add_row(name, f"{cost.parameters:,}", macs, as_published, published_scores(name))
    console = Console()
    console.print(listing, highlight=False)
    console.print(
        f"One image of {height} x {width}, {num_classes} classes, output stride {output_stride}. GMACs are"
        " those of a prediction, attention included; beside them the convention of the papers' tables, which counts"
        " layers, also those of training, and no products of attention.",
        highlight=False,
    )
