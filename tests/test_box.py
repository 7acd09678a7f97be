"""The models in the box, where that distribution is installed (``make test`` installs it)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from scenescope.checkpoints.find import models_in_box
from scenescope.checkpoints.model_directory import load_model
from scenescope.data.camvid import CLASSES, open_camvid
from scenescope.export import export_onnx, verify
from scenescope.inference.exported import open_exported
from scenescope.inference.segmenter import Segmenter

BOX = models_in_box()
pytestmark = pytest.mark.skipif(not BOX, reason="the models in the box are not installed (pip install ./box)")


def test_danet_comes_first_and_both_fit_into_15_megabytes() -> None:
    assert list(BOX) == ["camvid-danet-lite0", "camvid-sanet-lite0"]
    assert sum(file.stat().st_size for place in BOX.values() for file in place.iterdir()) <= 15_000_000
    assert load_model().directory == BOX["camvid-danet-lite0"]


@pytest.mark.parametrize("name", BOX)
def test_weights_are_stored_in_half_and_loaded_whole(name: str) -> None:
    stored = safetensors.torch.load_file(BOX[name] / "model.safetensors")
    for key, value in stored.items():
        if value.is_floating_point():
            assert value.dtype == (torch.float32 if "running_" in key else torch.float16), key
    loaded = load_model(name)
    assert loaded.classes == CLASSES
    assert {value.dtype for value in loaded.network.parameters()} == {torch.float32}
    card = (BOX[name] / "README.md").read_text()
    for word in ("CC BY-NC 4.0", "python box/make.py", "**mean**", "Known failures", "seed"):
        assert word in card


@pytest.mark.parametrize("name", BOX)
def test_real_streets_are_recognized(name: str, real_data: Callable[[str], Path]) -> None:
    """A damaged or mistaken conversion would show here; what the scores are is for the card to say."""
    scenes = open_camvid(str(real_data("camvid")), "train")
    segmenter = Segmenter.load(name, "cpu")
    right = scored = 0
    for index in range(0, len(scenes), 60):
        scene = scenes[index]
        known = scene.labels != 255
        right += int((segmenter.predict(scene.image).labels == scene.labels)[known].sum())
        scored += int(known.sum())
    assert right / scored > 0.88


def test_a_photograph_needs_no_name_of_a_model() -> None:
    sky = np.full((64, 96, 3), (180, 200, 230), np.uint8)
    sky[40:] = (90, 90, 90)
    prediction = Segmenter.load(device="cpu").predict(sky)
    assert prediction.shares()["Sky"] > 0.2


@pytest.mark.parametrize("name", BOX)
def test_the_exported_file_answers_as_the_model_at_any_size(name: str, real_data: Callable[[str], Path]) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    loaded = Segmenter.load(name, "cpu", fused=False)
    content = export_onnx(loaded)
    assert max(each.difference for each in verify(loaded, content)) < 1e-4
    segmenter, exported = Segmenter.load(name, "cpu"), open_exported(content, "the file")
    file = Segmenter(exported, exported.classes)
    scenes = open_camvid(str(real_data("camvid")), "val")
    for index, (height, width) in enumerate([(360, 480), (351, 470), (187, 333)]):
        image = scenes[30 * index].image[:height, :width]
        same = segmenter.predict(image).labels == file.predict(image).labels
        assert same.mean() > 0.999, (height, width)
