import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.inference.segmenter import Segmenter
from tests.checkpoints import peers


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Return a file of mmsegmentation's FCN with ResNet-18."""
    weights, image = peers.Weights(), torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        peers.mmseg(peers.mmseg_fcn, weights, image, 19)
    path = tmp_path_factory.mktemp("peer") / "iter_40000.pth"
    torch.save({"meta": {"iter": 40000}, "state_dict": weights.state, "optimizer": {"lr": 0.1}}, path)
    return path


def test_a_converted_checkpoint_predicts(scenescope, checkpoint, tmp_path):
    model = tmp_path / "model"
    result = scenescope("convert", checkpoint, model, "--set", "output_stride=32", "--set", "align_corners=true")
    assert result.exit_code == 0, result.errors
    told = {line[:10].strip(): line[10:] for line in result.output.splitlines()}
    assert told["source"] == "FCN of mmsegmentation"
    assert told["network"].startswith("fcn, backbone resnet18, ")
    assert told["classes"] == "19, named as in cityscapes, which has as many"
    assert told["assumed"] == "multi_grid=null (preset mmseg; the file does not tell: --preset, --set)"
    assert told["left out"] == "meta, optimizer"
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "photo.png")
    result = scenescope("predict", tmp_path / "photo.png", "--model", model, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.errors
    assert Segmenter.load(model, "cpu").network.config["align_corners"] is True


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "output_stride"], "--set 'output_stride' is not an option; write KEY=VALUE"),
        (["--set", "output_stride=[1"], "--set output_stride"),
        (["--preset", "official"], "fcn has no preset 'official'; known: mmseg"),
        (["--classes", "voc2012", "--set", "output_stride=32"], "has 19 classes, and voc2012 21"),
        (["--classes", "no.yaml", "--set", "output_stride=32"], "no.yaml"),
    ],
)
def test_mistakes_are_told_in_a_line_and_leave_nothing(scenescope, checkpoint, tmp_path, arguments, told):
    result = scenescope("convert", checkpoint, tmp_path / "model", *arguments)
    assert result.exit_code == 2
    assert told in result.errors
    assert len(result.errors.splitlines()) == 1
    assert not list(tmp_path.iterdir())
