from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.formats.annotations import IGNORED, UNLABELED
from scenescope.data.formats.catalog import open_annotations, recognize
from scenescope.errors import DataError
from tests.data.formats.imported import run, write_image

LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\ndog:0,128,0:head,tail:run\n"


def write(folder: Path, mask: Image.Image, **texts: str) -> Path:
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", mask.size).save(folder / "JPEGImages/a.jpg")
    mask.save(folder / "SegmentationClass/a.png")
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def colors(*rows: list[tuple[int, int, int]]) -> Image.Image:
    return Image.fromarray(np.array(rows, dtype=np.uint8))


def test_colors_of_the_labelmap_are_classes(tmp_path: Path) -> None:
    mask = colors([(0, 0, 0), (128, 0, 0)], [(0, 128, 0), (224, 224, 192)])
    found = open_annotations(write(tmp_path, mask, labelmap=LABELMAP))
    assert recognize(tmp_path) == ("voc", "CVAT segmentation mask 1.1")
    assert found.classes == ("background", "cat", "dog")
    assert found.images[0].labels().pixels.tolist() == [[UNLABELED, 1], [2, IGNORED]]
    palette = mask.quantize(8)
    again = open_annotations(write(tmp_path, palette, labelmap=LABELMAP)).images[0].labels()
    assert again.pixels.tolist() == [[UNLABELED, 1], [2, IGNORED]]


def test_a_color_without_a_class_is_a_fault_and_ignored(tmp_path: Path) -> None:
    mask = colors([(0, 0, 0), (9, 9, 9)], [(9, 9, 9), (1, 2, 3)])
    labels = open_annotations(write(tmp_path, mask, labelmap=LABELMAP)).images[0].labels()
    assert labels.pixels.tolist() == [[UNLABELED, IGNORED], [IGNORED, IGNORED]]
    assert [(fault.id, fault.reason[:26]) for fault in labels.faults] == [
        ("color (1, 2, 3)", "has no class; 1 pixels, wh"),
        ("color (9, 9, 9)", "has no class; 2 pixels, wh"),
    ]


def test_the_layout_of_labelme2voc(tmp_path: Path) -> None:
    mask = Image.fromarray(np.array([[0, 1], [2, 255]], np.uint8), "L")
    found = open_annotations(write(tmp_path, mask, class_names="__ignore__\n_background_\ncat\ndog\n"))
    assert found.classes == ("_background_", "cat", "dog")
    assert found.images[0].labels().pixels.tolist() == [[0, 1], [2, IGNORED]]


def test_without_names_the_classes_are_those_of_voc(tmp_path: Path) -> None:
    mask = Image.fromarray(np.array([[0, 20]], np.uint8))
    found = open_annotations(write(tmp_path, mask))
    assert (len(found.classes), found.classes[20]) == (21, "tvmonitor")
    assert "taken for the 21" in found.notes[0]


def test_lists_of_splits_are_kept(tmp_path: Path) -> None:
    mask = Image.fromarray(np.zeros((2, 2), np.uint8))
    write(tmp_path, mask)
    for name, text in (("train", "a\n"), ("trainval", "a\nb\n"), ("extra", "a\nb\n")):
        (tmp_path / f"ImageSets/Segmentation/{name}.txt").write_text(text)
    Image.new("RGB", (2, 2)).save(tmp_path / "JPEGImages/c.jpg")
    mask.save(tmp_path / "SegmentationClass/d.png")
    found = open_annotations(tmp_path)
    assert [image.splits for image in found.images] == [("extra", "train")]
    assert [(Path(fault.file).name, fault.id) for fault in found.dropped] == [("SegmentationClass", "b"), ("c.jpg", "")]
    assert [Path(fault.file).name for fault in found.faults] == ["d.png"]


@pytest.mark.parametrize("line", ["cat", "cat:1,2", "cat:1,2,300::", "cat:a,b,c::", ":1,2,3::"])
def test_a_labelmap_that_is_none_is_refused(tmp_path: Path, line: str) -> None:
    mask = Image.fromarray(np.zeros((2, 2), np.uint8))
    with pytest.raises(DataError, match=r"labelmap\.txt, line 5"):
        open_annotations(write(tmp_path, mask, labelmap=f"{LABELMAP}{line}\n"))
    with pytest.raises(DataError, match="stands there twice"):
        open_annotations(write(tmp_path, mask, labelmap=f"{LABELMAP}cat:9,9,9::\n"))


