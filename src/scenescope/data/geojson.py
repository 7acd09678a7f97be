"""Polygons of others, as GeoJSON: read within bounds, and each that cannot be used named by its number."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenescope.data.geometry import LONGITUDE_LATITUDE, Geometry
from scenescope.errors import DataError

MAX_BYTES = 200_000_000
"""The largest file that is read; decoded it takes some ten times that."""
_CODE = re.compile(r"(?:urn:ogc:def:crs:)?(EPSG|OGC|ESRI):(?:[0-9.]*:)?([A-Za-z0-9]{1,10})")


@dataclass(frozen=True)
class Feature:
    """A polygon, or several that belong together.

    Attributes:
        name: its id or its property ``name``, else its number in the file, from 1.
        geometry: a Polygon or MultiPolygon as GeoJSON writes it.
        properties: what the file says of it.
    """

    name: str
    geometry: Geometry
    properties: dict[str, Any]


def read_geojson(path: Path) -> tuple[list[Feature], str]:
    """Read the polygons of a GeoJSON file, and their CRS.

    Longitude and latitude (RFC 7946), unless the file names another system in its member ``crs``, as older ones do.

    Raises:
        DataError: missing, too large, no GeoJSON, no polygon in it, or one that is none; names the file and its number.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is larger than {MAX_BYTES:,} bytes; cut it into parts.")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}; check the path.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no GeoJSON, or damaged ({' '.join(str(error).split())[:80]}).") from error
    if not isinstance(content, dict) or not isinstance(content.get("features"), list):
        raise DataError(f"{path} is no GeoJSON with features; export the layer as a FeatureCollection.")
    features = [_feature(path, number, each) for number, each in enumerate(content["features"], start=1)]
    if not features:
        raise DataError(f"{path} holds no polygon; export a layer that has some.")
    crs = _crs(path, content.get("crs"))
    if crs == LONGITUDE_LATITUDE:
        _require_degrees(path, features)
    return features, crs


def _require_degrees(path: Path, features: list[Feature]) -> None:
    """Refuse what can be no longitude and latitude: layers in meters are written without a word of it."""
    for feature in features:
        geometry = feature.geometry
        polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
        for point in (point for rings in polygons for point in rings[0]):
            if abs(point[0]) > 360 or abs(point[1]) > 90:
                raise DataError(
                    f"{path}: polygon {feature.name} has the point {point[0]:g}, {point[1]:g}, no longitude and"
                    " latitude; export it in EPSG:4326, or with its CRS."
                )


def _crs(path: Path, member: object) -> str:
    if member is None:
        return LONGITUDE_LATITUDE
    properties = member.get("properties") if isinstance(member, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    # A code alone: GDAL would take the name of a file or an address as well.
    found = _CODE.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise DataError(
            f"{path}: its member crs names no system by code, such as EPSG:32633; remove it where it is longitude and"
            " latitude."
        )
    return f"{found[1]}:{found[2]}"


def _feature(path: Path, number: int, feature: object) -> Feature:
    where = f"{path}: feature {number}"
    if not isinstance(feature, dict) or not isinstance(feature.get("geometry"), dict):
        raise DataError(f"{where} has no geometry; remove it.")
    geometry, properties = feature["geometry"], feature.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        raise DataError(f"{where} is a {str(kind)[:20]}; polygons are read, so export a layer of these.")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not (isinstance(polygons, list) and polygons and all(map(_is_polygon, polygons))):
        raise DataError(f"{where} is no polygon: each ring takes four points or more, all of them numbers; repair it.")
    name = next((each for each in (feature.get("id"), properties.get("name")) if isinstance(each, (str, int))), number)
    return Feature(str(name), {"type": kind, "coordinates": coordinates}, properties)


def _is_polygon(rings: object) -> bool:
    return (
        isinstance(rings, list)
        and bool(rings)
        and all(isinstance(ring, list) and len(ring) >= 4 and all(map(_is_point, ring)) for ring in rings)
    )


def _is_point(point: object) -> bool:
    return (
        isinstance(point, list)
        and len(point) in (2, 3)
        and all(type(each) in (int, float) and math.isfinite(each) and abs(each) < 1e12 for each in point)
    )
