from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.voc2012 import CLASSES, open_voc2012
from scenescope.errors import DataError
from scenescope.labels import IGNORE


def test_names_and_colours() -> None:
    assert len(CLASSES) == 21
    known = {"background": (0, 0, 0), "person": (192, 128, 128), "tvmonitor": (0, 64, 128), "sofa": (0, 192, 0)}
    for name, colour in known.items():
        assert CLASSES.palette[CLASSES.names.index(name)] == colour


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_real_counts_from_every_root(real_data: Callable[[str], Path], below: str) -> None:
    root = real_data("voc2012") / below
    assert len(open_voc2012(str(root), "train")) == 330
    assert len(open_voc2012(str(root), "val")) == 50


def test_real_masks_hold_every_class_and_the_palette(real_data: Callable[[str], Path]) -> None:
    scenes = open_voc2012(str(real_data("voc2012")), "val")
    images_with = np.zeros(256, dtype=np.int64)
    for scene in scenes:
        assert scene.image.shape[:2] == scene.labels.shape
        images_with[np.unique(scene.labels)] += 1
    assert (images_with[:21] >= 3).all()
    assert images_with[IGNORE] > 0
    palette = Image.open(scenes.pairs[0][1]).getpalette()
    assert palette is not None
    assert tuple(tuple(palette[3 * i : 3 * i + 3]) for i in range(21)) == CLASSES.palette


def test_a_wrong_split_or_root_or_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No VOC 2012 in .*; give the folder that holds VOCdevkit/VOC2012/JPEGImages"):
        open_voc2012(str(tmp_path), "train")
    folder = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    (folder / "ImageSets" / "Segmentation" / "train.txt").write_text("2007_000032\n2007_000039\n")
    with pytest.raises(DataError, match=r"No split 'test' of VOC 2012: .*test.txt does not exist; splits there: train"):
        open_voc2012(str(tmp_path), "test")
    (folder / "JPEGImages" / "2007_000032.jpg").touch()
    with pytest.raises(DataError, match=r"SegmentationClass/2007_000032.png does not exist, .* \(3 files missing\)"):
        open_voc2012(str(tmp_path), "train")
