from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.cityscapes import CLASSES, IGNORED_IDS, ORIGINAL_IDS, open_cityscapes
from scenescope.data.dataset import notes
from scenescope.errors import DataError, LabelError, SplitError
from scenescope.labels import IGNORE


def write(root: Path, split: str, city: str, name: str, ids: list[int] | None) -> None:
    image = root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((1, len(ids or [0]), 3), dtype=np.uint8)).save(image)
    if ids is not None:
        mask = root / "gtFine" / split / city / f"{name}_gtFine_labelIds.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array([ids], dtype=np.uint8)).save(mask)
        # The archive holds other images beside the ids.
        Image.fromarray(np.array([ids], dtype=np.uint8)).save(mask.with_name(f"{name}_gtFine_instanceIds.png"))


def test_a_real_frame_is_that_of_the_official_train_ids(real_data: Callable[[str], Path]) -> None:
    root = real_data("samples") / "cityscapes"
    scenes = open_cityscapes(str(root), "val")
    (scene,) = scenes
    official = root / "gtFine/val/frankfurt/frankfurt_000000_000294_gtFine_labelTrainIds.png"
    # The two masks of the sample were reduced each by itself, so single pixels at edges differ.
    assert (scene.labels == np.asarray(Image.open(official))).mean() > 0.997
    assert scene.image.shape == (128, 256, 3)
    assert scene.name == "frankfurt_000000_000294_leftImg8bit"
    assert notes(scenes) == [
        "Split 'val' has 1 scenes, not the published 500: scores on it do not compare with published ones."
    ]


def test_every_original_id_has_one_meaning(tmp_path: Path) -> None:
    write(tmp_path, "train", "ulm", "ulm_0_1", list(range(34)))
    labels = open_cityscapes(str(tmp_path), "train")[0].labels[0].tolist()
    assert [labels[number] for number in ORIGINAL_IDS] == list(range(19))
    assert {labels[number] for number in IGNORED_IDS if number < 34} == {IGNORE}
    assert len(ORIGINAL_IDS) == len(CLASSES) == 19
    assert dict(zip(CLASSES.names, ORIGINAL_IDS, strict=True))["bicycle"] == 33
    assert CLASSES.palette[13] == (0, 0, 142)


def test_scenes_of_all_cities_are_paired_by_name(tmp_path: Path) -> None:
    for city, name, number in (("ulm", "ulm_0_2", 8), ("ulm", "ulm_0_1", 7), ("aachen", "aachen_0_1", 26)):
        write(tmp_path, "train", city, name, [number])
    scenes = open_cityscapes(str(tmp_path), "train")
    found = [(scene.name.removesuffix("_leftImg8bit"), int(scene.labels[0, 0])) for scene in scenes]
    assert found == [("aachen_0_1", 13), ("ulm_0_1", 0), ("ulm_0_2", 1)]


@pytest.mark.parametrize("ids", [None, [3]])
def test_test_opens_without_labels_and_says_so(tmp_path: Path, ids: list[int] | None) -> None:
    write(tmp_path, "test", "berlin", "berlin_0_1", ids)
    scenes = open_cityscapes(str(tmp_path), "test")
    assert scenes[0].labels.tolist() == [[IGNORE]]
    assert len(scenes.files(0)) == (1 if ids is None else 2)
    assert "The labels of Cityscapes' test split are not public: it can be predicted." in notes(scenes)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path, "train", "ulm", "ulm_0_1", [7])
    write(tmp_path, "train", "ulm", "ulm_0_2", None)
    with pytest.raises(DataError, match=r"ulm_0_2_gtFine_labelIds.png .* \(2 images, 1 without mask\)"):
        open_cityscapes(str(tmp_path), "train")
    (tmp_path / "leftImg8bit/train/ulm/ulm_0_2_leftImg8bit.png").unlink()
    (tmp_path / "leftImg8bit/train/ulm/ulm_0_1_leftImg8bit.png").rename(tmp_path / "elsewhere.png")
    with pytest.raises(DataError, match=r"ulm_0_1_gtFine_labelIds.png has no image in .* \(1 masks without image\)"):
        open_cityscapes(str(tmp_path), "train")
    with pytest.raises(SplitError, match=r"No split 'val' of Cityscapes: .*/val does not exist; .* holds train"):
        open_cityscapes(str(tmp_path), "val")
    with pytest.raises(DataError, match="leftImg8bit does not exist"):
        open_cityscapes(str(tmp_path / "gtFine"), "train")


def test_train_ids_under_the_name_of_ids_are_caught(tmp_path: Path) -> None:
    write(tmp_path, "train", "ulm", "ulm_0_1", [34])
    with pytest.raises(LabelError, match="value 34 at pixel"):
        open_cityscapes(str(tmp_path), "train")[0]
