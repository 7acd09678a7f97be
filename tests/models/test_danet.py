"""DANet's parameter counts from the layers of the paper and code, its switches, and its outputs."""

from typing import Any

import pytest
import torch

from scenescope.backbones.build import count_parameters
from scenescope.errors import ModelError
from scenescope.models.catalog import create_model
from scenescope.models.danet import DANetHead
from scenescope.models.options import DANetOptions

HEAD_PARAMETERS = {19: 23_954_619, 21: 23_957_697, 59: 24_016_179, 60: 24_017_718, 150: 24_156_228, 171: 24_188_547}


@pytest.mark.parametrize("num_classes", HEAD_PARAMETERS)
def test_head_parameters(num_classes: int) -> None:
    with torch.device("meta"):
        head = DANetHead([256, 512, 1024, 2048], num_classes, DANetOptions())
    assert count_parameters(head) == HEAD_PARAMETERS[num_classes]


@pytest.mark.parametrize(
    ("backbone", "parameters"),
    [
        ("resnet50", 47_462_651),
        ("resnet50c.gluon_in1k", 47_481_883),
        ("resnet101", 66_454_779),
        ("resnet101c.gluon_in1k", 66_474_011),
        ("resnet101s.gluon_in1k", 66_578_555),
    ],
)
def test_parameters_at_19_classes(backbone: str, parameters: int) -> None:
    with torch.device("meta"):
        network = create_model("danet", backbone=backbone, num_classes=19)
    assert count_parameters(network) == parameters


def test_parameters_with_the_auxiliary_head_of_mmsegmentation() -> None:
    with torch.device("meta"):
        network = create_model("danet", backbone="resnet50c.gluon_in1k", num_classes=19, auxiliary_head=True)
    assert count_parameters(network) == 49_846_574


@pytest.mark.parametrize(
    ("preset", "parameters", "stage4", "align_corners", "form"),
    [
        ("official", 66_578_555, [4, 8, 16], True, "official"),
        ("official-2018", 66_454_779, [4, 8, 16], True, "official"),
        ("mmseg", 68_838_702, [2, 4, 4], False, "official"),
        ("paper", 66_454_779, [4, 8, 16], True, "paper"),
    ],
)
def test_presets(preset: str, parameters: int, stage4: list[int], align_corners: bool, form: str) -> None:
    with torch.device("meta"):
        network = create_model("danet", preset=preset, num_classes=19)
    assert count_parameters(network) == parameters
    assert [block.conv2.dilation[0] for block in network.backbone.stages.layer4] == stage4
    assert (network.align_corners, network.head.channel.form) == (align_corners, form)


def test_single_options_replace_those_of_a_preset() -> None:
    with torch.device("meta"):
        network = create_model("danet", preset="mmseg", num_classes=19, backbone="resnet50c.gluon_in1k")
        assert create_model(**network.config).config == network.config
    assert count_parameters(network) == 49_846_574
    with pytest.raises(ModelError, match=r"danet has no preset 'mmsegm'. Did you mean 'mmseg'"):
        create_model("danet", preset="mmsegm", num_classes=19)
    with pytest.raises(ModelError, match=r"encnet has no preset 'official'. It has none"):
        create_model("encnet", preset="official", num_classes=19)


def test_inner_widths_are_a_quarter_and_an_eighth_of_that() -> None:
    head = create_model("danet", backbone="resnet18", num_classes=3).head
    assert head.position.value.out_channels == 512 // 4
    assert head.position.query.out_channels == 512 // 4 // 8


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0"])
def test_output_stride_and_sizes(backbone: str, output_stride: int) -> None:
    network = create_model("danet", backbone=backbone, num_classes=3, output_stride=output_stride).eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        assert network.low_resolution(images).logits.shape == (1, 3, 64 // output_stride, 96 // output_stride)
        assert network(torch.randn(1, 3, 65, 97)).logits.shape == (1, 3, 65, 97)


def test_a_crop_of_768_gives_96_by_96() -> None:
    with torch.device("meta"):
        network = create_model("danet", backbone="resnet50", num_classes=19)
        assert network.backbone(torch.empty(1, 3, 768, 768))[-1].shape == (1, 2048, 96, 96)


def test_auxiliary_outputs_exist_in_training_only() -> None:
    network = create_model("danet", backbone="resnet18", num_classes=3, auxiliary_head=True)
    images = torch.randn(2, 3, 64, 64)
    output = network(images)
    assert list(output.auxiliary) == ["position", "channel", "stage3"]
    assert all(logits.shape == (2, 3, 64, 64) for logits in (output.logits, *output.auxiliary.values()))
    assert network.loss_weights == {"position": 1.0, "channel": 1.0, "stage3": 0.4}
    assert network.eval()(images).auxiliary == {}


@pytest.mark.parametrize(
    ("switches", "branches"),
    [
        ({"channel": False}, ["position"]),
        ({"position": False}, ["channel"]),
        ({"position": False, "channel": False}, ["plain"]),
        ({}, ["position", "channel"]),
    ],
)
def test_switches(switches: dict[str, Any], branches: list[str]) -> None:
    network = create_model("danet", backbone="resnet18", num_classes=3, **switches)
    outputs, rows = network.head.branches(torch.randn(2, 512, 4, 4))
    assert len(rows) == ("position" in branches)
    assert network.eval().head.branches(torch.randn(2, 512, 4, 4))[1] == ()
    network.train()
    assert list(outputs) == branches
    auxiliary = branches if len(branches) == 2 else []
    assert list(network(torch.randn(2, 3, 32, 32)).auxiliary) == list(network.loss_weights) == auxiliary
    torch.testing.assert_close(
        network.head.eval()([torch.ones(1, 512, 2, 2)]).logits,
        network.head.classifier(sum(network.head.branches(torch.ones(1, 512, 2, 2))[0].values())),
    )


def test_attention_changes_the_answer_once_awake() -> None:
    network = create_model("danet", backbone="resnet18", num_classes=3).eval()
    images = torch.randn(1, 3, 64, 64)
    asleep = network(images).logits
    torch.nn.init.constant_(network.head.position.alpha, 5.0)
    awake_position = network(images).logits
    torch.nn.init.constant_(network.head.channel.beta, 5.0)
    assert not torch.allclose(asleep, awake_position, atol=1e-3)
    assert not torch.allclose(network(images).logits, awake_position, atol=1e-3)


def test_low_level_features_answer_at_stage_1_and_leave_the_branches_as_they_are() -> None:
    plain = create_model("danet", backbone="resnet18", num_classes=3, output_stride=16)
    skipping = create_model("danet", backbone="resnet18", num_classes=3, output_stride=16, low_level_channels=12)
    more = 64 * 12 + 2 * 12 + (128 + 12) * 9 + 2 * (128 + 12) + (128 + 12) * 128 + 2 * 128
    assert count_parameters(skipping) - count_parameters(plain) == more
    images = torch.randn(2, 3, 64, 96)
    assert skipping.eval().low_resolution(images).logits.shape == (2, 3, 16, 24)
    assert set(skipping.train()(images).auxiliary) == {"position", "channel"}
    with pytest.raises(ModelError, match=r"low_level_channels is -1, but it should be greater"):
        create_model("danet", backbone="resnet18", num_classes=3, low_level_channels=-1)
