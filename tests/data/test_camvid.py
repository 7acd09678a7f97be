from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.camvid import CLASSES, open_camvid
from scenescope.errors import DataError
from scenescope.labels import IGNORE

# Shares of the pixels in percent, classes in order and then unlabeled, as published with the copy of the data.
TRAIN_SHARES = [16.85, 23.26, 0.98, 31.66, 4.49, 9.72, 1.17, 1.13, 5.87, 0.64, 0.29, 3.95]
VAL_SHARES = [9.18, 25.96, 0.56, 28.95, 8.72, 16.34, 0.89, 3.08, 1.75, 0.65, 2.22, 1.70]


@pytest.mark.parametrize(("split", "count", "shares"), [("train", 367, TRAIN_SHARES), ("val", 101, VAL_SHARES)])
def test_real_counts_and_class_shares(
    real_data: Callable[[str], Path], split: str, count: int, shares: list[float]
) -> None:
    scenes = open_camvid(str(real_data("camvid")), split)
    assert len(scenes) == count
    pixels = np.zeros(256, dtype=np.int64)
    for index, scene in enumerate(scenes):
        assert scene.image.shape == (360, 480, 3)
        assert scene.name == scenes.files(index)[1].stem
        pixels += np.bincount(scene.labels.ravel(), minlength=256)
    measured = 100 * pixels[[*range(11), IGNORE]] / pixels.sum()
    np.testing.assert_allclose(measured, shares, atol=0.0051)


def test_the_palette_is_that_of_the_masks(real_data: Callable[[str], Path]) -> None:
    mask = Image.open(open_camvid(str(real_data("camvid")), "train").pairs[0][1])
    palette = mask.getpalette()
    assert palette is not None
    assert tuple(tuple(palette[3 * i : 3 * i + 3]) for i in range(11)) == CLASSES.palette


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def test_segnets_own_layout(tmp_path: Path) -> None:
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for split in ("train", "test"):
        write(tmp_path / split / "a.png", np.zeros((3, 4, 3), dtype=np.uint8))
        write(tmp_path / f"{split}annot" / "a.png", mask)
    expected = mask.copy()
    expected[2, 3] = IGNORE
    np.testing.assert_array_equal(open_camvid(str(tmp_path), "test")[0].labels, expected)
    with pytest.raises(DataError, match=r"No split 'val' of CamVid in .*; it has test, train"):
        open_camvid(str(tmp_path), "val")


def test_value_12_is_caught(tmp_path: Path) -> None:
    write(tmp_path / "val" / "images" / "a.png", np.zeros((3, 4, 3), dtype=np.uint8))
    write(tmp_path / "val" / "masks" / "a.png", np.full((3, 4), 12, dtype=np.uint8))
    with pytest.raises(DataError, match="value 12 at pixel"):
        open_camvid(str(tmp_path), "val")[0]


def test_a_folder_of_something_else_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=r"it holds photos. A split is SPLIT/images with SPLIT/masks"):
        open_camvid(str(tmp_path), "train")
    with pytest.raises(DataError, match="does not exist"):
        open_camvid(str(tmp_path / "none"), "train")


def test_trainval_is_train_and_then_val(tmp_path: Path) -> None:
    for split, stem in (("train", "b"), ("val", "a")):
        write(tmp_path / split / "images" / f"{stem}.png", np.zeros((3, 4, 3), dtype=np.uint8))
        write(tmp_path / split / "masks" / f"{stem}.png", np.zeros((3, 4), dtype=np.uint8))
    scenes = open_camvid(str(tmp_path), "trainval")
    assert [scenes.name(index) for index in range(len(scenes))] == ["b", "a"]
    (tmp_path / "val").rename(tmp_path / "test")
    with pytest.raises(DataError, match=r"No split 'trainval' of CamVid in .*; it has test, train"):
        open_camvid(str(tmp_path), "trainval")


def test_a_fold_is_one_sequence_or_all_others(tmp_path: Path) -> None:
    for stem in ("0001TP_1", "0006R0_1", "0006R0_2", "0016E5_1"):
        write(tmp_path / "train" / "images" / f"{stem}.png", np.zeros((3, 4, 3), dtype=np.uint8))
        write(tmp_path / "train" / "masks" / f"{stem}.png", np.zeros((3, 4), dtype=np.uint8))

    def names(split: str) -> list[str]:
        scenes = open_camvid(str(tmp_path), split)
        return [scenes.name(index) for index in range(len(scenes))]

    assert names("train-only-0006R0") == ["0006R0_1", "0006R0_2"]
    assert names("train-without-0006R0") == ["0001TP_1", "0016E5_1"]
    with pytest.raises(
        DataError, match=r"No sequence '0006RO' .* it has 0001TP, 0006R0, 0016E5\. Did you mean '0006R0'"
    ):
        names("train-only-0006RO")
    with pytest.raises(DataError, match=r"No split 'val' of CamVid in .*; it has train"):
        names("val-only-0016E5")
