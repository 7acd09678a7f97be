"""Polygons as others open them: GeoJSON in longitude and latitude, or GeoPackage in a CRS of one's own."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scenescope.data.geometry import Points, shoelace, wkt_and_code

_DEGREES = 7
"""Digits after the point: about a centimeter."""


@dataclass(frozen=True)
class Polygon:
    """An area of one class: its closed rings, the exterior first, and its true size."""

    label: int
    name: str
    rings: Sequence[Points]
    square_meters: float


def write_geojson(path: Path, polygons: Iterable[Polygon]) -> None:
    """Write polygons in longitude and latitude as RFC 7946 asks: exteriors run counterclockwise, holes clockwise."""
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for number, polygon in enumerate(polygons):
            coordinates = [np.round(_turned(ring, index == 0), _DEGREES) for index, ring in enumerate(polygon.rings)]
            feature = {
                "type": "Feature",
                "properties": _properties(polygon),
                "geometry": {"type": "Polygon", "coordinates": [ring.tolist() for ring in coordinates]},
            }
            file.write((",\n" if number else "\n") + json.dumps(feature))
        file.write("\n]}\n")


def write_geopackage(path: Path, polygons: Iterable[Polygon], crs: str) -> None:
    """Write polygons as the layer ``areas`` of a GeoPackage 1.3, without an index."""
    wkt, organization, code = wkt_and_code(crs)
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(_SCHEMA)
        database.execute(
            "INSERT OR REPLACE INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, NULL)",
            (f"{organization}:{code}", code, organization, code, wkt),
        )
        box = [np.inf, np.inf, -np.inf, -np.inf]
        for polygon in polygons:
            outer = polygon.rings[0]
            box = [*np.minimum(box[:2], outer.min(axis=0)), *np.maximum(box[2:], outer.max(axis=0))]
            known = _properties(polygon)
            database.execute(
                "INSERT INTO areas (geom, class, label, area_m2, area_ha) VALUES (?, ?, ?, ?, ?)",
                (_geometry(polygon.rings, code), *known.values()),
            )
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, min_x, min_y, max_x, max_y, srs_id)"
            " VALUES ('areas', 'features', 'areas', ?, ?, ?, ?, ?)",
            (*map(float, box), code),
        )
        database.execute("INSERT INTO gpkg_geometry_columns VALUES ('areas', 'geom', 'POLYGON', ?, 0, 0)", (code,))


def _properties(polygon: Polygon) -> dict[str, str | int | float]:
    area = polygon.square_meters
    return {"class": polygon.name, "label": polygon.label, "area_m2": round(area, 2), "area_ha": round(area / 1e4, 6)}


def _turned(ring: Points, counterclockwise: bool) -> Points:
    return ring if (shoelace(ring) > 0) == counterclockwise else ring[::-1]


def _geometry(rings: Sequence[Points], code: int) -> bytes:
    """Return a polygon as GeoPackage keeps it: its own header, then well-known binary."""
    body = struct.pack("<BII", 1, 3, len(rings))
    for index, ring in enumerate(rings):
        body += struct.pack("<I", len(ring)) + _turned(ring, index == 0).astype("<f8").tobytes()
    return struct.pack("<2sBBi", b"GP", 0, 1, code) + body


_SCHEMA = """
PRAGMA application_id = 0x47504B47;
PRAGMA user_version = 10300;
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY, organization TEXT NOT NULL,
    organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
INSERT INTO gpkg_spatial_ref_sys VALUES
    ('undefined cartesian', -1, 'NONE', -1, 'undefined', NULL),
    ('undefined geographic', 0, 'NONE', 0, 'undefined', NULL),
    ('WGS 84', 4326, 'EPSG', 4326, 'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
     || 'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4326"]]', NULL);
CREATE TABLE gpkg_contents (table_name TEXT PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
    description TEXT DEFAULT '', last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER REFERENCES gpkg_spatial_ref_sys (srs_id));
CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL REFERENCES gpkg_contents (table_name),
    column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL REFERENCES
    gpkg_spatial_ref_sys (srs_id), z TINYINT NOT NULL, m TINYINT NOT NULL, PRIMARY KEY (table_name, column_name));
CREATE TABLE areas (fid INTEGER PRIMARY KEY AUTOINCREMENT, geom POLYGON, class TEXT, label INTEGER, area_m2 DOUBLE,
    area_ha DOUBLE);
"""
