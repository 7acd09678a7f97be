import csv
import json

import numpy as np
import pytest
import rasterio

from scenescope.data.geometry import in_crs
from scenescope.errors import DataError
from scenescope.workflows import map_areas
from scenescope.workflows.map_areas import write_areas
from tests.geotiff import write_map

GROUND = 0.25 / 0.9996**2
"""Square meters of a pixel at the central meridian."""


@pytest.fixture
def label_map(tmp_path):
    labels = np.zeros((100, 120, 1), np.uint8)
    labels[:, 60:] = 1
    labels[:10, :10] = 255
    place = write_map(tmp_path / "labels.tif", labels, nodata=255)
    with rasterio.open(place, "r+") as file:
        file.update_tags(CLASS_0="=field", CLASS_1="road", CLASS_2="pond")
    return place


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def layer(path, boxes, crs=None):
    """Boxes in pixels: left, top, right, bottom; in longitude and latitude unless a CRS is named."""
    features = []
    for name, (left, top, right, bottom) in boxes.items():
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        ring = [[500_000 + x / 2, 5_500_000 - y / 2] for x, y in corners]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        if crs is None:
            geometry = in_crs(geometry, "EPSG:32633", "OGC:CRS84")
        features.append({"type": "Feature", "id": name, "properties": {}, "geometry": geometry})
    content = {"type": "FeatureCollection", "features": features}
    if crs is not None:
        content["crs"] = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps(content))
    return path


def test_the_whole_map(label_map, tmp_path, monkeypatch):
    monkeypatch.setattr(map_areas, "_ROWS", 33)
    monkeypatch.setattr(map_areas, "_COLUMNS", 50)
    write_areas(label_map, tmp_path / "a.csv")
    rows = table(tmp_path / "a.csv")
    assert [(row["class"], row["pixels"]) for row in rows] == [
        ("'=field", "5900"), ("road", "6000"), ("pond", "0"), ("(nodata)", "100")
    ]  # fmt: skip
    assert float(rows[1]["area_m2"]) == pytest.approx(6000 * GROUND, rel=1e-4)
    assert float(rows[1]["area_ha"]) == pytest.approx(0.6 * GROUND, rel=1e-4)
    assert float(rows[1]["share"]) == pytest.approx(6000 / 11900, abs=1e-6)


@pytest.mark.parametrize("crs", [None, "urn:ogc:def:crs:EPSG::32633"])
def test_each_polygon_has_rows_of_its_own(label_map, tmp_path, crs):
    boxes = {"east": (55, 20, 75, 30), "over the edge": (110, 90, 500, 500), "elsewhere": (1000, 1000, 1010, 1010)}
    outside = write_areas(label_map, tmp_path / "a.csv", layer(tmp_path / "a.geojson", boxes, crs))
    assert outside == ["elsewhere"]
    found = {(row["area"], row["class"]): int(row["pixels"]) for row in table(tmp_path / "a.csv")}
    assert found["east", "'=field"] == 50
    assert found["east", "road"] == 150
    assert found["over the edge", "road"] == 100


def test_layers_that_cannot_be_used_are_told(label_map, tmp_path):
    place = tmp_path / "a.geojson"
    far = layer(tmp_path / "far.geojson", {"far": (9000, 9000, 9010, 9010)})
    with pytest.raises(DataError, match=r"No polygon of .* lies on"):
        write_areas(label_map, tmp_path / "a.csv", far)
    ring = [[0, 0], [1, 0], [1, 1], [0, 0]]

    def one(ring, kind="Polygon", **more):
        return json.dumps({"features": [{"geometry": {"type": kind, "coordinates": [ring]}}], **more})

    cases = {
        "[1": "is no GeoJSON",
        "[" * 100_000: "is no GeoJSON",
        "{}": "no GeoJSON with features",
        '{"features": []}': "holds no polygon",
        one(ring, "Point"): "feature 1 is a Point",
        one(ring[:2]): "is no polygon",
        one([[float("nan"), 0], *ring[1:]]): "all of them numbers",
        one(ring, crs=3): "names no system",
        one(ring, crs={"properties": {"name": "/etc/passwd"}}): "names no system",
        one(ring, crs={"properties": {"name": "EPSG:99999"}}): "check the CRS",
    }
    for text, told in cases.items():
        place.write_text(text)
        with pytest.raises(DataError, match=told) as error:
            write_areas(label_map, tmp_path / "a.csv", place)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "a.csv").exists()
