from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenescope.data.formats.annotations import IGNORED
from scenescope.data.formats.catalog import open_annotations, recognize
from scenescope.data.formats.painting import paint

# What labelme 6.3.1 draws: shape_to_mask((8, 10), points, shape_type). By random shapes: benchmark in the change log.
BY_LABELME: list[tuple[str, list[list[float]], list[str]]] = [
    (
        "polygon",
        [[1.2, 0.6], [8.7, 2.1], [3.4, 6.9]],
        [
            ".#........",
            ".####.....",
            "..#######.",
            "..######..",
            "..####....",
            "...##.....",
            "...#......",
            "..........",
        ],
    ),
    (
        "rectangle",
        [[8.6, 5.4], [2.4, 1.5]],
        ["..........", *["..#######."] * 5, "..........", ".........."],
    ),
    (
        "circle",
        [[5, 4], [7.5, 4]],
        [
            "..........",
            "....##....",
            "...####...",
            "..######..",
            "..######..",
            "...####...",
            "....##....",
            "..........",
        ],
    ),
    (
        "point",
        [[1, 1]],
        [*["#######..."] * 4, "######....", "#####.....", "####......", ".........."],
    ),
    (
        "line",
        [[0, 0], [9, 1]],
        [".#########", *["##########"] * 5, ".........#", ".........."],
    ),
    (
        "linestrip",
        [[0, 7], [4, 7], [9.5, 9]],
        [*[".........."] * 3, "#####.#...", "#####.###.", *["##########"] * 3],
    ),
    (
        "oriented_rectangle",
        [[3, 1], [7, 3], [5, 7], [1, 5]],
        [
            "..........",
            "...#......",
            "...###....",
            "..######..",
            "..#####...",
            ".######...",
            "...###....",
            ".....#....",
        ],
    ),
]


def png(pixels: Any) -> str:
    held = io.BytesIO()
    Image.fromarray(np.array(pixels, dtype=bool)).save(held, "PNG")
    return base64.b64encode(held.getvalue()).decode()


def write(folder: Path, *shapes: Any, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 8)).save(folder / "a.jpg")
    content = {
        "version": "6.3.1",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": "a.jpg",
        "imageData": None,
        "imageHeight": 8,
        "imageWidth": 10,
    }
    (folder / "a.json").write_text(json.dumps(content | changes))
    return folder


def shape(
    label: str = "cat", kind: str = "polygon", points: Any = ((1, 1), (5, 1), (5, 5)), **more: Any
) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}} | more


@pytest.mark.parametrize(("kind", "points", "rows"), BY_LABELME)
def test_shapes_are_drawn_as_labelme_draws_them(
    tmp_path: Path, kind: str, points: list[list[float]], rows: list[str]
) -> None:
    found = open_annotations(write(tmp_path, shape("cat", kind, points)))
    painted = paint(found.images[0].labels(), 8, 10, "file", "")
    assert ["".join("#"[label:] or "." for label in row) for row in -painted.labels] == rows


def test_a_mask_lies_in_its_box(tmp_path: Path) -> None:
    given = shape("cat", "mask", [[2, 1], [4, 2]], mask=png([[1, 0, 1], [0, 1, 0]]))
    found = open_annotations(write(tmp_path, given))
    labels = paint(found.images[0].labels(), 8, 10, "file", "").labels
    assert np.argwhere(labels == 0).tolist() == [[1, 2], [1, 4], [2, 3]]


def test_classes_are_those_of_labels_txt_or_of_the_alphabet(tmp_path: Path) -> None:
    write(tmp_path, shape("dog"), shape("cat"), shape("__ignore__"))
    assert recognize(tmp_path) == ("labelme", "LabelMe JSON")
    found = open_annotations(tmp_path)
    assert found.classes == ("cat", "dog")
    assert [region.label for region in found.images[0].labels().regions] == [1, 0, IGNORED]
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\ndog\n")
    found = open_annotations(tmp_path)
    assert found.classes == ("_background_", "dog", "cat")
    assert "labels.txt does not list cat" in found.notes[0]


