"""scenescope polygons: the areas of a label map as polygons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scenescope.cli.console import Console
from scenescope.cli.inference_options import output_path


def polygons(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="A label map that predict has written of a map.")],
    output: Annotated[
        Path,
        typer.Option(
            help="FILE.geojson, in longitude and latitude, or FILE.gpkg, in the map's CRS.", parser=output_path
        ),
    ],
    min_area: Annotated[
        float, typer.Option(min=0, help="Square meters; smaller areas are given to their largest neighbor.")
    ] = 0,
    simplify: Annotated[
        float, typer.Option(min=0, help="Pixels by which outlines may move to be simpler; neighbors keep touching.")
    ] = 0,
) -> None:
    """Write the areas of a label map as polygons with class, square meters and hectares."""
    from scenescope.workflows.map_polygons import write_polygons

    result = write_polygons(labels, output, min_area=min_area, tolerance=simplify)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    console.print(f"{result.written:,} polygons; see {output}.")
    if result.dropped:
        Console(soft_wrap=True, markup=False, highlight=False, stderr=True).print(
            f"note: {result.dropped:,} areas ({result.dropped_square_meters:,.0f} m2) are smaller and have no larger"
            " neighbor; they are left out."
        )
