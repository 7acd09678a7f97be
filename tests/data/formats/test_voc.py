from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.formats.annotations import IGNORED, UNLABELED
from scenescope.data.formats.catalog import open_annotations, recognize
from scenescope.errors import DataError

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
