import json
import sqlite3
import struct

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from scenescope.data.geometry import burnt, in_crs, pixel_bounds
from scenescope.errors import DataError, ScenescopeError
from scenescope.workflows.map_polygons import write_polygons
from tests.geotiff import write_map


@pytest.fixture
def label_map(tmp_path):
    """A label map of 100 x 120 pixels of half a meter: a field with a pond in it, a road, and a part with nothing."""
    labels = np.zeros((100, 120, 1), np.uint8)
    labels[:, 80:90] = 1
    labels[20:40, 20:60] = 2
    labels[30, 40] = 0  # an island of one pixel in the pond
    labels[90:, 100:] = 255
    place = write_map(tmp_path / "labels.tif", labels, nodata=255)
    with rasterio.open(place, "r+") as file:
        file.update_tags(CLASS_0="field", CLASS_1="road", CLASS_2="pond")
    return place


def features(path):
    content = json.loads(path.read_text())
    assert content["type"] == "FeatureCollection"
    return content["features"]


@pytest.mark.parametrize("tolerance", [0, 1.0])
def test_polygons_drawn_again_give_the_labels(label_map, tmp_path, tolerance):
    result = write_polygons(label_map, tmp_path / "out.geojson", tolerance=tolerance)
    found = features(tmp_path / "out.geojson")
    assert result.written == len(found) == 5
    with rasterio.open(label_map) as file:
        labels, transform = file.read(1), tuple(file.transform)[:6]
    drawn = np.full_like(labels, 255)
    for feature in found:
        own = burnt([(in_crs(feature["geometry"], "OGC:CRS84", "EPSG:32633"), 1)], transform, 100, 120, 0, 0, 0)
        assert (drawn[own == 1] == 255).all()
        drawn[own == 1] = feature["properties"]["label"]
    assert np.array_equal(drawn, labels)


def test_area_is_true_and_rings_turn_as_geojson_asks(label_map, tmp_path):
    write_polygons(label_map, tmp_path / "out.geojson")
    pond = next(each for each in features(tmp_path / "out.geojson") if each["properties"]["class"] == "pond")
    # At its central meridian the scale of UTM is 0.9996: ground is larger than the grid by 1 / 0.9996 squared.
    assert pond["properties"]["area_m2"] == pytest.approx(799 * 0.25 / 0.9996**2, rel=1e-4)
    assert pond["properties"]["area_ha"] == pytest.approx(pond["properties"]["area_m2"] / 1e4, abs=1e-6)
    outer, hole = (np.array(ring) for ring in pond["geometry"]["coordinates"])
    for ring, sign in ((outer, 1), (hole, -1)):
        x, y = (ring - ring[0]).T
        assert np.sign((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) == sign
    assert outer[0].tolist() == outer[-1].tolist() == pytest.approx([15.0, 49.65], abs=0.01)


def test_small_areas_go_to_their_neighbor(label_map, tmp_path):
    assert write_polygons(label_map, tmp_path / "out.geojson", min_area=1).written == 4
    pond = next(each for each in features(tmp_path / "out.geojson") if each["properties"]["class"] == "pond")
    assert len(pond["geometry"]["coordinates"]) == 1


def test_small_areas_without_a_neighbor_are_left_out_and_counted(tmp_path):
    labels = np.full((30, 30, 1), 255, np.uint8)
    labels[:10, :10], labels[20, 20] = 0, 1
    result = write_polygons(write_map(tmp_path / "a.tif", labels, nodata=255), tmp_path / "a.geojson", min_area=2)
    assert (result.written, result.dropped) == (1, 1)
    assert result.dropped_square_meters == pytest.approx(0.25, rel=0.01)


def test_true_area_in_degrees_and_in_web_mercator(tmp_path):
    """At 60 degrees north a degree of longitude is half as long, and Web Mercator doubles every length."""
    labels = np.zeros((10, 10, 1), np.uint8)
    for name, crs, left, top, size, expected in (
        ("degrees", "EPSG:4326", 10, 60, 0.001, 0.01**2 * 111_412 * 55_800),
        ("mercator", "EPSG:3857", 1_113_194, 8_399_737, 10, 100**2 / 4),
    ):
        place = write_map(tmp_path / f"{name}.tif", labels, crs=crs, transform=from_origin(left, top, size, size))
        write_polygons(place, tmp_path / f"{name}.geojson")
        area = features(tmp_path / f"{name}.geojson")[0]["properties"]["area_m2"]
        assert area == pytest.approx(expected, rel=0.01)


def test_a_geopackage_holds_the_same_in_the_crs_of_the_map(label_map, tmp_path):
    write_polygons(label_map, tmp_path / "out.gpkg")
    write_polygons(label_map, tmp_path / "out.geojson")
    with sqlite3.connect(tmp_path / "out.gpkg") as database:
        assert database.execute("PRAGMA application_id").fetchone() == (0x47504B47,)
        assert database.execute("SELECT srs_id, min_x, max_y FROM gpkg_contents").fetchall() == [
            (32633, 500_000, 5_500_000)
        ]
        rows = database.execute("SELECT geom, class, area_m2 FROM areas").fetchall()
    expected = features(tmp_path / "out.geojson")
    assert [row[1:] for row in rows] == [(f["properties"]["class"], f["properties"]["area_m2"]) for f in expected]
    for (blob, _, _), feature in zip(rows, expected, strict=True):
        magic, version, flags, srs, order, kind, rings, points = struct.unpack_from("<2sBBiBIII", blob)
        assert (magic, version, flags, srs, order, kind) == (b"GP", 0, 1, 32633, 1, 3)
        assert rings == len(feature["geometry"]["coordinates"])
        x, _ = np.frombuffer(blob, "<f8", 2 * points, 21).reshape(-1, 2).T
        moved = in_crs(feature["geometry"], "OGC:CRS84", "EPSG:32633")["coordinates"][0]
        assert np.abs(np.sort(x) - np.sort([point[0] for point in moved])).max() < 0.02


def test_what_is_no_label_map_is_refused(tmp_path):
    labels = np.zeros((10, 10, 1), np.uint8)
    cases = {
        "colors": (labels.repeat(3, 2), {}, "3 bands of uint8"),
        "nowhere": (labels, {"crs": None}, "has no CRS"),
        "nothing": (labels + 255, {"nodata": 255}, "nothing to outline"),
    }
    for name, (numbers, profile, told) in cases.items():
        place = write_map(tmp_path / f"{name}.tif", numbers, **profile)
        with pytest.raises(DataError, match=told):
            write_polygons(place, tmp_path / "out.geojson")
    with pytest.raises(ScenescopeError, match=r"\.geojson or \.gpkg"):
        write_polygons(place, tmp_path / "out.shp")
    assert not list(tmp_path.glob("*out*"))


def test_bounds_hold_the_polygon():
    square = {"type": "Polygon", "coordinates": [[[3.2, 4], [7, 4], [7, 8.5], [3.2, 8.5], [3.2, 4]]]}
    assert pixel_bounds(square, (0.5, 0, 1, 0, -0.5, 10)) == (4, 3, 12, 12)
