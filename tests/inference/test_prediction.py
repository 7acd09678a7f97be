import dataclasses
import errno

import numpy as np
import pytest
from PIL import Image

from scenescope.errors import ImageError, StorageError
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


def test_the_overlay_is_half_image_half_color(prediction):
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


class FullDisk:
    """An image that no disk has space for."""

    def save(self, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("full_at", ["overlay", "probabilities"])
def test_a_full_disk_leaves_none_of_an_images_files(prediction, tmp_path, monkeypatch, full_at):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    if full_at == "probabilities":
        monkeypatch.setattr(np, "savez_compressed", full)
    else:
        monkeypatch.setattr(module, "overlaid", lambda *_: FullDisk())
    (tmp_path / "b_labels.png").touch()
    (tmp_path / "a_overlay.png").write_text("older")
    with pytest.raises(StorageError, match="No space left"):
        prediction.save(tmp_path, "a")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a_overlay.png", "b_labels.png"]
    assert (tmp_path / "a_overlay.png").read_text() == "older"


def test_without_an_overlay_none_is_written(prediction, tmp_path):
    files = prediction.save(tmp_path, "a", overlay=False)
    assert [file.name for file in files] == ["a_labels.png", "a_probabilities.npz"]


def test_too_little_memory_for_the_overlay_leaves_the_rest(prediction, tmp_path, monkeypatch):
    def too_large(*_):
        raise MemoryError

    monkeypatch.setattr(module, "overlaid", too_large)
    with pytest.raises(ImageError, match=r"a_overlay.png needs more memory .* in Python overlay=False"):
        prediction.save(tmp_path, "a")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a_labels.png", "a_probabilities.npz"]


def test_ignored_pixels_are_of_no_class(prediction, tmp_path):
    """As a threshold makes them: transformers' and PaddleSeg#2987's users."""
    labels = prediction.labels.copy()
    labels[0, 0] = labels[1, 1] = 255
    unsure = dataclasses.replace(prediction, labels=labels)
    assert unsure.shares() == {"road": 2 / 6, "sky": 2 / 6, "car": 0.0}
    assert unsure.overlay().getpixel((0, 0)) == (200, 200, 200)
    assert unsure.overlay().getpixel((1, 0)) == (164, 132, 164)
    with Image.open(unsure.save(tmp_path, "a")[0]) as saved:
        assert np.array_equal(np.asarray(saved), labels)


@pytest.mark.parametrize("opacity", [-0.1, 1.5, float("nan")])
def test_an_opacity_outside_0_to_1_is_refused(prediction, opacity):
    with pytest.raises(ImageError, match=r"opacity=.* give the weight of the colors, 0 to 1"):
        prediction.overlay(opacity)


def test_predictions_lie_in_lists_and_sets(prediction):
    other = dataclasses.replace(prediction)
    assert prediction in [other, prediction]
    assert prediction not in [other]
    assert len({prediction, other}) == 2


def test_bands_change_nothing(monkeypatch):
    generator = np.random.default_rng(0)
    labels = generator.choice([0, 1, 2, 255], (37, 23)).astype(np.uint8)
    whole = Prediction(labels, generator.integers(0, 256, (37, 23, 3), np.uint8), CLASSES)
    expected, shares = np.asarray(whole.overlay(0.3)), whole.shares()
    for rows in (1, 5, 36):
        monkeypatch.setattr("scenescope.drawing.overlay.BAND", 23 * rows)
        assert np.array_equal(np.asarray(whole.overlay(0.3)), expected)
        assert whole.shares() == shares
    assert shares["sky"] == (labels == 1).mean()


def test_a_file_in_the_folders_place_is_named(prediction, tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(StorageError, match=r"out.*in the way"):
        prediction.save(tmp_path / "out", "a")
    assert (tmp_path / "out").read_text() == "in the way"


def test_pixels_without_data_are_of_no_share_and_no_hole(prediction):
    labels = np.array([[0, 0, 0, 0], [0, 255, 2, 0], [0, 0, 0, 0]], np.uint8)
    there = dataclasses.replace(
        prediction, labels=labels, image=np.zeros((3, 4, 3), np.uint8), probabilities=None, without_data=labels == 255
    )
    # The hole is filled but for its pixel without data: 11 of 11 pixels with data are road.
    filled = there.tidied(fill_holes=3)
    assert filled.labels.tolist() == [[0, 0, 0, 0], [0, 255, 0, 0], [0, 0, 0, 0]]
    assert filled.shares()["road"] == 1.0