def test_the_image_is_a_file_or_within_the_json(tmp_path: Path) -> None:
    held = io.BytesIO()
    Image.new("RGB", (10, 8), (0, 200, 0)).save(held, "PNG")
    text = base64.b64encode(held.getvalue()).decode()
    write(tmp_path / "own", shape(), imagePath="..\\elsewhere\\b.bmp", imageData=text)
    (tmp_path / "own/a.jpg").unlink()
    image = open_annotations(tmp_path).images[0]
    assert (image.name, image.image) == ("own/b.png", held.getvalue())
    write(tmp_path / "own", shape(), imagePath="C:\\photos\\a.jpg")
    assert open_annotations(tmp_path).images[0].image == tmp_path / "own/a.jpg"


def test_images_that_nobody_has_annotated_are_told(tmp_path: Path) -> None:
    write(tmp_path, shape())
    Image.new("RGB", (10, 8)).save(tmp_path / "b.jpg")
    (told,) = open_annotations(tmp_path).dropped
    assert (told.file, told.regions) == (str(tmp_path / "b.jpg"), 0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (shape(points=[[1, 1], [2, 2]]), "a polygon of 2 points; expected three or more"),
        (shape(points=[]), "its points are not pairs of numbers"),
        (shape(points=[[1, "x"], [2, 2], [3, 3]]), "its points are not pairs of numbers"),
        (shape(points=[[90, 1], [92, 1], [91, 5]]), "lies outside the image of 10 x 8"),
        (shape(kind="circle"), "a circle of 3 points; expected 2"),
        (shape(kind="star"), "a shape of type 'star', which is not known"),
        (shape(kind="mask", points=[[0, 0], [1, 1]], mask="x"), "a mask whose pixels cannot be read"),
        (shape(kind="mask", points=[[0, 0], [1, 1]]), "a mask without pixels"),
        (shape(kind="mask", points=[[0, 0], [1, 1]], mask=png([[1]])), "a mask of 1 x 1 pixels in a box of 2 x 2"),
        (shape(kind="mask", points=[[9, 7], [10, 7]], mask=png([[1, 1]])), "a mask that reaches outside the image"),
    ],
)
def test_faults_are_named_with_file_and_shape(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    labels = open_annotations(write(tmp_path, shape(), given)).images[0].labels()
    painted = paint(labels, 8, 10, "file", str(tmp_path / "a.json"))
    (fault,) = [*labels.faults, *painted.faults]
    assert str(fault).startswith(f"{tmp_path / 'a.json'}, shape 2 'cat': {said}")
    assert len(painted.visible) == 1


def test_a_file_cut_short_and_an_image_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path / "one", shape())
    write(tmp_path / "two", shape(), shape(), imagePath="none.jpg")
    write(tmp_path / "three", shape())
    cut = tmp_path / "three/a.json"
    cut.write_text(cut.read_text()[:-9])
    found = open_annotations(tmp_path)
    assert [image.name for image in found.images] == ["one/a.jpg"]
    assert [(Path(fault.file).parent.name, fault.regions) for fault in found.faults] == [("three", 0), ("two", 2)]
    assert "cut short" in found.faults[0].reason
    assert "the image 'none.jpg' is not there" in found.faults[1].reason


def test_a_shape_without_a_label_is_a_fault_not_a_class(tmp_path: Path) -> None:
    Image.new("RGB", (10, 8)).save(tmp_path / "a.png")
    shapes = [{"label": label, "points": [[1, 1], [8, 1], [8, 6]]} for label in (None, "", "cat")]
    (tmp_path / "a.json").write_text(json.dumps({"imagePath": "a.png", "shapes": shapes}))
    found = open_annotations(tmp_path)
    labels = found.images[0].labels()
    assert found.classes == ("cat",)
    assert [fault.reason for fault in labels.faults] == ["it has no label"] * 2
