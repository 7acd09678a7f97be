from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from scenescope.data.dataset import notes
from scenescope.data.voc2012 import CLASSES, open_voc2012
from scenescope.errors import DataError, SplitError
from scenescope.labels import IGNORE


def test_names_and_colors() -> None:
    assert len(CLASSES) == 21
    known = {"background": (0, 0, 0), "person": (192, 128, 128), "tvmonitor": (0, 64, 128), "sofa": (0, 192, 0)}
    for name, color in known.items():
        assert CLASSES.palette[CLASSES.names.index(name)] == color


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
    with pytest.raises(SplitError, match=r"No split 'val' of VOC 2012: .*val.txt does not exist; splits there: train"):
        open_voc2012(str(tmp_path), "val")
    with pytest.raises(SplitError, match=rf"test.txt does not exist; .* VOC2012test.tar, .*; unpack it in {tmp_path}"):
        open_voc2012(str(tmp_path), "test")
    (folder / "JPEGImages" / "2007_000032.jpg").touch()
    with pytest.raises(DataError, match=r"SegmentationClass/2007_000032.png does not exist, .* \(3 files missing\)"):
        open_voc2012(str(tmp_path), "train")


def test_test_opens_without_labels_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    (folder / "ImageSets/Segmentation/test.txt").write_text("2008_000006\n2008_000008\n")
    Image.fromarray(np.zeros((2, 3, 3), dtype=np.uint8)).save(folder / "JPEGImages/2008_000006.jpg")
    with pytest.raises(DataError, match=r"2008_000008.jpg does not exist, .* \(1 files missing\)"):
        open_voc2012(str(tmp_path), "test")
    Image.fromarray(np.zeros((2, 3, 3), dtype=np.uint8)).save(folder / "JPEGImages/2008_000008.jpg")
    scenes = open_voc2012(str(tmp_path), "test")
    assert [scene.labels.tolist() for scene in scenes] == [[[IGNORE] * 3] * 2] * 2
    assert notes(scenes) == [
        "Split 'test' has 2 scenes, not the published 1,456: scores on it do not compare with published ones.",
        "The labels of VOC 2012's test split are not public: it can be predicted.",
    ]


@pytest.fixture
def with_sbd(tmp_path: Path) -> Path:
    """VOC with train a, b and val c, and SBD with train b, c, d and val e: trainaug is a, b, d, e."""
    folder = tmp_path / "VOCdevkit" / "VOC2012"
    sbd = tmp_path / "benchmark_RELEASE" / "dataset"
    for place in (folder / "JPEGImages", folder / "SegmentationClass", sbd / "img", sbd / "cls"):
        place.mkdir(parents=True)
    (folder / "ImageSets" / "Segmentation").mkdir(parents=True)
    for split, stems in {"train": "ab", "val": "c"}.items():
        (folder / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(stems) + "\n")
        for stem in stems:
            Image.fromarray(np.array([[0, 20, 255]], dtype=np.uint8)).save(folder / f"SegmentationClass/{stem}.png")
    for split, stems in {"train": "bcd", "val": "e"}.items():
        (sbd / f"{split}.txt").write_text("\n".join(stems) + "\n")
        for stem in stems:
            content = {"GTcls": {"Segmentation": np.array([[0, 20, 20]], dtype=np.uint8), "Boundaries": [[1]]}}
            savemat(sbd / "cls" / f"{stem}.mat", content)
    for stem in "abcde":
        for place in (folder / "JPEGImages", sbd / "img"):
            Image.fromarray(np.zeros((1, 3, 3), dtype=np.uint8)).save(place / f"{stem}.jpg")
    return tmp_path


def labels_of(root: Path) -> dict[str, list[int]]:
    return {scene.name: scene.labels[0].tolist() for scene in open_voc2012(str(root), "trainaug")}


def test_trainaug_is_train_and_sbd_without_val(with_sbd: Path) -> None:
    with_border, without = [0, 20, IGNORE], [0, 20, 20]
    assert labels_of(with_sbd) == {"a": with_border, "b": with_border, "d": without, "e": without}
    assert list(labels_of(with_sbd)) == ["a", "b", "d", "e"]


@pytest.mark.parametrize("place", ["VOCdevkit", "VOCdevkit/VOC2012"])
def test_sbd_is_found_beside_and_in_the_folder(with_sbd: Path, place: str) -> None:
    (with_sbd / "benchmark_RELEASE").rename(with_sbd / place / "benchmark_RELEASE")
    assert len(labels_of(with_sbd / "VOCdevkit")) == 4


def test_converted_masks_take_the_place_of_sbd(with_sbd: Path) -> None:
    converted = with_sbd / "VOCdevkit" / "VOC2012" / "SegmentationClassAug"
    converted.mkdir()
    for stem in "abcd":
        Image.fromarray(np.array([[7, 7, 7]], dtype=np.uint8)).save(converted / f"{stem}.png")
    assert labels_of(with_sbd) == {"a": [0, 20, IGNORE], "b": [0, 20, IGNORE], "d": [7, 7, 7]}


def test_trainaug_without_sbd_or_with_half_of_it_is_refused(with_sbd: Path) -> None:
    (with_sbd / "benchmark_RELEASE/dataset/cls/e.mat").unlink()
    with pytest.raises(DataError, match=r"cls/e.mat does not exist, but .*dataset/val.txt lists it \(1 files missing"):
        labels_of(with_sbd)
    (with_sbd / "benchmark_RELEASE").rename(with_sbd / "elsewhere")
    with pytest.raises(DataError, match="trainaug needs SBD, and neither benchmark_RELEASE/dataset nor"):
        labels_of(with_sbd)


def test_another_number_of_scenes_than_published_is_told(with_sbd: Path, real_data: Callable[[str], Path]) -> None:
    assert notes(open_voc2012(str(with_sbd), "trainaug")) == [
        "Split 'trainaug' has 4 scenes, not the published 10,582: scores on it do not compare with published ones."
    ]
    assert "330 scenes, not the published 1,464" in notes(open_voc2012(str(real_data("voc2012")), "train"))[0]
