from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenescope.data.formats.annotations import IGNORED, UNLABELED
from scenescope.data.formats.catalog import open_annotations, recognize


def write(folder: Path, segments: list[dict[str, Any]], **changes: Any) -> Path:
    (folder / "panoptic_val2017").mkdir(parents=True)
    (folder / "val2017").mkdir()
    Image.new("RGB", (3, 1)).save(folder / "val2017/a.jpg")
    numbers = [0, 70000, 3]
    colors = [[(number & 255, number >> 8 & 255, number >> 16) for number in numbers]]
    Image.fromarray(np.array(colors, np.uint8)).save(folder / "panoptic_val2017/a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 3, "height": 1}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": 8, "name": "sky", "color": [1, 2, 3]}, {"id": 5, "name": "cat", "color": [4, 5, 6]}],
    }
    (folder / "panoptic_val2017.json").write_text(json.dumps(content | changes))
    return folder


def test_segments_get_their_categories(tmp_path: Path) -> None:
    write(tmp_path, [{"id": 70000, "category_id": 5}, {"id": 3, "category_id": 8}])
    found = open_annotations(tmp_path)
    assert recognize(tmp_path) == ("coco_panoptic", "COCO panoptic")
    assert (found.classes, found.colors, found.unlabeled) == (("sky", "cat"), ((1, 2, 3), (4, 5, 6)), "ignore")
    (image,) = found.images
    assert (image.name, image.image, image.splits) == ("val2017/a.jpg", tmp_path / "val2017/a.jpg", ("val",))
    labels = image.labels()
    assert labels.pixels is not None
    assert labels.pixels.tolist() == [[UNLABELED, 1, 0]]
    assert not labels.faults


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        ([{"id": 70000, "category_id": 5}], "segment 3: is in no segments_info"),
        ([{"id": 70000, "category_id": 5}, {"id": 3, "category_id": 9}], "segment 3: unknown category 9"),
        (
            [{"id": 70000, "category_id": 5}, {"id": 3, "category_id": 8}, {"id": 4, "category_id": 8}],
            "segment 4: has no",
        ),
        (
            [{"id": 70000, "category_id": 5}, {"id": 3, "category_id": 8}, {"id": 3, "category_id": 8}],
            "segment 3: this id",
        ),
    ],
)
def test_faults_are_named_with_file_and_segment(tmp_path: Path, segments: list[dict[str, Any]], said: str) -> None:
    labels = open_annotations(write(tmp_path, segments)).images[0].labels()
    (fault,) = labels.faults
    assert str(fault).startswith(f"{tmp_path / 'panoptic_val2017/a.png'}, {said}")
    assert labels.pixels is not None
    assert (labels.pixels == IGNORED).sum() == ("70000" not in said and "4:" not in said and "this id" not in said)


def test_an_image_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    segments = [{"id": 3, "category_id": 8}] * 2
    write(tmp_path, segments)
    (tmp_path / "val2017/a.jpg").unlink()
    (fault,) = open_annotations(tmp_path).faults
    assert (fault.id, fault.regions) == ("image 1", 2)
    assert "the image 'a.jpg' is not there" in fault.reason
