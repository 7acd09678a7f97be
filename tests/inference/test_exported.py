"""Exported files that are read: the same predictions, and files that are none."""

import copy
import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from scenescope.errors import CheckpointError, ModelError, ScenescopeError
from scenescope.explore.trace import attend
from scenescope.export import export_onnx
from scenescope.inference import exported
from scenescope.inference.exported import open_exported
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.inference import handmade  # noqa: E402

CLASSES = Classes.named(["road", "sky", "tree"], [(1, 2, 3), (4, 5, 6), (7, 8, 9)])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create_model("fcn", num_classes=3, backbone="test_resnet", output_stride=16, align_corners=False).eval()


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    path.write_bytes(export_onnx(Segmenter(network, CLASSES)))
    return path


def changed(file, edit):
    """Return the file's content after an edit of its model."""
    model = onnx.load(file)
    edit(model)
    return model.SerializeToString()


def test_the_file_predicts_as_the_network_does(network, file):
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    settings = InferenceSettings(scales=(1.0, 1.5), flip=True, window=48)
    for chosen in (None, settings):
        ours = Segmenter(network, CLASSES, settings=chosen).predict(image, probabilities=True)
        theirs = Segmenter.load(file, "cpu", settings=chosen).predict(image, probabilities=True)
        np.testing.assert_allclose(theirs.probabilities, ours.probabilities, atol=1e-5)
        assert (theirs.labels == ours.labels).mean() > 0.999
        assert theirs.classes == CLASSES


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
        attend(Segmenter.load(file), np.zeros((64, 64, 3), np.uint8))


def test_files_that_are_none_are_refused(file, tmp_path):
    whole = file.read_bytes()
    with pytest.raises(CheckpointError, match="There is no exported model"):
        Segmenter.load(tmp_path / "missing.onnx")
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


@pytest.mark.parametrize(
    "facts",
    [
        {"names": ["road", "sky", "car", "tree", "person"]},
        {"names": ["road", "sky"]},
        {"std": ["a", "b", "c"]},
        {"std": [0.2, 0.2, 0.0]},
        {"std": [0.2, 0.2, -0.2]},
        {"mean": [0.5, 0.5, 0.5, 0.5]},
        {"mean": [0.5, 0.5, float("nan")]},
        {"mean": "0.5"},
        {"model": [1]},
        {"palette": [[1, 2, 3]]},
        {"scenescope": "one"},
    ],
)
def test_facts_that_do_not_fit_the_answer_are_refused_when_the_file_is_opened(facts):
    with pytest.raises(CheckpointError, match=r"^file was not written by scenescope export \(.*\); export") as refused:
        open_exported(handmade.model(**facts).SerializeToString(), "file")
    assert "\n" not in str(refused.value)


def test_an_answer_of_another_size_is_refused_whenever_it_comes():
    """Images of up to 64 pixels are answered at their size, larger ones are cut to 64."""
    ends, cut = handmade.numbers("ends", [64], np.int64), onnx.helper.make_node
    model = handmade.model(
        weights=(ends, handmade.numbers("zero", [0], np.int64), handmade.numbers("side", [2], np.int64))
    )
    model.graph.node[0].output[0] = "conv"
    model.graph.node.append(cut("Slice", ["conv", "zero", "ends", "side"], ["logits"]))
    network = open_exported(model.SerializeToString(), "file")
    assert network(torch.zeros(1, 3, 64, 70)).logits.shape == (1, 3, 64, 70)
    with pytest.raises(CheckpointError, match=r"answers float32 \(1, 3, 64, 70\) where .* float32 \(1, 3, 65, 70\)"):
        network(torch.zeros(1, 3, 65, 70))


def test_what_a_file_has_no_answer_to_is_told(monkeypatch):
    """A file of images of 64 x 64 alone."""
    model = handmade.model(onnx.helper.make_node("ReduceMax", ["row"], ["extra"], keepdims=0))
    model.graph.node.insert(0, onnx.helper.make_node("Reshape", ["images", "shape"], ["row"]))
    model.graph.initializer.append(handmade.numbers("shape", [3, 64, 64], np.int64))
    network = open_exported(model.SerializeToString(), "file")
    with pytest.raises(CheckpointError, match=r"^file has no answer to 1 images of 70 x 64 \(.*Reshape"):
        network(torch.zeros(1, 3, 64, 70))


def test_weights_that_a_file_says_are_elsewhere_are_not_read(tmp_path, monkeypatch):
    """Beside it, in the working directory, by an absolute path: the file is refused, and never given to a runtime."""
    monkeypatch.setattr(exported, "OpenedFile", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(handmade.WEIGHT.tobytes())
    for location in ("secret.bin", "./secret.bin", str(tmp_path / "secret.bin"), "*/_ORT_MEM_ADDR_/*"):
        model = handmade.model()
        weight = model.graph.initializer[0]
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=location)
        with pytest.raises(CheckpointError, match="file holds weights that are in another file"):
            open_exported(model.SerializeToString(), "file")


def test_one_file_answers_several_threads_as_it_answers_one():
    network = open_exported(handmade.model().SerializeToString(), "file")
    images = [torch.full((1, 3, 20 + number, 90), float(number)) for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: network(images[number % 8]).logits, range(160)))
    for number, answer in enumerate(answers):
        torch.testing.assert_close(answer, images[number % 8])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_copies_open_the_file_again(copied):
    network = open_exported(handmade.model(names=["a", "b", "c"]).SerializeToString(), "file")
    again = copied(network)
    assert again.run is not network.run
    images = torch.randn(2, 3, 33, 65)
    torch.testing.assert_close(again(images).logits, images)
    assert again.mean == (0.5, 0.5, 0.5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_opens_the_file_again(monkeypatch):
    network = open_exported(handmade.model().SerializeToString(), "file")
    ours = network.run._session
    monkeypatch.setattr(os, "getpid", lambda: 0)
    torch.testing.assert_close(network(torch.ones(1, 3, 8, 8)).logits, torch.ones(1, 3, 8, 8))
    assert network.run._session is not ours


def test_a_file_that_is_larger_than_any_is_not_read(tmp_path):
    with (tmp_path / "sparse.onnx").open("wb") as sparse:
        sparse.truncate(2**40)
    with pytest.raises(CheckpointError, match=r"sparse.onnx is larger than an ONNX file can be"):
        Segmenter.load(tmp_path / "sparse.onnx")


def test_a_missing_runtime_is_told(file, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ScenescopeError, match=r"need onnxruntime, .* pip install 'scenescope\[export\]'"):
        exported.load_exported(file)
