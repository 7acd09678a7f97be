"""Where things lie: coordinates between systems, true areas, areas of pixels as polygons and back. By rasterio."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from scenescope.data.raster import Affine, RasterFacts, require_rasterio
from scenescope.errors import DataError, first_line

LONGITUDE_LATITUDE = "OGC:CRS84"
"""WGS 84 in degrees, longitude first: what GeoJSON is in (RFC 7946)."""
EQUAL_AREA = "EPSG:6933"
"""A cylindrical projection of the ellipsoid that keeps areas, in meters: true areas whatever a map's system is."""

Geometry = dict[str, Any]
"""A geometry as GeoJSON writes it."""
Points = npt.NDArray[np.float64]
"""P x 2: x and y."""


def placed(points: npt.NDArray[Any], transform: Affine) -> Points:
    """Return the coordinates of places in pixels, P x 2 columns and rows."""
    a, b, c, d, e, f = transform
    x, y = np.asarray(points, np.float64).T
    return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)


def transformed(points: Points, source: str, target: str) -> Points:
    """Return coordinates of one system in another.

    Raises:
        DataError: a system that is not known, or one that has no place on Earth.
    """
    require_rasterio()
    from rasterio.warp import transform

    try:
        x, y = transform(source, target, points[:, 0], points[:, 1])
    except Exception as error:  # GDAL's and rasterio's own
        reason = first_line(error.__cause__ or error)
        raise DataError(f"No coordinates lead from {source[:60]} to {target} ({reason}); check the CRS.") from error
    return np.stack([x, y], axis=1)


def shoelace(ring: Points) -> float:
    """Return the area of a closed ring; positive where it runs counterclockwise, y pointing up."""
    x, y = (ring - ring[0]).T  # near zero there are digits enough
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def true_area(rings: list[Points], crs: str) -> float:
    """Return the area of a polygon in square meters on the ellipsoid: the exterior less its holes."""
    areas = [abs(shoelace(transformed(ring, crs, EQUAL_AREA))) for ring in rings]
    return areas[0] - sum(areas[1:])


def pixel_area(facts: RasterFacts, left: int, top: int, right: int, bottom: int) -> float:
    """Return the mean area of a pixel within a part of a map, in square meters on the ellipsoid.

    Raises:
        DataError: the map does not say where it lies.
    """
    crs, transform = require_place(facts)
    ring = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    return true_area([placed(ring, transform)], crs) / ((right - left) * (bottom - top))


def require_place(facts: RasterFacts) -> tuple[str, Affine]:
    """Return where a map lies: its CRS and its transform.

    Raises:
        DataError: it does not say.
    """
    if facts.crs is None or facts.transform is None:
        lacking = "CRS" if facts.crs is None else "transform"
        raise DataError(
            f"{facts.path} has no {lacking}, so it is not known where it lies; write one into it, such as"
            " gdal_edit -a_srs EPSG:32633 -a_ullr LEFT TOP RIGHT BOTTOM FILE."
        )
    return facts.crs, facts.transform


def same_crs(one: str, other: str) -> bool:
    """Tell whether two codes or texts mean one coordinate reference system."""
    require_rasterio()
    from rasterio.crs import CRS

    return bool(CRS.from_user_input(one) == CRS.from_user_input(other))


def in_crs(geometry: Geometry, source: str, target: str) -> Geometry:
    """Return a geometry of one system in another.

    Raises:
        DataError: a system that is not known.
    """
    require_rasterio()
    from rasterio.warp import transform_geom

    try:
        moved: Geometry = transform_geom(source, target, geometry)
    except Exception as error:
        reason = first_line(error.__cause__ or error)
        raise DataError(
            f"No coordinates lead from {source[:60]} to {target[:60]} ({reason}); check the CRS."
        ) from error
    return moved


def pixel_bounds(geometry: Geometry, transform: Affine) -> tuple[int, int, int, int]:
    """Return the first column and row, and those past the last, of the pixels that a polygon's box touches."""
    parts = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    points = np.array([point[:2] for part in parts for point in part[0]], np.float64)
    a, b, c, d, e, f = transform
    x, y = np.linalg.solve(np.array([[a, b], [d, e]]), points.T - np.array([[c], [f]]))
    return math.floor(x.min()), math.floor(y.min()), math.ceil(x.max()), math.ceil(y.max())


def merged_small(labels: npt.NDArray[np.uint8], pixels: int, nothing: int) -> npt.NDArray[np.uint8]:
    """Return labels in which areas of fewer pixels have the label of their largest neighbor; nothing stays nothing."""
    require_rasterio()
    from rasterio.features import sieve

    merged: npt.NDArray[np.uint8] = sieve(labels, pixels, mask=labels != nothing)
    return merged


def areas_of(labels: npt.NDArray[np.uint8], nothing: int) -> Iterator[tuple[int, list[list[tuple[int, int]]]]]:
    """Yield each area of one label that is connected by edges of pixels: the label, and its rings in pixels.

    The exterior comes first; each ring is closed and follows the edges of pixels.
    """
    require_rasterio()
    from rasterio.features import shapes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it lies in no place: it is to be in pixels
        for geometry, label in shapes(labels, mask=labels != nothing, connectivity=4):
            yield int(label), [[(int(x), int(y)) for x, y in ring] for ring in geometry["coordinates"]]


def burnt(
    geometries: list[tuple[Geometry, int]], transform: Affine, height: int, width: int, empty: int, left: int, top: int
) -> npt.NDArray[np.uint8]:
    """Draw polygons into a window of a map: a pixel belongs to the last one that holds its center.

    Args:
        geometries: in the map's coordinates, as GeoJSON writes them, each with its number.
        empty: the number of pixels that no polygon holds.
        left: the window's first column; ``top`` its first row.
    """
    rasterio = require_rasterio()
    from rasterio.features import rasterize

    if not geometries:
        return np.full((height, width), empty, np.uint8)
    a, b, c, d, e, f = transform
    window = rasterio.Affine(a, b, a * left + b * top + c, d, e, d * left + e * top + f)
    drawn: npt.NDArray[np.uint8] = rasterize(
        geometries, out_shape=(height, width), fill=empty, transform=window, dtype="uint8"
    )
    return drawn


def wkt_and_code(crs: str) -> tuple[str, str, int]:
    """Return a system as WKT, and its organization and code; of one without a code NONE and 100000."""
    require_rasterio()
    from rasterio.crs import CRS

    known = CRS.from_user_input(crs)
    organization, code = known.to_authority() or ("NONE", "100000")
    return known.to_wkt(), organization, int(code) if code.isdecimal() else 100_000
