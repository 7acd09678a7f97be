"""What a GPU answers against what the CPU answers, the fused form, and the export of a network on a GPU."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from scenescope.device import exact_float32
from scenescope.evaluation.evaluator import evaluate
from scenescope.inference.segmenter import Segmenter
from scenescope.models.catalog import create_model
from scenescope.models.network import SegmentationNetwork
from tests.gpu.conftest import DEVICE, measured
from tests.training.tiny import Few


@pytest.fixture(scope="module", params=["danet", "sanet"])
def network(request: pytest.FixtureRequest) -> SegmentationNetwork:
    """A network whose attention does something, on the CPU."""
    torch.manual_seed(0)
    built = create_model(request.param, num_classes=8, backbone="resnet10t", pretrained=False, output_stride=16)
    for name, parameter in built.named_parameters():
        if name.endswith((".alpha", ".beta")):
            torch.nn.init.constant_(parameter, 0.5)
    return built.eval()


def there(network: SegmentationNetwork) -> SegmentationNetwork:
    return copy.deepcopy(network).to(DEVICE)


def test_logits_are_those_of_the_cpu(network: SegmentationNetwork, table) -> None:  # type: ignore[no-untyped-def]
    images = torch.randint(256, (1, 3, 96, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    moved = there(network)
    with exact_float32(), torch.inference_mode():
        expected = network(network.prepare(images)).logits
        given = images.to(DEVICE)
        answer = moved(moved.prepare(given)).logits
        seconds, peak = measured(lambda: moved(moved.prepare(given)))
    difference = float((answer.cpu() - expected).abs().max() / expected.abs().max())
    assert difference < 1e-4
    table(f"{network.config['name']} of 96 x 160, float32", seconds, peak, difference)


def test_labels_and_scores_are_those_of_the_cpu(network: SegmentationNetwork) -> None:
    scenes, moved = Few("", "val"), there(network)
    with exact_float32():
        matrices = [evaluate(network, scenes).counts(), evaluate(moved, scenes).counts()]
        images = [scenes[index].image for index in range(3)]
        here = [Segmenter(network, scenes.classes).predict(image).labels for image in images]
        over_there = [Segmenter(moved, scenes.classes).predict(image).labels for image in images]
    assert matrices[0].sum() == matrices[1].sum()
    assert np.abs(matrices[0] - matrices[1]).sum() <= 2e-3 * matrices[0].sum()  # of two nearly equal classes either
    for one, other in zip(here, over_there, strict=True):
        assert (one == other).mean() > 0.999


def test_the_fused_form_is_accepted_though_convolutions_have_ten_bits(network: SegmentationNetwork) -> None:
    from scenescope.inference.fuse import optimize_for_inference

    assert torch.backends.cudnn.allow_tf32  # torch's default, with which nothing equals itself to 1e-5
    fused = optimize_for_inference(there(network), torch.float32)
    assert next(fused.parameters()).device.type == DEVICE.type


def test_a_network_on_a_gpu_is_exported_and_stays_there(network: SegmentationNetwork) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from scenescope.export import export_onnx, verify

    moved = there(network)
    segmenter = Segmenter(moved, Few.classes)
    assert all(agreement.difference < 1e-4 for agreement in verify(segmenter, export_onnx(segmenter)))
    assert {parameter.device.type for parameter in moved.parameters()} == {DEVICE.type}
