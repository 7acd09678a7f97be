from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.dataset import FileDataset, SegmentationDataset, notes, unique_names
from scenescope.data.masks import LabelTable
from scenescope.errors import DataError, ImageError, LabelError
from scenescope.lab.scenes import ScenesDataset
from scenescope.labels import IGNORE, Classes

CLASSES = Classes.named(["low", "high"])
TABLE = LabelTable.of_values([[0], [1]], [255])


def dataset(tmp_path: Path, mask: np.ndarray, orientation: int = 1) -> FileDataset:
    """One image of 6 x 4 pixels (as stored) with a mask."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(np.full((4, 6, 3), 200, dtype=np.uint8)).save(tmp_path / "a.jpg", exif=tags)
    Image.fromarray(mask).save(tmp_path / "a.png")
    return FileDataset(CLASSES, "train", str(tmp_path), ((tmp_path / "a.jpg", tmp_path / "a.png"),), TABLE)


def test_a_scene_is_image_labels_and_name(tmp_path: Path) -> None:
    mask = np.arange(24, dtype=np.uint8).reshape(4, 6) % 2
    scenes: SegmentationDataset = dataset(tmp_path, mask)
    scene = scenes[0]
    assert len(scenes) == 1
    assert (scene.name, scenes.name(0)) == ("a", "a")
    assert scenes.files(0) == (tmp_path / "a.jpg", tmp_path / "a.png")
    assert scene.image.shape == (4, 6, 3)
    np.testing.assert_array_equal(scene.labels, mask)
    with pytest.raises(IndexError):
        scenes[1]


def test_a_rotated_image_takes_the_mask_of_the_displayed_size(tmp_path: Path) -> None:
    scene = dataset(tmp_path, np.zeros((6, 4), dtype=np.uint8), orientation=6)[0]
    assert scene.image.shape == (6, 4, 3)


def test_a_mask_that_fits_only_the_unrotated_image_is_told_as_such(tmp_path: Path) -> None:
    scenes = dataset(tmp_path, np.zeros((4, 6), dtype=np.uint8), orientation=6)
    with pytest.raises(DataError) as caught:
        scenes[0]
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'a.png'} fits only the unrotated image")
    assert "are 6 x 4, but its EXIF rotation displays it as 4 x 6" in message


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    scenes = dataset(tmp_path, np.zeros((2, 3), dtype=np.uint8))
    with pytest.raises(
        DataError, match=r"a\.png is 3 x 2 pixels, but its image .*a\.jpg is 6 x 4; masks are never resized"
    ):
        scenes[0]


def test_faults_of_the_files_come_as_their_own_errors(tmp_path: Path) -> None:
    scenes = dataset(tmp_path, np.full((4, 6), 7, dtype=np.uint8))
    with pytest.raises(LabelError, match="value 7 at pixel"):
        scenes[0]
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(ImageError, match="not an image"):
        scenes[0]


def test_the_size_limit_holds_for_image_and_mask(tmp_path: Path) -> None:
    whole = dataset(tmp_path, np.zeros((4, 6), dtype=np.uint8))
    with pytest.raises(ImageError, match="more than the limit of 23"):
        FileDataset(CLASSES, "train", "", whole.pairs, TABLE, max_pixels=23)[0]


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(DataError, match="Split 'val' of DIR is empty"):
        FileDataset(CLASSES, "val", "DIR", (), TABLE)


def test_a_data_set_survives_pickling(tmp_path: Path) -> None:
    scenes = dataset(tmp_path, np.eye(4, 6, dtype=np.uint8))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(scenes))[0].labels, scenes[0].labels)


def test_a_scene_without_a_mask_has_all_labels_ignored(tmp_path: Path) -> None:
    whole = dataset(tmp_path, np.zeros((4, 6), dtype=np.uint8))
    scenes = FileDataset(CLASSES, "test", "", ((whole.pairs[0][0], None),), TABLE)
    assert scenes[0].labels.tolist() == [[IGNORE] * 6] * 4
    assert scenes.files(0) == (tmp_path / "a.jpg",)


def test_notes_tell_another_number_than_published_and_remarks(tmp_path: Path) -> None:
    whole = dataset(tmp_path, np.zeros((4, 6), dtype=np.uint8))
    assert notes(whole) == []
    assert notes(ScenesDataset()) == []
    for published, told in (((1,), []), ((3, 1), []), ((4998, 4996), ["published 4,998 or 4,996:"])):
        found = notes(FileDataset(CLASSES, "train", "", whole.pairs, TABLE, published=published, remarks=("Mind.",)))
        assert found[-1] == "Mind."
        assert len(found) == 1 + len(told)
        assert all(words in found[0] for words in told)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["i/a.jpg", "i/b.jpg"], ["a", "b"]),
        (["i/a/x.png", "i/b/x.png", "i/b/y.png"], ["a_x", "b_x", "y"]),
        (["r/a/i/x.png", "r/b/i/X.png"], ["a_i_x", "b_i_X"]),
        (["i/x.png", "i/x.jpg"], ["i_x_0", "i_x_1"]),
    ],
)
def test_names_are_unique(paths: list[str], names: list[str]) -> None:
    assert unique_names([Path(path) for path in paths]) == names
