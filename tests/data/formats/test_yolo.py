from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from scenescope.data.formats.catalog import open_annotations, recognize
from scenescope.data.formats.painting import paint
from scenescope.errors import DataError

SQUARE = "0 0.2 0.25 0.6 0.25 0.6 0.75 0.2 0.75\n"
YAML = "path: ../datasets/x\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n"


def write(folder: Path, text: str = SQUARE, yaml: str = YAML, image: str = "images/train/a.jpg") -> Path:
    place = folder / image
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 8)).save(place)
    label = folder / image.replace("images", "labels").replace(".jpg", ".txt")
    label.parent.mkdir(parents=True, exist_ok=True)
    label.write_text(text)
    if yaml:
        (folder / "data.yaml").write_text(yaml)
    return folder


def test_a_square_by_hand(tmp_path: Path) -> None:
    found = open_annotations(write(tmp_path))
    assert recognize(tmp_path) == ("yolo", "YOLO segmentation")
    assert recognize(tmp_path / "data.yaml") == ("yolo", "YOLO segmentation")
    assert (found.classes, found.overlap, found.unlabeled) == (("cat", "dog"), "area", "background")
    labels = paint(found.images[0].labels(), 8, 10, "area", "").labels
    # Corners (2, 2) and (6, 6), the outline included.
    assert [(labels[row] == 0).tolist() for row in (1, 2, 6, 7)] == [
        [False] * 10,
        [False] * 2 + [True] * 5 + [False] * 3,
        [False] * 2 + [True] * 5 + [False] * 3,
        [False] * 10,
    ]


@pytest.mark.parametrize(
    ("image", "yaml", "split"),
    [
        ("images/train/a.jpg", YAML, "train"),
        ("images/val/b/a.jpg", YAML, "val"),
        ("train/images/a.jpg", "train: ../train/images\nval: ../valid/images\nnames: [cat]\n", "train"),
        ("valid/images/a.jpg", "train: ../train/images\nval: ../valid/images\nnames: [cat]\n", "val"),
        ("images/first/a.jpg", "train: [images/first, images/second]\nnames: [cat]\n", "train"),
        ("images/a.jpg", "val: list.txt\nnames: [cat]\n", "val"),
        ("images/a.jpg", "names: [cat]\n", ""),
    ],
)
def test_splits_are_those_of_the_yaml(tmp_path: Path, image: str, yaml: str, split: str) -> None:
    (tmp_path / "list.txt").write_text("./images/a.jpg\n")
    found = open_annotations(write(tmp_path, image=image, yaml=yaml))
    assert [each.splits for each in found.images] == [(split,) if split else ()]
    assert not found.faults
    assert len(found.images[0].labels().regions) == 1


def test_an_image_without_text_shows_no_object(tmp_path: Path) -> None:
    write(tmp_path)
    Image.new("RGB", (10, 8)).save(tmp_path / "images/train/b.jpg")
    assert [len(image.labels().regions) for image in open_annotations(tmp_path).images] == [1, 0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("7 0.1 0.1 0.5 0.1 0.5 0.5", "line 2: unknown class 7; there are 2"),
        ("-1 0.1 0.1 0.5 0.1 0.5 0.5", "line 2: unknown class -1; there are 2"),
        ("0 10 10 50 10 50 50", "line 2: points that are not shares"),
        ("0 nan 0.1 0.5 0.1 0.5 0.5", "line 2: points that are not shares"),
        ("0 0.1 x 0.5 0.1 0.5 0.5", "line 2: points that are not shares"),
        ("0 0.1 0.1 0.5 0.1 0.5", "line 2: 5 coordinates; expected"),
        ("0 0.1 0.1", "line 2: 2 coordinates; expected"),
        ("0", "line 2: 0 coordinates; expected"),
    ],
)
def test_faults_are_named_with_file_and_line(tmp_path: Path, line: str, said: str) -> None:
    (fault,) = open_annotations(write(tmp_path, f"{SQUARE}{line}\n")).images[0].labels().faults
    assert str(fault).startswith(f"{tmp_path / 'labels/train/a.txt'}, {said}")


def test_boxes_are_left_out_and_told(tmp_path: Path) -> None:
    labels = open_annotations(write(tmp_path, f"{SQUARE}1 0.5 0.5 0.1 0.1\n")).images[0].labels()
    assert [(fault.id, fault.reason) for fault in labels.dropped] == [("line 2", "a box without an outline")]


def test_a_text_whose_image_is_not_there_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "labels/train/b.txt").write_text(SQUARE * 3)
    (fault,) = open_annotations(tmp_path).faults
    assert (fault.file, fault.reason, fault.regions) == (
        str(tmp_path / "labels/train/b.txt"),
        "its image is not there; --image-dir says where images are",
        3,
    )


@pytest.mark.parametrize("name", ["a.txt", "train/a.txt", "labels/a.txt", "labels/train/a.txt"])
def test_images_may_lie_elsewhere(tmp_path: Path, name: str) -> None:
    image = tmp_path / "photos" / name.removeprefix("labels/").replace(".txt", ".jpg")
    text = tmp_path / "mine" / name
    for folder in (image.parent, text.parent):
        folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 8)).save(image)
    text.write_text(SQUARE)
    found = open_annotations(tmp_path / "mine", image_dir=tmp_path / "photos")
    assert not found.faults
    assert [(each.image, len(each.labels().regions)) for each in found.images] == [(image, 1)]


def test_without_names_classes_are_called_by_their_numbers(tmp_path: Path) -> None:
    found = open_annotations(write(tmp_path, "2" + SQUARE[1:], yaml=""))
    assert found.classes == ("0", "1", "2")
    assert "called by their numbers" in found.notes[0]
    (tmp_path / "classes.txt").write_text("cat\ndog\nfox\n")
    assert open_annotations(tmp_path).classes == ("cat", "dog", "fox")


@pytest.mark.parametrize("names", ["{1: cat}", "[cat, cat]", "3", "[]"])
def test_names_that_are_none_are_refused(tmp_path: Path, names: str) -> None:
    with pytest.raises(DataError, match=r"data\.yaml"):
        open_annotations(write(tmp_path, yaml=f"names: {names}\n"))


def test_detection_boxes_alone_are_no_segmentation(tmp_path: Path) -> None:
    write(tmp_path, "0 0.5 0.5 0.1 0.1\n")
    assert recognize(tmp_path) is None


@pytest.mark.parametrize("name", ["train_1", "test07", "valley", "labels_2"])
def test_texts_of_images_that_begin_as_lists_do_are_read(tmp_path: Path, name: str) -> None:
    found = open_annotations(write(tmp_path, image=f"images/train/{name}.jpg"))
    assert [len(image.labels().regions) for image in found.images] == [1]


def test_classes_txt_with_an_empty_line_is_refused_and_its_mark_is_no_name(tmp_path: Path) -> None:
    write(tmp_path, yaml="")
    (tmp_path / "classes.txt").write_text("\ufeffcat\ndog\n\n", encoding="utf-8")
    assert open_annotations(tmp_path).classes == ("cat", "dog")
    (tmp_path / "classes.txt").write_text("cat\n\ndog\n")
    with pytest.raises(DataError, match=r"classes\.txt, line 2 is empty"):
        open_annotations(tmp_path)


def test_a_list_whose_name_no_file_can_have_is_passed_over(tmp_path: Path) -> None:
    found = open_annotations(write(tmp_path, yaml='train: "a\\0.txt"\nnames: [cat]\n'))
    assert [each.splits for each in found.images] == [("train",)]
