from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenescope.data.formats.catalog import recognize
from scenescope.errors import DataError
from tests.data.formats.imported import run, write_image, write_json

# label_studio_sdk.converter.brush.mask2rle of 3 x 5 pixels: 255 in columns 1 to 3 of row 1 and in column 2 of row 2.
RUNS = [0, 0, 0, 60, 57, 27, 254, 23, 0, 183, 255, 108, 2, 63, 249, 192, 0]
BRUSH = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]])


def result(kind: str, value: dict[str, Any], id_: str = "r1", **more: Any) -> dict[str, Any]:
    sizes = {"original_width": 5, "original_height": 3, "image_rotation": 0}
    return {**sizes, "value": value, "id": id_, "from_name": "tag", "to_name": "image", "type": kind} | more


def brush(label: str = "road", id_: str = "r1", **more: Any) -> dict[str, Any]:
    return result("brushlabels", {"format": "rle", "rle": RUNS, "brushlabels": [label]}, id_, **more)


def polygon(points: list[list[float]], label: str = "car", id_: str = "r2") -> dict[str, Any]:
    return result("polygonlabels", {"points": points, "closed": True, "polygonlabels": [label]}, id_)


def task(results: list[dict[str, Any]], number: int = 1, image: str = "a.png", **more: Any) -> dict[str, Any]:
    annotation = {"id": 10 + number, "completed_by": 1, "result": results, "was_cancelled": False}
    return {"id": number, "annotations": [annotation], "data": {"image": image}} | more


def write(folder: Path, *tasks: Any, image: str = "a.png") -> Path:
    write_json(folder / "project-1.json", list(tasks))
    write_image(folder / image, 5, 3)
    return folder


def test_brush_and_polygon_on_one_another(tmp_path: Path) -> None:
    # The right 2 of 5 columns in percent; drawn later, so on top of the brush.
    source = write(tmp_path / "in", task([brush(), polygon([[60, 0], [100, 0], [100, 100], [60, 100]])]))
    assert recognize(source) == recognize(source / "project-1.json") == ("label_studio", "Label Studio JSON")
    got = run(source, tmp_path / "out")
    assert got.names == ["background", "car", "road"]
    expected = BRUSH * 2
    expected[:, 3:] = 1
    np.testing.assert_array_equal(got.masks["a"], expected)
    assert "does not list the classes" in got.notes


def test_json_min_and_a_region_whose_label_is_a_result_of_its_own(tmp_path: Path) -> None:
    small = {"image": "/data/upload/1/0123abcd-a.png", "id": 4, "annotation_id": 9}
    value = {"format": "rle", "rle": RUNS, "brushlabels": ["road"], "original_width": 5, "original_height": 3}
    first = run(write(tmp_path / "min", small | {"tag": [value]}), tmp_path / "out1")
    np.testing.assert_array_equal(first.masks["a"], BRUSH)
    plain = result("brush", {"format": "rle", "rle": RUNS})
    label = result("labels", {"format": "rle", "rle": RUNS, "labels": ["road"]})
    second = run(write(tmp_path / "two", task([plain, label])), tmp_path / "out2")
    np.testing.assert_array_equal(second.masks["a"], BRUSH)
    assert second.summary.regions_found == 1


def test_ground_truth_before_the_latest_before_the_others(tmp_path: Path) -> None:
    def made(number: int, label: str, **more: Any) -> dict[str, Any]:
        return {"id": number, "result": [brush(label)]} | more

    annotations = [made(1, "old", created_at="2024-01-02"), made(2, "new", created_at="2024-03-01")]
    cancelled = made(3, "cancelled", created_at="2025-01-01", was_cancelled=True)
    one = run(write(tmp_path / "a", task([]) | {"annotations": [*annotations, cancelled]}), tmp_path / "out1")
    assert one.names == ["background", "new"]
    assert [row[1:] for row in one.dropped] == [
        ["task 1, annotation 1", "annotation 2 counts", "1"],
        ["task 1, annotation 3", "annotation 2 counts", "1"],
    ]
    truth = [made(4, "true", created_at="2020-01-01", ground_truth=True)]
    two = run(write(tmp_path / "b", task([]) | {"annotations": [*annotations, *truth]}), tmp_path / "out2")
    assert two.names == ["background", "true"]


