"""A network with less work is the network: every one of the catalog, its norms and scales as after a training."""

import numpy as np
import pytest
import torch
from torch import nn

from scenescope.backbones.build import count_parameters, norm_layers
from scenescope.errors import ModelError
from scenescope.explore.trace import attend
from scenescope.inference import fuse
from scenescope.inference.fuse import optimize_for_inference
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import MODELS, create_model
from scenescope.outputs import SegmentationOutput


def trained(name, backbone="test_resnet", **options):
    """Return a network whose norms and scales are no longer those of the start."""
    torch.manual_seed(0)
    network = create_model(name, num_classes=7, backbone=backbone, output_stride=16, **options)
    for key, parameter in network.named_parameters():
        if key.endswith(("alpha", "beta", "gamma")):
            nn.init.constant_(parameter, 0.5)
        elif parameter.ndim == 1 and key.endswith("weight"):
            nn.init.uniform_(parameter, 0.5, 1)
        elif parameter.ndim == 1:
            nn.init.uniform_(parameter, -0.1, 0.1)
    for key, statistic in network.named_buffers():
        if key.endswith("running_mean"):
            nn.init.normal_(statistic, std=0.1)
        elif key.endswith("running_var"):
            nn.init.uniform_(statistic, 0.5, 1.5)
    return network.eval()


def relative_error(one, other):
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("backbone", ["test_resnet", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("name", MODELS)
def test_every_network_stays_what_it_is(name, backbone):
    network = trained(name, backbone)
    fused = optimize_for_inference(network, torch.float32)
    images = torch.randn(2, 3, 65, 97)
    with torch.inference_mode():
        expected, answer = network(images).logits, fused(images).logits
        assert (answer - expected).abs().max() < 1e-5 * expected.abs().max()
        half = optimize_for_inference(network, torch.bfloat16)(images).logits
    assert 1e-4 < relative_error(half, expected) < 0.02  # bfloat16 keeps 8 bits
    assert half.dtype == torch.float32
    # All norms of convolutions are gone; EncNet has one of codewords.
    assert len(norm_layers(fused)) == (1 if name == "encnet" else 0)
    assert count_parameters(fused) < count_parameters(network)
    assert len(norm_layers(network)) > 1  # the network itself is as it was


def test_a_network_that_magnifies_and_refines_stays_what_it_is():
    network = trained("sanet", "tf_efficientnet_lite0", input_scale=1.5, refinement_channels=8)
    nn.init.normal_(network.refinement.correct.weight, std=0.1)
    images = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        expected = network(images).logits
        answer = optimize_for_inference(network, torch.float32)(images).logits
        half = optimize_for_inference(network, torch.bfloat16)(images).logits
    assert (answer - expected).abs().max() < 1e-5 * expected.abs().max()
    assert 1e-4 < relative_error(half, expected) < 0.02


def test_branches_that_only_training_has_are_gone():
    network = trained("danet", auxiliary_head=True)
    fused = optimize_for_inference(network, torch.float32)
    for branch in ("position_classifier", "channel_classifier"):
        assert count_parameters(getattr(network.head, branch)) > 0
        assert count_parameters(getattr(fused.head, branch)) == 0
    assert count_parameters(fused.auxiliary_head) == 0


def test_attention_can_still_be_looked_into():
    network = trained("danet")
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    expected, answer = (
        attend(each, image).position.maps([(5, 7)])
        for each in (network, optimize_for_inference(network, torch.float32))
    )
    np.testing.assert_allclose(answer, expected, rtol=1e-3, atol=1e-6)


def test_images_are_segmented_as_before():
    network = trained("sanet")
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    classes = Classes.named([f"class {number}" for number in range(7)], None)
    labels = [
        Segmenter(each, classes).predict(image).labels
        for each in (network, *(optimize_for_inference(network, dtype) for dtype in (torch.float32, torch.bfloat16)))
    ]
    assert (labels[0] == labels[1]).mean() > 0.999
    assert (labels[0] == labels[2]).mean() > 0.98


def test_a_norm_of_a_convolution_that_is_used_twice_stays():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, images):
            return SegmentationOutput(self.norm(self.conv(self.conv(images))), {})

    *_, pairs = fuse._traced(Twice().eval(), torch.randn(1, 3, 4, 4))
    assert pairs == {}


def test_a_copy_that_answers_otherwise_is_refused(monkeypatch):
    def fault(conv, norm):
        return nn.utils.fusion.fuse_conv_bn_eval(conv, nn.BatchNorm2d(norm.num_features).eval())

    monkeypatch.setattr(fuse, "fuse_conv_bn_eval", fault)
    with pytest.raises(ModelError, match="This fcn with its norms folded differs from itself by"):
        optimize_for_inference(trained("fcn"), torch.float32)


def test_float16_on_a_processor_is_refused_with_the_reason():
    with pytest.raises(ModelError, match="a CPU computes float16 hundreds of times slower than float32"):
        optimize_for_inference(trained("fcn"), torch.float16)
