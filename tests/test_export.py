"""Exported files: every network, and what ONNX has no form for against torch's own."""

import os

import numpy as np
import pytest
import torch
from torch.nn import functional

from scenescope import export
from scenescope.errors import ModelError
from scenescope.inference.exported import open_exported
from scenescope.inference.predictor import InferenceSettings, predict_labels
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import MODELS, create_model

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

TRIED_EACH_TIME = ("sanet", "dranet", "encnet", "deeplabv3plus")
"""Beside danet, which more tests export: between them they have all that the others are made of."""
MINUTES = pytest.mark.skipif(os.environ.get("RELIABILITY") != "whole", reason="minutes; make reliability does it")

CLASSES = Classes.named(["road", "sky", "tree", "car", "person"], None)


def network(name, **options):
    """Return a small network with random weights, its attention awake."""
    torch.manual_seed(0)
    options = {"backbone": "test_resnet"} | options
    built = create_model(name, num_classes=len(CLASSES), output_stride=16, **options)
    for key, parameter in built.named_parameters():
        if key.endswith(("alpha", "beta", "gamma")):
            torch.nn.init.constant_(parameter, 0.5)
    for key, buffer in built.named_buffers():
        if key.endswith("running_mean"):
            torch.nn.init.normal_(buffer, std=0.1)
    return built.eval()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(pytest.param(name, {}, marks=() if name in TRIED_EACH_TIME else MINUTES) for name in MODELS),
        ("danet", {"input_scale": 1.5, "low_level_channels": 8, "refinement_channels": 4}),
    ],
)
def test_every_network_is_exported_once_for_all_sizes(name, options):
    built = network(name, **options)
    agreements = export.verify(Segmenter(built, CLASSES), export.export_onnx(Segmenter(built, CLASSES)))
    assert {tuple(side % 16 for side in each.size) for each in agreements} >= {(0, 0), (1, 1)}
    assert len({each.size[1] % 16 for each in agreements}) > 8  # all kinds of remainders
    for each in agreements:
        assert each.difference < 1e-5
        assert each.same_labels > 0.999


@pytest.fixture(scope="module")
def exported():
    """Return a network and its file."""
    built = network("danet")
    return built, export.export_onnx(Segmenter(built, CLASSES))


def test_several_images_at_once_and_nothing_else_than_the_network(exported):
    built, content = exported
    images = torch.randn(3, 3, 33, 100)
    with torch.inference_mode():
        answer = open_exported(content, "file")(images).logits
        torch.testing.assert_close(answer, built(images).logits, rtol=1e-4, atol=1e-5)


def test_the_matrix_of_all_positions_is_not_in_the_file(exported):
    import onnx

    _, content = exported
    softmaxes = [node for node in onnx.load_from_string(content).graph.node if node.op_type == "Softmax"]
    assert len(softmaxes) == export.BLOCKS + 1  # one for each block of positions, one for the channels


def test_a_wrong_file_does_not_agree(exported):
    built, content = exported
    other = network("danet")
    torch.nn.init.constant_(other.head.position.alpha, -0.5)
    assert max(each.difference for each in export.verify(Segmenter(built, CLASSES), content)) < 1e-5
    assert min(each.difference for each in export.verify(Segmenter(other, CLASSES), content)) > 1e-3


def test_exporting_leaves_the_network_as_it_was():
    built = network("fcn").train()
    before = {key: value.clone() for key, value in built.state_dict().items()}
    export.export_onnx(Segmenter(built, CLASSES))
    assert all(module.training for module in built.modules())
    assert all(torch.equal(value, before[key]) for key, value in built.state_dict().items())


@pytest.mark.parametrize("positions", [1, 15, 16, 17, 100])
def test_blocks_of_any_number_of_positions_are_the_plain_form(positions):
    query, key, value = (torch.randn(2, width, positions, dtype=torch.float64) for width in (3, 3, 5))
    weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
    torch.testing.assert_close(
        export.EXPORT_DECOMPOSITIONS[export.OPERATOR.default](query, key, value, 0), value @ weights.mT
    )


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (6, 6), (13, 4), (12, 30)])
@pytest.mark.parametrize("grid", [1, 2, 3, 6])
def test_pooling_as_products_is_pooling(size, grid):
    features = torch.randn(2, 3, *size, dtype=torch.float64)
    pooled = export.EXPORT_DECOMPOSITIONS[torch.ops.aten._adaptive_avg_pool2d.default](features, [grid, grid])
    torch.testing.assert_close(pooled, functional.adaptive_avg_pool2d(features, grid))


@pytest.mark.parametrize(
    "options",
    [
        {"name": "fcn", "backbone": "tf_efficientnet_lite0"},
        {"name": "fcn", "backbone": "tf_efficientnet_lite0", "input_scale": 1.5, "remainder": (8, 3)},
        {"name": "sanet"},
    ],
)
def test_the_exported_form_is_the_network_at_any_size(options):
    """With padding by size, of sides that leave other remainders than 0, and smaller than a square that is pooled."""
    built = network(**options)
    form = export.ExportWrapper(built)
    for size in ((64, 96), (65, 97), (33, 141), (40, 200), (1, 1)):
        images = torch.randn(1, 3, *size)
        with torch.inference_mode():
            torch.testing.assert_close(form(images), built(images).logits, rtol=1e-3, atol=1e-4)


def test_a_backbone_that_pads_by_size_is_exported_with_fixed_padding():
    built = network("fcn", backbone="tf_efficientnet_lite0", input_scale=1.5, remainder=(8, 0))
    agreements = export.verify(Segmenter(built, CLASSES), export.export_onnx(Segmenter(built, CLASSES)))
    assert max(each.difference for each in agreements) < 1e-4


def test_a_file_does_not_stretch_what_it_has_drawn(exported):
    built, content = exported
    file, settings = open_exported(content, "file"), InferenceSettings(stretch=True)
    images = torch.zeros(1, 3, 40, 50, dtype=torch.uint8)
    assert predict_labels(built, images, settings).shape == (1, 40, 50)
    with pytest.raises(ModelError, match=r"draws its cells where they look.*name the model directory"):
        predict_labels(file, images, settings)


def test_8_bits_keep_what_images_show(exported):
    built, content = exported
    images = [torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(number)) for number in range(4)]
    quantized = export.quantize(content, images)
    assert len(quantized) < len(content) / 2
    loaded = open_exported(quantized, "file")
    assert loaded.classes == CLASSES
    with torch.inference_mode():
        expected, answer = built(images[0]).logits, loaded(images[0]).logits
    error = (answer - expected).norm() / expected.norm()
    assert 1e-4 < error < 0.1  # 0: nothing was quantized
    assert np.corrcoef(answer.flatten(), expected.flatten())[0, 1] > 0.99
