"""How large the areas of the classes of a label map are, of the whole map or within given polygons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scenescope.data.geojson import Feature, read_geojson
from scenescope.data.geometry import burnt, in_crs, pixel_area, pixel_bounds, require_place
from scenescope.data.raster import Raster, RasterFacts
from scenescope.errors import DataError
from scenescope.files import write_csv
from scenescope.labels import IGNORE
from scenescope.workflows.map_polygons import class_name, require_labels

HEADER = ["area", "class", "pixels", "share", "area_m2", "area_ha"]
_ROWS, _COLUMNS = 1024, 4096

Box = tuple[int, int, int, int]
"""First column, first row, and those past the last."""


@dataclass(frozen=True)
class ClassAreas:
    """What a part of a map is made of.

    Attributes:
        name: of the part.
        pixels: how many there are of each label, 256 numbers; of 255, which have no class.
        square_meters: their size on the ellipsoid, 256 numbers.
    """

    name: str
    pixels: npt.NDArray[np.int64]
    square_meters: npt.NDArray[np.float64]


def write_areas(source: Path, output: Path, layer: Path | None = None) -> list[str]:
    """Write a table of the areas of all classes, of the whole map or within each polygon of a layer.

    A pixel belongs to a polygon that holds its center.

    Args:
        source: a label map as GeoTIFF; it is read part by part.
        output: of the table (CSV): share is of the part's pixels that have a class.
        layer: polygons as GeoJSON; they may overlap.

    Returns:
        The names of the polygons that lie outside the map, which the table has no rows of.

    Raises:
        ImageError: the label map cannot be read.
        DataError: it is none, the layer is no GeoJSON with polygons, or none of them lies on the map.
        StorageError: the output cannot be written.
    """
    with Raster(source) as raster:
        facts = require_labels(raster.facts)
        require_place(facts)
        if layer is None:
            found, outside = [_within(raster, "map", None)], list[str]()
        else:
            features, crs = read_geojson(layer)
            found, outside = _of_features(raster, features, crs)
            if not found:
                raise DataError(
                    f"No polygon of {layer} lies on {source}; check that the CRS of both is right: {facts.crs} is that"
                    f" of the map, {crs} that of the polygons."
                )
    rows = [row for part in found for row in _table(part, facts)]
    write_csv(output, [HEADER, *rows])
    return outside


def _of_features(raster: Raster, features: list[Feature], crs: str) -> tuple[list[ClassAreas], list[str]]:
    own_crs, _ = require_place(raster.facts)
    found, outside = [], []
    for feature in features:
        part = _within(raster, feature.name, in_crs(feature.geometry, crs, own_crs))
        if part.pixels.any():
            found.append(part)
        else:
            outside.append(feature.name)
    return found, outside


def _within(raster: Raster, name: str, polygon: dict[str, object] | None) -> ClassAreas:
    facts = raster.facts
    _, transform = require_place(facts)
    pixels, square_meters = np.zeros(256, np.int64), np.zeros(256)
    for left, top, right, bottom in _boxes(facts, polygon):
        labels, valid = raster.read(left, top, right - left, bottom - top)
        labels[~valid] = IGNORE
        held = labels[..., 0].reshape(-1)
        if polygon is not None:
            drawn = burnt([(polygon, 1)], transform, bottom - top, right - left, 0, left, top)
            held = held[drawn.reshape(-1) == 1]
        counts = np.bincount(held, minlength=256)
        pixels += counts
        square_meters += counts * pixel_area(facts, left, top, right, bottom)
    return ClassAreas(name, pixels, square_meters)


def _boxes(facts: RasterFacts, polygon: dict[str, object] | None) -> Iterator[Box]:
    """Yield parts of the map that can be held, as far as the polygon reaches."""
    _, transform = require_place(facts)
    left, top, right, bottom = (0, 0, facts.width, facts.height)
    if polygon is not None:
        first_column, first_row, last_column, last_row = pixel_bounds(polygon, transform)
        left, top = max(left, first_column), max(top, first_row)
        right, bottom = min(right, last_column), min(bottom, last_row)
    for row in range(top, bottom, _ROWS):
        for column in range(left, right, _COLUMNS):
            yield column, row, min(column + _COLUMNS, right), min(row + _ROWS, bottom)


def _table(part: ClassAreas, facts: RasterFacts) -> Iterator[list[str]]:
    labels = [label for label in range(IGNORE) if part.pixels[label] or label < len(facts.classes)]
    known = int(part.pixels[:IGNORE].sum())
    for label in labels:
        count, size = int(part.pixels[label]), float(part.square_meters[label])
        share = count / known if known else 0
        yield [part.name, class_name(facts, label), str(count), f"{share:.6f}", f"{size:.2f}", f"{size / 1e4:.6f}"]
    if part.pixels[IGNORE]:
        count, size = int(part.pixels[IGNORE]), float(part.square_meters[IGNORE])
        yield [part.name, "(nodata)", str(count), "", f"{size:.2f}", f"{size / 1e4:.6f}"]
