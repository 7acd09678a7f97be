import json
import pickle

import numpy as np
import pytest

from scenescope.data.catalog import open_dataset
from scenescope.data.fingerprint import difference, fingerprint
from scenescope.data.geometry import in_crs
from scenescope.errors import DataError, ImageError, LabelError, SplitError
from tests.geotiff import write_map

SETTINGS = {
    "names": ["field", "road", "pond"],
    "images": ["west.tif", "east.tif"],
    "labels": ["west_labels.tif", "east_labels.tif"],
    "window": 20,
    "block": 40,
    "margin": 10,
    "splits": {"train": 0.5, "val": 0.5},
}


def write_settings(folder, **changes):
    settings = {key: value for key, value in (SETTINGS | changes).items() if value is not None}
    (folder / "raster.yaml").write_text(json.dumps(settings))
    return str(folder)


@pytest.fixture
def maps(tmp_path):
    """Two maps of 150 x 170 pixels with labels; every number of an image tells its map, row and column."""
    random = np.random.default_rng(0)
    for number, name in enumerate(("west", "east")):
        rows, columns = np.mgrid[:150, :170]
        write_map(tmp_path / f"{name}.tif", np.stack([rows + number, columns, rows], 2).astype("uint8"))
        write_map(tmp_path / f"{name}_labels.tif", random.integers(0, 3, (150, 170, 1)).astype("uint8"))
    return tmp_path


def polygons(path, boxes, column="class"):
    """Boxes in pixels with their class."""
    features = []
    for value, (left, top, right, bottom) in boxes:
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        geometry = {"type": "Polygon", "coordinates": [[[500_000 + x / 2, 5_500_000 - y / 2] for x, y in corners]]}
        geometry = in_crs(geometry, "EPSG:32633", "OGC:CRS84")
        features.append({"type": "Feature", "properties": {column: value}, "geometry": geometry})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def test_a_scene_is_that_window_of_map_and_labels(maps):
    dataset = open_dataset("raster", write_settings(maps), "train")
    assert dataset.classes.names == ("field", "road", "pond")
    whole = np.random.default_rng(0).integers(0, 3, (150, 170, 1)).astype("uint8")[..., 0]
    for index in range(len(dataset)):
        scene, (number, left, top) = dataset[index], dataset.windows[index]
        assert scene.name == f"{('west', 'east')[number]}_{left}_{top}"
        assert scene.image[0, 0].tolist() == [top + number, left, top]
        assert scene.image.shape == (20, 20, 3)
        if number == 0:
            assert np.array_equal(scene.labels, whole[top : top + 20, left : left + 20])


@pytest.mark.parametrize("seed", range(4))
def test_scenes_of_two_splits_are_a_margin_apart(maps, seed):
    root = write_settings(maps, seed=seed, stride=7)
    train, val = (open_dataset("raster", root, split).windows for split in ("train", "val"))
    assert len(train) > 20
    assert len(val) > 20
    for one in train:
        for other in val:
            near = max(abs(one.left - other.left), abs(one.top - other.top))
            assert one.image != other.image or near >= 20 + 10


def test_all_blocks_are_used_once_and_the_draw_is_the_same(maps):
    root = write_settings(maps, splits={"a": 0.5, "b": 0.3, "c": 0.2})
    parts = [open_dataset("raster", root, split).windows for split in "abc"]
    assert parts == [open_dataset("raster", root, split).windows for split in "abc"]
    everything = [window for part in parts for window in part]
    assert len(set(everything)) == len(everything)
    # Blocks of 40 begin at 0, 50, 100 (and 150, where no window fits in): rows 0..149, columns 0..169.
    assert len(everything) == 2 * (6 * 7)


def test_it_survives_pickling_and_reads_in_any_order(maps):
    dataset = open_dataset("raster", write_settings(maps), "val")
    again = pickle.loads(pickle.dumps(dataset))
    for index in (3, 0):
        assert np.array_equal(again[index].labels, dataset[index].labels)


def test_polygons_with_a_column_of_classes(maps):
    polygons(maps / "a.geojson", [("road", (0, 0, 170, 150)), ("pond", (30, 20, 60, 50)), (0, (100, 0, 170, 150))])
    root = write_settings(maps, labels=None, images="west.tif", polygons="a.geojson", column="class", margin=0)
    expected = np.full((150, 170), 1, np.uint8)
    expected[20:50, 30:60] = 2
    expected[:, 100:] = 0
    for split in ("train", "val"):
        dataset = open_dataset("raster", root, split)
        for index, (_, left, top) in enumerate(dataset.windows):
            assert np.array_equal(dataset[index].labels, expected[top : top + 20, left : left + 20])


def test_outside_of_polygons_is_ignored_or_background(maps):
    polygons(maps / "a.geojson", [("pond", (0, 0, 60, 150))])
    one = {"labels": None, "images": "west.tif", "polygons": "a.geojson", "column": "class"}
    ignored = open_dataset("raster", write_settings(maps, **one), "train")
    assert all(window.left < 60 for window in ignored.windows)  # the others have no label
    filled = open_dataset("raster", write_settings(maps, **one, background="field"), "train")
    labels = {int(label) for index in range(len(filled)) for label in np.unique(filled[index].labels)}
    assert labels <= {0, 2}
    assert len(filled) > len(ignored)


def test_a_class_that_is_called_nodata_is_refused(maps):
    write_map(maps / "west_labels.tif", np.zeros((150, 170, 1), "uint8"), nodata=0)
    root = write_settings(maps, images="west.tif", labels="west_labels.tif", margin=0)
    with pytest.raises(DataError, match=r"west_labels\.tif says that 0 is nodata, but it is the class 'field'"):
        open_dataset("raster", root, "train")


