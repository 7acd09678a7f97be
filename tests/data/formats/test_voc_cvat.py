from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.formats.catalog import recognize
from scenescope.errors import DataError
from tests.data.formats.imported import run, write_image

LABEL_MAP = "# label:color_rgb:parts:actions\ncat:250,50,83::\nbackground:0,0,0::\ndog:0,0,255::\n"
COLORS = np.array([[250, 50, 83], [0, 0, 0], [0, 0, 255]], dtype=np.uint8)
MASK = np.array([[0, 1, 2], [2, 1, 1]])


def write(folder: Path, *stems: str, label_map: str = LABEL_MAP) -> Path:
    for stem in stems:
        write_image(folder / "JPEGImages" / f"{stem}.png", 3, 2)
        for kind in ("SegmentationClass", "SegmentationObject"):
            place = folder / kind / f"{stem}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(COLORS[MASK]).save(place)
    (folder / "labelmap.txt").write_text(label_map)
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("".join(f'"{stem}"\n' if " " in stem else f"{stem}\n" for stem in stems))
    return folder


def test_colors_by_labelmap_in_folders_and_names_with_spaces(tmp_path: Path) -> None:
    source = write(tmp_path / "SegmentationProject", "s/a b", "t/a b", "c")
    assert recognize(source) == ("voc", "CVAT segmentation mask 1.1")
    got = run(source, tmp_path / "out")
    assert got.names == ["cat", "background", "dog"]
    assert sorted(got.masks) == ["c", "s/a b", "t/a b"]
    np.testing.assert_array_equal(got.masks["s/a b"], MASK)
    assert not list((tmp_path / "out").glob("*.txt"))
    ignored = run(source, tmp_path / "out2", unlabeled="ignore")
    np.testing.assert_array_equal(ignored.masks["c"], np.where(MASK == 1, 255, MASK))


def test_lists_are_splits_and_images_without_mask_are_listed(tmp_path: Path) -> None:
    source = write(tmp_path / "in", "a", "b", "c")
    (source / "ImageSets" / "Segmentation" / "default.txt").unlink()
    (source / "ImageSets" / "Segmentation" / "Train.txt").write_text("a\nb\n")
    (source / "ImageSets" / "Segmentation" / "Validation.txt").write_text("c\n")
    (source / "SegmentationClass" / "b.png").unlink()
    got = run(source, tmp_path / "out")
    assert (tmp_path / "out" / "train.txt").read_text() == "images/a.png\n"
    assert (tmp_path / "out" / "val.txt").read_text() == "images/c.png\n"
    assert [row[1:] for row in got.dropped] == [["b", "is listed in ImageSets, but has no mask", "0"]]


def test_an_image_in_another_folder_and_one_that_is_missing(tmp_path: Path) -> None:
    source = write(tmp_path / "in", "a")
    (source / "JPEGImages").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"SegmentationClass/a.png: the image 'a' is not there; --image-dir"):
        run(source, tmp_path / "out")
    got = run(source, tmp_path / "out", image_dir=tmp_path / "elsewhere")
    np.testing.assert_array_equal(got.masks["a"], MASK)


def test_a_color_that_labelmap_lacks_and_one_that_means_two_things(tmp_path: Path) -> None:
    source = write(tmp_path / "in", "a", label_map=LABEL_MAP.replace("dog:0,0,255::\n", ""))
    with pytest.raises(DataError, match=r"SegmentationClass/a.png, color \(0, 0, 255\): has no class; 2 pixels"):
        run(source, tmp_path / "out")
    double = write(tmp_path / "double", "a", label_map=LABEL_MAP + "cow:0,0,255::\n")
    with pytest.raises(DataError, match=r"has 3 colors for 4 classes"):
        run(double, tmp_path / "out")
