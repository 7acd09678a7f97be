import errno

import numpy as np
import pytest
from PIL import Image

from scenescope.errors import StorageError
from scenescope.files import write_atomically
from scenescope.inference import prediction as module
from scenescope.inference.prediction import Prediction
from scenescope.labels import Classes

CLASSES = Classes(("road", "sky", "car"), ((128, 64, 128), (70, 130, 180), (0, 0, 142)))


@pytest.fixture
def prediction():
    labels = np.array([[0, 0, 1], [0, 2, 1]], np.uint8)
    probabilities = np.random.default_rng(0).random((3, 2, 3), np.float32)
    return Prediction(labels, np.full((2, 3, 3), 200, np.uint8), CLASSES, probabilities / probabilities.sum(0))


def test_shares_by_hand(prediction):
    assert prediction.shares() == {"road": 3 / 6, "sky": 2 / 6, "car": 1 / 6}


def test_the_overlay_is_half_picture_half_colour(prediction):
    assert prediction.overlay().getpixel((0, 0)) == (164, 132, 164)
    assert prediction.overlay(opacity=0.0).getpixel((0, 0)) == (200, 200, 200)


def test_saved_files_hold_what_was_predicted(prediction, tmp_path):
    files = prediction.save(tmp_path / "new", "photo.one")
    assert [file.name for file in files] == [
        "photo.one_labels.png",
        "photo.one_overlay.png",
        "photo.one_probabilities.npz",
    ]
    with Image.open(files[0]) as labels:
        assert labels.mode == "P"
        assert np.array_equal(np.asarray(labels), prediction.labels)
        assert labels.convert("RGB").getpixel((1, 1)) == (0, 0, 142)
    with np.load(files[2]) as stored:
        assert stored["probabilities"].dtype == np.float16
        assert np.allclose(stored["probabilities"], prediction.probabilities, atol=1e-3)
        assert stored["classes"].tolist() == list(CLASSES.names)
    assert sorted(tmp_path.rglob("*.*")) == sorted(files)


def test_without_probabilities_two_files_are_written(prediction, tmp_path):
    bare = Prediction(prediction.labels, prediction.image, CLASSES)
    assert [file.name for file in bare.save(tmp_path, "a")] == ["a_labels.png", "a_overlay.png"]


@pytest.mark.parametrize("full_at", ["overlay", "probabilities"])
def test_a_full_disk_leaves_none_of_a_pictures_files(prediction, tmp_path, monkeypatch, full_at):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    if full_at == "probabilities":
        monkeypatch.setattr(np, "savez_compressed", full)
    else:
        monkeypatch.setattr(module, "save_png", lambda picture, path: write_atomically(path, full))
    (tmp_path / "b_labels.png").touch()
    with pytest.raises(StorageError, match="No space left"):
        prediction.save(tmp_path, "a")
    assert [file.name for file in tmp_path.iterdir()] == ["b_labels.png"]


def test_a_file_in_the_folders_place_is_named(prediction, tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(StorageError, match=r"out.*in the way"):
        prediction.save(tmp_path / "out", "a")
    assert (tmp_path / "out").read_text() == "in the way"
