from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenescope.data.formats.annotations import Annotations
from scenescope.data.formats.catalog import open_annotations, recognize
from scenescope.data.formats.drawing import coco_polygons, coco_runs
from scenescope.data.formats.painting import paint
from scenescope.errors import DataError
from tests.data.formats.imported import run

mask = pytest.importorskip("pycocotools.mask")
SQUARE = [2, 2, 6, 2, 6, 6, 2, 6]


def write(folder: Path, **changes: Any) -> Path:
    """A file of one image of 10 x 8 with one square, but for what is changed."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 8)).save(folder / "a.jpg")
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 10, "height": 8}],
        "annotations": [{"id": 5, "image_id": 1, "category_id": 3, "segmentation": [SQUARE], "iscrowd": 0}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}],
    }
    (folder / "instances.json").write_text(json.dumps(content | changes))
    return folder


def annotation(**changes: Any) -> dict[str, Any]:
    return {"id": 5, "image_id": 1, "category_id": 3, "segmentation": [SQUARE]} | changes


def faults(found: Annotations) -> list[str]:
    """All that is said to be wrong, once everything is drawn."""
    drawn = [paint(image.labels(), 8, 10, "file", image.file) for image in found.images]
    return [str(fault) for fault in (*found.faults, *(fault for each in drawn for fault in each.faults))]


def decoded(runs: Any) -> np.ndarray:
    return np.asarray(mask.decode(runs), dtype=bool)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools with numpy 2
@pytest.mark.parametrize("seed", range(20))
def test_polygons_and_runs_are_those_of_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 60, 2))
    # Half a side beyond the border, and not all on one side of it.
    points = [rng.uniform(-0.5, 1.5, (int(rng.integers(3, 9)), 2)) * (width, height) for _ in range(2)]
    polygons = [[0.0, 0.0, *each.ravel().tolist()] for each in points]
    runs = mask.merge(mask.frPyObjects(polygons, height, width))
    expected = decoded(runs)
    assert (coco_polygons(polygons, height, width) == expected).all()
    assert (coco_runs(runs["counts"].decode(), [height, width], height, width) == expected).all()
    noise = rng.random((height, width)) < 0.5
    packed = mask.encode(np.asfortranarray(noise.astype(np.uint8)))
    assert (coco_runs(packed["counts"].decode(), [height, width], height, width) == noise).all()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], noise.T.ravel()])))
    counts = np.diff(np.concatenate([[0], edges, [noise.size]])).tolist()
    assert (coco_runs(counts, [height, width], height, width) == noise).all()


def test_a_2_x_2_image_by_hand() -> None:
    # Columns come first: 1 pixel off, 2 on, 1 off are the lower left and the upper right.
    assert coco_runs([1, 2, 1], [2, 2], 2, 2).tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize(
    ("counts", "size", "said"),
    [
        ([4], [3, 2], "runs for [3, 2]"),
        ([3], [2, 2], "runs of 3 pixels for 2 x 2 = 4"),
        ([-1, 5], [2, 2], "whole numbers"),
        (["a"], [2, 2], "whole numbers"),
        ([1.5, 2.5], [2, 2], "whole numbers"),
        ([10**30], [2, 2], "runs of 1,000,000,"),
        ([[1, 2], [1]], [2, 2], "whole numbers"),
        ("T", [2, 2], "cut short"),
        ("\x01", [2, 2], "a character that none has"),
        ("é", [2, 2], "runs"),
        ("ooooooooooooooooo0", [2, 2], "a character that none has"),
        ("O", [2, 2], "negative length"),
    ],
)
def test_runs_that_are_none_are_refused(counts: Any, size: list[int], said: str) -> None:
    with pytest.raises(DataError, match=said.replace("[", r"\[")):
        coco_runs(counts, size, 2, 2)


def test_a_source_is_read_with_its_splits(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write(tmp_path / split)
    found = open_annotations(tmp_path)
    assert recognize(tmp_path) == ("coco", "COCO JSON")
    assert found.classes == ("cat", "dog")
    assert [(image.name, image.splits) for image in found.images] == [
        ("train/a.jpg", ("train",)),
        ("valid/a.jpg", ("val",)),
    ]
    assert not faults(found)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": [{"id": 1, "file_name": "b.jpg"}]}, "image 1: the image 'b.jpg' is not there"),
        ({"images": [{"id": 2, "file_name": "a.jpg"}]}, "annotation 5: there is no image of id 1"),
        ({"images": [{"id": 1, "file_name": "a.jpg"}] * 2}, "image 1: this id is given twice"),
        ({"annotations": [annotation(category_id=4)]}, "annotation 5: unknown category 4"),
        ({"annotations": [annotation(), annotation()]}, "annotation 5: this id is given twice"),
        ({"annotations": [annotation(segmentation=[[1, 1, 5, 5]])]}, "annotation 5: a polygon of 2 points"),
        ({"annotations": [annotation(segmentation=[[1, 1, 5, 5, 3]])]}, "annotation 5: a polygon of 2.5 points"),
        ({"annotations": [annotation(segmentation=[[50, 1, 55, 5, 53, 7]])]}, "annotation 5: lies outside the image"),
        ({"annotations": [annotation(segmentation=[[1, 1, 1e8, 5, 3, 7]])]}, "annotation 5: reaches far outside"),
        ({"annotations": [annotation(segmentation=[[0, 0, 9, 0] * 3000])]}, "annotation 5: an outline of 53,991 pix"),
        ({"annotations": [annotation(segmentation=[["x", 1, 5, 5, 3, 7]])]}, "annotation 5: its segmentation is"),
        ({"annotations": [annotation(segmentation={"counts": [80], "size": [8, 9]})]}, "annotation 5: runs for"),
        ({"annotations": [annotation(segmentation={"counts": None, "size": [8, 10]})]}, "annotation 5: its segm"),
        ({"annotations": [annotation(segmentation="x")]}, "annotation 5: its segmentation is neither"),
    ],
)
def test_faults_are_named_with_file_and_id(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    (fault,) = faults(open_annotations(write(tmp_path, **changes)))
    assert fault.startswith(f"{tmp_path / 'instances.json'}, {said}")


def test_ids_of_tables_are_whole_numbers_as_well(tmp_path: Path) -> None:
    found = open_annotations(write(tmp_path, annotations=[annotation(image_id=1.0, category_id=9.0)]))
    assert not faults(found)
    assert [region.label for region in found.images[0].labels().regions] == [1]


def test_boxes_are_left_out_and_told(tmp_path: Path) -> None:
    boxes = [annotation(id=6, segmentation=[]), annotation(id=7, segmentation=None), annotation()]
    found = open_annotations(write(tmp_path, annotations=boxes))
    assert [fault.id for fault in found.dropped] == ["annotation 6", "annotation 7"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"categories": []}, "no categories"),
        ({"categories": [{"id": 1}]}, "has no name"),
        ({"categories": [{"id": 1, "name": None}]}, "has no name"),
        ({"categories": 3}, "no list of objects 'categories'"),
        ({"annotations": [3]}, "no list of objects 'annotations'"),
        ({"images": {}}, "no list of objects 'images'"),
        ({"categories": [{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}]}, "category 3 is 'dog' and 'cat'"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_annotations(write(tmp_path, **changes))


def test_images_of_one_name_are_told_apart_by_folders(tmp_path: Path) -> None:
    write(tmp_path, images=[{"id": 1, "file_name": "C:\\data\\two\\b.jpg"}])
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (10, 8)).save(tmp_path / folder / "b.jpg")
    assert [image.name for image in open_annotations(tmp_path).images] == ["two/b.jpg"]
    write(tmp_path, images=[{"id": 1, "file_name": "b.jpg"}])
    assert "may be" in faults(open_annotations(tmp_path))[0]


def test_of_the_files_of_coco_those_with_outlines_are_read(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "instances.json").rename(tmp_path / "instances_val2017.json")
    (tmp_path / "person_keypoints_val2017.json").write_bytes((tmp_path / "instances_val2017.json").read_bytes())
    found = open_annotations(tmp_path)
    assert [image.splits for image in found.images] == [("val",)]
    assert found.notes == ("person_keypoints_val2017.json is not read, instances_val2017.json is.",)


@pytest.mark.parametrize("order", [("images", "annotations", "categories"), ("images", "categories", "annotations")])
def test_a_large_file_is_known_by_its_ends(tmp_path: Path, order: tuple[str, ...]) -> None:
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in range(5000)]
    annotations = [annotation(id=number) for number in range(5000)]
    parts = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "cat"}]}
    (tmp_path / "x.json").write_text(json.dumps({key: parts[key] for key in order}))
    assert recognize(tmp_path) == ("coco", "COCO JSON")


@pytest.mark.parametrize(("orientation", "width", "height"), [(1, 4, 3), (6, 3, 4)])
def test_images_of_many_bands_are_imported_and_read_to_their_end(
    tmp_path: Path, tiff: Callable[..., bytes], orientation: int, width: int, height: int
) -> None:
    content = tiff(np.arange(4 * 3 * 5, dtype=np.uint16).reshape(3, 4, 5))
    # In place of the rows of a strip, of which there is one.
    content = content.replace(struct.pack("<HHII", 278, 4, 1, 3), struct.pack("<HHII", 274, 4, 1, orientation))
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.tif").write_bytes(content)
    told = {
        "images": [{"id": 1, "file_name": "a.tif", "width": width, "height": height}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}],
    }
    (tmp_path / "in/a.json").write_text(json.dumps(told))
    assert run(tmp_path / "in", tmp_path / "out").summary.regions_of == {"cat": 1}
    (tmp_path / "in/a.tif").write_bytes(
        content.replace(struct.pack("<HHII", 273, 4, 1, 8), struct.pack("<HHII", 273, 4, 1, 10**6))
    )
    with pytest.raises(DataError, match=r"a\.tif"):
        run(tmp_path / "in", tmp_path / "other")