def test_what_is_no_area_is_listed_and_tasks_that_nobody_has_annotated(tmp_path: Path) -> None:
    box = result("rectanglelabels", {"x": 1, "y": 1, "width": 9, "height": 9, "rectanglelabels": ["car"]}, "r9")
    choice = result("choices", {"choices": ["day"]}, "c1")
    undone = task([], 2, "b.png") | {"annotations": [], "predictions": [{"result": [brush()]}]}
    got = run(write(tmp_path / "in", task([brush(), box, choice]), undone), tmp_path / "out")
    assert [row[1:] for row in got.dropped] == [
        ["task 1, region r9", "a rectangle: only brush and polygon are areas", "1"],
        ["task 2", "nobody has annotated it; 1 predictions are not read", "0"],
    ]
    assert got.summary.regions_found == 2
    assert "1 of kind 'choices'" in got.notes


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ([brush() | {"value": {"rle": RUNS[:-4], "brushlabels": ["road"]}}], "task 1, region r1: runs that are cut"),
        ([polygon([[0, 0], [50, 50]])], "task 1, region r2: a polygon of 2 points"),
        ([polygon([[0, 0], [1e30, 0], [0, 9]])], "task 1, region r2: neither runs nor points"),
        ([result("brushlabels", {"rle": RUNS, "brushlabels": []})], r"has 0 labels \[\]; expected one"),
        ([result("brushlabels", {"rle": RUNS, "brushlabels": ["a", "b"]})], r"has 2 labels \['a', 'b'\]"),
        ([brush(), brush("car")], "task 1, region r1: two areas of one id"),
        ([brush(image_rotation=90)], "turned while annotating"),
        ([brush(original_width=4)], "annotated at 4 x 3, but the image has 5 x 3"),
        ([brush() | {"value": {"imageDataURL": "x", "brushlabels": ["a"]}}], "neither runs nor points"),
    ],
)
def test_a_faulty_region_is_named_and_can_be_left_out(tmp_path: Path, results: list[Any], told: str) -> None:
    good = task([brush("tree", "g1")], 2, "good.png")
    source = write(tmp_path / "in", task(results), good)
    write_image(source / "good.png", 5, 3)
    with pytest.raises(DataError, match=told):
        run(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    got = run(source, tmp_path / "out", faults="skip")
    assert got.summary.num_faults == 1
    np.testing.assert_array_equal(got.masks["good"], BRUSH * got.names.index("tree"))


def test_images_that_are_missing_or_named_twice(tmp_path: Path) -> None:
    source = write(tmp_path / "in", task([brush()], image="gone.png"))
    with pytest.raises(DataError, match=r"task 1: the image 'gone.png' is not there"):
        run(source, tmp_path / "out")
    several = task([brush()]) | {"data": {"left": "a.png", "right": "b.png"}}
    with pytest.raises(DataError, match="its data name 2 images"):
        run(write(tmp_path / "two", several), tmp_path / "out")


def test_an_image_within_the_task(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("RGB", (5, 3), (9, 8, 7)).save(content, format="PNG")
    inline = "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
    got = run(write(tmp_path / "in", task([brush()], image=inline)), tmp_path / "out")
    assert np.asarray(Image.open(tmp_path / "out" / "images" / "task-1.png"))[0, 0].tolist() == [9, 8, 7]
    np.testing.assert_array_equal(got.masks["task-1"], BRUSH)
    with pytest.raises(DataError, match="task 1: its image in base64 is damaged"):
        run(write(tmp_path / "bad", task([brush()], image=inline[:-3] + "!")), tmp_path / "out2")


def test_two_exports_and_one_that_is_cut_short(tmp_path: Path) -> None:
    source = write(tmp_path / "in", task([brush()]))
    (source / "project-2.json").write_text((source / "project-1.json").read_text())
    with pytest.raises(DataError, match=r"holds 2 exports, such as project-2.json; give the file"):
        run(source, tmp_path / "out")
    (source / "project-2.json").write_text((source / "project-1.json").read_text()[:-20])
    with pytest.raises(DataError, match=r"project-2.json is no JSON, or cut short"):
        run(source / "project-2.json", tmp_path / "out")


@pytest.mark.parametrize("annotations", [3.5, {"a": 1}, [None], "x"])
def test_annotations_that_are_none_are_a_fault_of_their_task(tmp_path: Path, annotations: object) -> None:
    source = write(tmp_path / "in", task([brush()]), {"id": 2, "annotations": annotations, "data": {"image": "a.png"}})
    with pytest.raises(DataError, match="task 2 has no list of annotations"):
        run(source, tmp_path / "out")
    np.testing.assert_array_equal(run(source, tmp_path / "out", faults="skip").masks["a"], BRUSH)
