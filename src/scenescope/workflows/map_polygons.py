"""From a label map to polygons: small areas merged, shared edges simplified once, true areas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scenescope.data.geometry import (
    EQUAL_AREA,
    LONGITUDE_LATITUDE,
    areas_of,
    merged_small,
    pixel_area,
    placed,
    require_place,
    shoelace,
    transformed,
)
from scenescope.data.polygon_files import Polygon, write_geojson, write_geopackage
from scenescope.data.raster import Raster, RasterFacts
from scenescope.data.topology import Point, meeting_points, simplified
from scenescope.errors import DataError, ScenescopeError
from scenescope.files import write_atomically
from scenescope.labels import IGNORE

_MAX_MERGES = 10


@dataclass(frozen=True)
class PolygonResult:
    """What was written: polygons; and what is in none of them because it is too small and has no larger neighbor."""

    written: int
    dropped: int
    dropped_square_meters: float


def read_label_map(path: Path) -> tuple[npt.NDArray[np.uint8], RasterFacts]:
    """Read a label map whole, a byte for each pixel; 255 and nodata become 255.

    Raises:
        ImageError: it cannot be read.
        DataError: it has several bands, or numbers that are no labels.
    """
    with Raster(path) as raster:
        facts = require_labels(raster.facts)
        labels, valid = raster.read(0, 0, facts.width, facts.height)
    labels[~valid] = IGNORE
    return labels[..., 0], facts


def require_labels(facts: RasterFacts) -> RasterFacts:
    """Refuse a raster that is no label map.

    Raises:
        DataError: it has several bands, or numbers that are no labels.
    """
    if facts.bands != 1 or facts.dtype != "uint8":
        raise DataError(
            f"{facts.path} is no label map: it has {facts.bands} bands of {facts.dtype}, not one of uint8; give what"
            " scenescope predict has written."
        )
    return facts


def class_name(facts: RasterFacts, label: int) -> str:
    """Return the name of a class as the label map has it, else its number."""
    return facts.classes[label] if label < len(facts.classes) else str(label)


def write_polygons(source: Path, output: Path, *, min_area: float = 0, tolerance: float = 0) -> PolygonResult:
    """Write the areas of a label map as polygons.

    Args:
        source: a label map as GeoTIFF. It is held whole, a byte for each pixel.
        output: ``.geojson``, in longitude and latitude, or ``.gpkg``, in the CRS of the map.
        min_area: square meters; smaller areas are given to their largest neighbor.
        tolerance: how far outlines may be moved to make them simpler, in pixels. Neighbors keep touching.

    Raises:
        ImageError: the label map cannot be read.
        DataError: it is none, or does not say where it lies.
        StorageError: the output cannot be written.
    """
    if output.suffix.lower() not in (".geojson", ".gpkg"):
        raise ScenescopeError(f"--output {output} is of no known kind; end it in .geojson or .gpkg.")
    labels, facts = read_label_map(source)
    crs, _ = require_place(facts)
    mean_area = pixel_area(facts, 0, 0, facts.width, facts.height)
    least = math.ceil(min_area / mean_area)
    for _ in range(_MAX_MERGES if least > 1 else 0):
        merged = merged_small(labels, least, IGNORE)
        if np.array_equal(merged, labels):
            break
        labels = merged
    areas = list(areas_of(labels, IGNORE))
    if not areas:
        raise DataError(f"{source} holds no class anywhere: all of it is nodata; there is nothing to outline.")
    kept = [each for each in areas if _pixels(each[1]) >= least]
    in_degrees = output.suffix.lower() == ".geojson"
    meeting = meeting_points(labels, IGNORE) if tolerance else set()
    polygons = _polygons(kept, meeting, facts, tolerance, LONGITUDE_LATITUDE if in_degrees else crs)
    if in_degrees:
        write_atomically(output, partial(write_geojson, polygons=polygons))
    else:
        write_atomically(output, partial(write_geopackage, polygons=polygons, crs=crs))
    lost = sum(_pixels(rings) for _, rings in areas) - sum(_pixels(rings) for _, rings in kept)
    return PolygonResult(len(kept), len(areas) - len(kept), lost * mean_area)


def _pixels(rings: list[list[Point]]) -> int:
    """Return how many pixels lie within the exterior and in no hole."""
    areas = [abs(shoelace(np.array(ring, np.float64))) for ring in rings]
    return round(areas[0] - sum(areas[1:]))


def _polygons(
    areas: list[tuple[int, list[list[Point]]]],
    meeting: set[Point],
    facts: RasterFacts,
    tolerance: float,
    target: str,
) -> Iterator[Polygon]:
    crs, transform = require_place(facts)
    if not areas:
        return
    rings = simplified([ring for _, of_area in areas for ring in of_area], meeting, tolerance)
    points = placed(np.concatenate([np.array(ring) for ring in rings]), transform)
    ends = np.cumsum([len(ring) for ring in rings])[:-1]
    sizes = [abs(shoelace(ring)) for ring in np.split(transformed(points, crs, EQUAL_AREA), ends)]
    lines = np.split(points if target == crs else transformed(points, crs, target), ends)
    first = 0
    for label, of_area in areas:
        last = first + len(of_area)
        size = sizes[first] - sum(sizes[first + 1 : last])
        yield Polygon(label, class_name(facts, label), lines[first:last], size)
        first = last
