"""scenescope areas: how large the classes of a label map are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scenescope.cli.console import Console
from scenescope.cli.inference_options import output_path


def areas(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="A label map that predict has written of a map.")],
    output: Annotated[Path, typer.Option(help="The table, FILE.csv.", parser=output_path)],
    within: Annotated[
        Path | None,
        typer.Option(help="Polygons as GeoJSON; each gets rows of its own.", show_default="the whole map"),
    ] = None,
) -> None:
    """Write the areas of the classes of a label map, in pixels, square meters and hectares."""
    from scenescope.workflows.map_areas import write_areas

    outside = write_areas(labels, output, within)
    Console(soft_wrap=True, markup=False, highlight=False).print(f"See {output}.")
    if outside:
        shown = ", ".join(outside[:5]) + (", ..." if len(outside) > 5 else "")
        Console(soft_wrap=True, markup=False, highlight=False, stderr=True).print(
            f"note: {len(outside)} polygons hold no pixel of the map: {shown}"
        )