CVAT_LABELMAP = "# label:color_rgb:parts:actions\ncat:250,50,83::\nbackground:0,0,0::\ndog:0,0,255::\n"
CVAT_COLORS = np.array([[250, 50, 83], [0, 0, 0], [0, 0, 255]], dtype=np.uint8)
CVAT_MASK = np.array([[0, 1, 2], [2, 1, 1]])


def write_cvat(folder: Path, *stems: str, labelmap: str = CVAT_LABELMAP) -> Path:
    for stem in stems:
        write_image(folder / "JPEGImages" / f"{stem}.png", 3, 2)
        for kind in ("SegmentationClass", "SegmentationObject"):
            place = folder / kind / f"{stem}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(CVAT_COLORS[CVAT_MASK]).save(place)
    (folder / "labelmap.txt").write_text(labelmap)
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("".join(f'"{stem}"\n' if " " in stem else f"{stem}\n" for stem in stems))
    return folder


def test_colors_by_labelmap_in_folders_and_names_with_spaces(tmp_path: Path) -> None:
    source = write_cvat(tmp_path / "SegmentationProject", "s/a b", "t/a b", "c")
    assert recognize(source) == ("voc", "CVAT segmentation mask 1.1")
    got = run(source, tmp_path / "out")
    assert got.names == ["cat", "background", "dog"]
    assert sorted(got.masks) == ["c", "s/a b", "t/a b"]
    np.testing.assert_array_equal(got.masks["s/a b"], CVAT_MASK)
    assert not list((tmp_path / "out").glob("*.txt"))
    ignored = run(source, tmp_path / "out2", unlabeled="ignore")
    np.testing.assert_array_equal(ignored.masks["c"], np.where(CVAT_MASK == 1, 255, CVAT_MASK))


def test_lists_are_splits_and_images_without_mask_are_listed(tmp_path: Path) -> None:
    source = write_cvat(tmp_path / "in", "a", "b", "c")
    (source / "ImageSets" / "Segmentation" / "default.txt").unlink()
    (source / "ImageSets" / "Segmentation" / "Train.txt").write_text("a\nb\n")
    (source / "ImageSets" / "Segmentation" / "Validation.txt").write_text("c\n")
    (source / "SegmentationClass" / "b.png").unlink()
    got = run(source, tmp_path / "out")
    assert (tmp_path / "out" / "train.txt").read_text() == "images/a.png\n"
    assert (tmp_path / "out" / "val.txt").read_text() == "images/c.png\n"
    assert [row[1:] for row in got.dropped] == [["b", "is listed in ImageSets, but has no mask", "0"]]


def test_an_image_in_another_folder_and_one_that_is_missing(tmp_path: Path) -> None:
    source = write_cvat(tmp_path / "in", "a")
    (source / "JPEGImages").rename(tmp_path / "elsewhere")
    with pytest.raises(
        DataError, match=rf"SegmentationClass/a.png: the image 'a' is not there, below {source}; --image-dir"
    ):
        run(source, tmp_path / "out")
    got = run(source, tmp_path / "out", image_dir=tmp_path / "elsewhere")
    np.testing.assert_array_equal(got.masks["a"], CVAT_MASK)


def test_a_color_that_labelmap_lacks_and_one_that_means_two_things(tmp_path: Path) -> None:
    source = write_cvat(tmp_path / "in", "a", labelmap=CVAT_LABELMAP.replace("dog:0,0,255::\n", ""))
    with pytest.raises(DataError, match=r"SegmentationClass/a.png, color \(0, 0, 255\): has no class; 2 pixels"):
        run(source, tmp_path / "out")
    double = write_cvat(tmp_path / "double", "a", labelmap=CVAT_LABELMAP + "cow:0,0,255::\n")
    with pytest.raises(DataError, match=r"has 3 colors for 4 classes"):
        run(double, tmp_path / "out")


def test_a_mark_of_utf8_shifts_no_class(tmp_path: Path) -> None:
    mask = Image.fromarray(np.array([[0, 1]], np.uint8))
    found = open_annotations(write(tmp_path, mask, class_names="\ufeff__ignore__\n_background_\ncat\n"))
    assert found.classes == ("_background_", "cat")