def test_nodata_of_map_and_labels_is_ignored(maps):
    numbers = np.full((150, 170, 3), 9, "uint8")
    numbers[:75] = 0
    write_map(maps / "west.tif", numbers, nodata=0)
    labels = np.zeros((150, 170, 1), "uint8")
    labels[:, :100] = 200
    write_map(maps / "west_labels.tif", labels, nodata=200)
    root = write_settings(maps, images="west.tif", labels="west_labels.tif", margin=0)
    seen = 0
    for split in ("train", "val"):
        dataset = open_dataset("raster", root, split)
        for index, (_, left, top) in enumerate(dataset.windows):
            known = dataset[index].labels == 0
            rows, columns = np.mgrid[top : top + 20, left : left + 20]
            assert np.array_equal(known, (rows >= 75) & (columns >= 100))
            seen += known.sum()
    assert seen > 1000


def test_four_bands_of_16_bit_by_declaration(maps):
    numbers = np.full((150, 170, 4), 1500, "uint16")
    write_map(maps / "west.tif", numbers)
    one = {"images": "west.tif", "labels": "west_labels.tif"}
    with pytest.raises(ImageError, match="4 bands"):
        open_dataset("raster", write_settings(maps, **one), "train")
    with pytest.raises(ImageError, match=r"range: \[LOW, HIGH\]"):
        open_dataset("raster", write_settings(maps, **one, bands=[0, 1, 2, 3]), "train")
    dataset = open_dataset("raster", write_settings(maps, **one, bands=[0, 1, 2, 3], range=[0, 3000]), "train")
    assert dataset[0].image.dtype == np.float32
    assert (dataset[0].image == 0.5).all()
    assert dataset[0].image.shape == (20, 20, 4)


def test_labels_elsewhere_are_refused_by_name(maps):
    labels = np.zeros((150, 170, 1), "uint8")
    cases = [
        ({"crs": "EPSG:32632"}, labels, r"west_labels\.tif is in EPSG:32632, but its image .*west\.tif in EPSG:32633"),
        ({"crs": None}, labels, r"west_labels\.tif has no CRS"),
        ({}, labels[:100], "does not lie pixel on pixel"),
        ({}, labels.repeat(3, 2), "3 bands of uint8"),
    ]
    for profile, numbers, told in cases:
        write_map(maps / "west_labels.tif", numbers, **profile)
        with pytest.raises(DataError, match=told):
            open_dataset("raster", write_settings(maps), "train")
    write_map(maps / "west_labels.tif", labels + 7)
    with pytest.raises(LabelError, match="value 7"):
        open_dataset("raster", write_settings(maps), "train")


def test_polygons_that_do_not_fit_are_refused_by_name(maps):
    one = {"labels": None, "images": "west.tif", "polygons": "a.geojson", "column": "class"}
    root = write_settings(maps, **one)
    for boxes, told in (
        ([("road", (9000, 0, 9100, 50))], "No polygon of .* lies on"),
        ([("tree", (0, 0, 50, 50))], "polygon 1 has 'tree' in 'class'"),
        ([(7, (0, 0, 50, 50))], "polygon 1 has '7' in 'class'"),
    ):
        polygons(maps / "a.geojson", boxes)
        with pytest.raises(DataError, match=told):
            open_dataset("raster", root, "train")
    polygons(maps / "a.geojson", [("road", (0, 0, 50, 50))], column="kind")
    with pytest.raises(DataError, match="the columns are kind"):
        open_dataset("raster", root, "train")
    ring = [[500_000, 5_500_000], [500_010, 5_500_000], [500_000, 5_499_990], [500_000, 5_500_000]]
    feature = {"properties": {"class": "road"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (maps / "a.geojson").write_text(json.dumps({"features": [feature]}))
    with pytest.raises(DataError, match="no longitude and latitude"):
        open_dataset("raster", root, "train")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"window": 0}, "`window` is 0"),
        ({"window": 160, "block": 160}, "smaller than the window of 160"),
        ({"window": None}, "`window` is None"),
        ({"block": 10}, "`block` is 10"),
        ({"block": 400}, "2 blocks of 400 pixels for 3 splits"),
        ({"labels": None}, "either `labels`"),
        ({"labels": ["west_labels.tif"]}, "1 files for 2 images"),
        ({"images": ["none.tif"]}, "no file"),
        ({"splits": {"train": 0.9}}, "sum to 1"),
        ({"splits": {"train": True}}, "sum to 1"),
        ({"column": "class"}, "are for `polygons`"),
        ({"widow": 3}, "unknown key 'widow'.*Did you mean 'window'"),
        ({"names": []}, "`names` must list"),
    ],
)
def test_settings_that_cannot_be_used_are_told(maps, changes, told):
    splits = {"train": 0.4, "val": 0.3, "test": 0.3}
    with pytest.raises(DataError, match=told) as error:
        open_dataset("raster", write_settings(maps, **{"splits": splits} | changes), "train")
    assert "\n" not in str(error.value)


def test_an_unknown_split_is_told(maps):
    with pytest.raises(SplitError, match="choose train, val"):
        open_dataset("raster", write_settings(maps), "test")


def test_a_changed_label_is_noticed_when_a_run_goes_on(maps):
    root = write_settings(maps)
    before = fingerprint(open_dataset("raster", root, "train"))
    assert difference(before, fingerprint(open_dataset("raster", root, "train"))) is None
    write_map(maps / "east_labels.tif", np.zeros((150, 170, 1), "uint8"))
    assert "changed" in difference(before, fingerprint(open_dataset("raster", root, "train")))
