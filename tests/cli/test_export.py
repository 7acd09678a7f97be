import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope import export
from scenescope.checkpoints.model_directory import save_model
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

NAMES = ["road", "sky"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    network = create_model("fcn", backbone="test_resnet", num_classes=2, output_stride=16)
    torch.nn.init.normal_(network.head.classifier[-1].weight)
    directory = tmp_path_factory.mktemp("model") / "fcn"
    save_model(network, Classes.named(NAMES), directory)
    return directory


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    (root / "classes.yaml").write_text(f"names: {json.dumps(NAMES)}\n")
    for split, count in (("train", 5), ("val", 3)):
        for number in range(count):
            for kind, array in (
                ("images", generator.integers(0, 256, (48, 64, 3), dtype=np.uint8)),
                ("masks", generator.integers(0, 2, (48, 64)).astype(np.uint8)),
            ):
                (root / kind / split).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(root / kind / split / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def exported_once(model):
    """Return what the exporter makes of the model: it takes seconds, and is the same every time."""

    return export.export_onnx(Segmenter.load(str(model), "cpu"))


def test_the_file_is_told_about_predicts_and_is_scored_as_the_model(scenescope, model, data, tmp_path):
    file = tmp_path / "model.onnx"
    result = scenescope("export", model, file)
    assert result.exit_code == 0, result.errors
    first, *_, last = result.output.splitlines()
    assert re.fullmatch(
        r" *64 x 64 +logits within \de-\d\d of torch's, same class at 100\.00% of the pixels",
        re.sub(r"(\d)\.\d(e-)", r"\1\2", first),
    )
    assert last.startswith(f"{file}  ")
    scores = []
    for name in (model, file):
        result = scenescope(
            "evaluate", f"folder:{data}", "--model", name, "--output", tmp_path / f"scores-{len(scores)}"
        )
        assert result.exit_code == 0, result.errors
        scores.append(json.loads((tmp_path / f"scores-{len(scores)}" / "scores.json").read_text())["scores"])
    assert scores[0]["mean_iou"] == pytest.approx(scores[1]["mean_iou"], abs=1e-3)
    image = data / "images" / "val" / "0.png"
    result = scenescope("predict", image, "--model", file, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.errors
    assert (tmp_path / "out" / "0_overlay.png").is_file()
    result = scenescope("attend", image, "--model", file, "--point", "3,4", "--output", tmp_path / "looked")
    assert result.exit_code == 2
    assert "name the model directory that it was made of" in result.errors


def test_8_bits_are_scored_before_and_after(scenescope, model, data, tmp_path, monkeypatch, exported_once):
    monkeypatch.setattr(export, "export_onnx", lambda *_: exported_once)
    seen = []
    chosen = export.calibration_images
    monkeypatch.setattr(export, "calibration_images", lambda *given: seen.append(given[2]) or chosen(*given))
    result = scenescope("export", model, tmp_path / "int8.onnx", "--int8", "--data", f"folder:{data}", "--images", 3)
    assert result.exit_code == 0, result.errors
    told = re.search(r"val, 3 images: (0\.\d{4}) in float32, (0\.\d{4}) in int8", result.output)
    assert told is not None, result.output
    assert float(told[1]) == pytest.approx(float(told[2]), abs=0.05)
    assert seen == [3]
    assert (tmp_path / "int8.onnx").stat().st_size < len(exported_once) / 2


@pytest.mark.parametrize(
    ("output", "options", "told"),
    [
        ("model.pt", [], "does not end in .onnx"),
        ("model.onnx", ["--int8"], "--int8 needs images; add --data KIND:ROOT"),
        ("model.onnx", ["--data", "scenes:"], "--data is for --int8"),
        ("model.onnx", ["--int8", "--data", "nothing"], "does not say what kind of data set it is"),
        ("model.onnx", ["--int8", "--data", "scenes:"], "The model has 2 classes"),
    ],
)
def test_mistakes_are_told_in_a_line(scenescope, model, tmp_path, output, options, told):
    result = scenescope("export", model, tmp_path / output, *options)
    assert result.exit_code == 2
    assert told in result.errors
    assert len(result.errors.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_file_that_does_not_agree_is_not_written(scenescope, model, tmp_path, monkeypatch, exported_once):
    monkeypatch.setattr(export, "export_onnx", lambda *_: exported_once)
    monkeypatch.setattr(export, "MAX_DIFFERENCE", 0.0)
    result = scenescope("export", model, tmp_path / "model.onnx")
    assert result.exit_code == 2
    assert "it was not written" in result.errors
    assert not list(tmp_path.iterdir())
