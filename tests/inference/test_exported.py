"""Exported files that are read: the same predictions, and files that are none."""

import importlib.util
import json
import sys

import numpy as np
import pytest
import torch

from scenescope.errors import CheckpointError, ModelError, ScenescopeError
from scenescope.explore.view import attend
from scenescope.export import export_onnx
from scenescope.inference import exported
from scenescope.inference.exported import load_for_inference, open_exported
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CLASSES = Classes.named(["road", "sky", "tree"], [(1, 2, 3), (4, 5, 6), (7, 8, 9)])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create_model("fcn", num_classes=3, backbone="test_resnet", output_stride=16, align_corners=False).eval()


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    path.write_bytes(export_onnx(network, CLASSES))
    return path


def changed(file, edit):
    """Return the file's content after an edit of its model."""
    model = onnx.load(file)
    edit(model)
    return model.SerializeToString()


def test_the_file_predicts_as_the_network_does(network, file):
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    settings = InferenceSettings(scales=(1.0, 1.5), flip=True, window=48)
    for chosen in (None, settings):
        ours = Segmenter(network, CLASSES, settings=chosen).predict(picture, probabilities=True)
        theirs = Segmenter.load(file, "cpu", chosen).predict(picture, probabilities=True)
        np.testing.assert_allclose(theirs.probabilities, ours.probabilities, atol=1e-5)
        assert (theirs.labels == ours.labels).mean() > 0.999
        assert theirs.classes == CLASSES


def test_openvino_runs_the_same_file(network, file):
    if importlib.util.find_spec("openvino") is None:  # importing it here would load its telemetry
        pytest.skip("openvino is not installed")
    images = torch.randn(2, 3, 65, 97)
    with torch.inference_mode():
        answer = exported.load_exported(file, "openvino").network(images).logits
        torch.testing.assert_close(answer, network(images).logits, rtol=1e-4, atol=1e-5)
    assert sys.modules["openvino_telemetry"] is None  # no telemetry


def test_engineers_find_the_facts_in_the_metadata(network, file):
    facts = {
        entry.key: json.loads(entry.value) for entry in onnx.load(file).metadata_props if entry.key in exported.FACTS
    }
    assert facts["names"] == ["road", "sky", "tree"]
    assert facts["palette"] == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert facts["mean"] == list(network.mean)
    assert facts["std"] == list(network.std)
    assert facts["align_corners"] is False


def test_a_file_cannot_be_looked_into(file):
    with pytest.raises(ModelError, match="name the model directory"):
        _ = attend(load_for_inference(file).network, np.zeros((64, 64, 3), np.uint8)).position


def test_files_that_are_none_are_refused(file, tmp_path):
    whole = file.read_bytes()
    with pytest.raises(CheckpointError, match="There is no exported model"):
        load_for_inference(tmp_path / "missing.onnx")
    for content in (b"", b"no model", whole[: len(whole) // 2]):
        with pytest.raises(CheckpointError, match="is not a whole ONNX file"):
            open_exported(content, "file")
    foreign = changed(file, lambda model: model.ClearField("metadata_props"))
    with pytest.raises(CheckpointError, match="was not written by scenescope export"):
        open_exported(foreign, "file")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("scenescope", "99", "newer scenescope"),
        ("names", "[]", "was not written by scenescope export"),
        ("names", "{", "was not written by scenescope export"),
        ("mean", "null", "was not written by scenescope export"),
    ],
)
def test_facts_that_cannot_be_are_refused(file, key, value, told):
    def edit(model):
        next(entry for entry in model.metadata_props if entry.key == key).value = value

    with pytest.raises(CheckpointError, match=told):
        open_exported(changed(file, edit), "file")


def test_weights_that_a_file_says_are_elsewhere_are_not_read(file, tmp_path):
    outside = tmp_path / "secret"
    outside.write_bytes(bytes(4_000_000))

    def edit(model):
        weight = max(model.graph.initializer, key=lambda each: len(each.raw_data))
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=str(outside))

    with pytest.raises(CheckpointError, match="is not a whole ONNX file"):
        open_exported(changed(file, edit), "file")


def test_an_unknown_or_missing_runtime_is_told(file, monkeypatch):
    with pytest.raises(ScenescopeError, match="no runtime 'onnx'"):
        exported.load_exported(file, "onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ScenescopeError, match=r"need onnxruntime, .* pip install 'scenescope\[export\]'"):
        exported.load_exported(file)
