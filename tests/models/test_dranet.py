"""DRANet's parameter counts from the layers of the released code, its decoder by positions, and what it needs."""

import math

import pytest
import torch

from scenescope.backbones.build import count_parameters
from scenescope.errors import ModelError
from scenescope.models.catalog import create_model
from scenescope.models.dranet import GatedDecoder


def test_parameters_at_19_classes() -> None:
    with torch.device("meta"):
        network = create_model("dranet", backbone="resnet101s.gluon_in1k", multi_grid=(4, 8, 16), num_classes=19)
    assert count_parameters(network) == 73_741_962
    assert count_parameters(network.head) == 28_753_335
    assert count_parameters(network.auxiliary_head) == 2_364_691  # type: ignore[arg-type]


def test_widths_of_the_released_code() -> None:
    with torch.device("meta"):
        head = create_model("dranet", backbone="resnet50", num_classes=19).head
    position, channel = head.compact_position[1], head.compact_channel[1]
    assert (position.query.out_channels, position.value.out_features) == (128, 512)
    assert channel.centers[0].out_channels == 32
    assert (head.decoder.low[0].out_channels, head.decoder.conv[0][0].in_channels) == (32, 288)


def slow_resize(features: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bilinear resizing of one image by a loop over positions; corners lie on corners."""
    rows, columns = features.shape[1:]
    result = torch.zeros(len(features), height, width)
    for y in range(height):
        for x in range(width):
            v, u = y * (rows - 1) / (height - 1), x * (columns - 1) / (width - 1)
            for row in {math.floor(v), math.ceil(v)}:
                for column in {math.floor(u), math.ceil(u)}:
                    result[:, y, x] += (1 - abs(v - row)) * (1 - abs(u - column)) * features[:, row, column]
    return result


def test_decoder_by_its_equations() -> None:
    torch.manual_seed(0)
    decoder = GatedDecoder(16, 6, align_corners=True).eval().requires_grad_(False)
    torch.nn.init.constant_(decoder.gamma, 0.4)
    stage1, high = torch.randn(1, 16, 6, 9), torch.randn(1, 6, 3, 5)
    low = decoder.low(stage1)[0]
    large = slow_resize(high[0], 6, 9)
    gated = torch.zeros_like(low)
    for y in range(6):
        for x in range(9):
            seen = torch.cat([low[:, y, x], large[:, y, x]])
            gate = 1 / (1 + math.exp(-float(decoder.gate.weight[0, :, 0, 0] @ seen + decoder.gate.bias)))
            gated[:, y, x] = 0.4 * gate * low[:, y, x]
    expected = decoder.conv(torch.cat([gated, large])[None])
    torch.testing.assert_close(decoder(stage1, high), expected, rtol=1e-4, atol=1e-5)


def test_gamma_starts_at_one_and_at_zero_shuts_stage_1_out() -> None:
    decoder = GatedDecoder(16, 6, align_corners=True).eval()
    assert decoder.gamma == 1
    high = torch.randn(1, 6, 3, 5)
    first, second = torch.randn(2, 1, 16, 6, 9)
    assert not torch.allclose(decoder(first, high), decoder(second, high))
    torch.nn.init.zeros_(decoder.gamma)
    torch.testing.assert_close(decoder(first, high), decoder(second, high))


def test_answers_at_the_size_of_stage_1_and_sees_both_branches() -> None:
    torch.manual_seed(0)
    network = create_model("dranet", num_classes=3, backbone="resnet18").eval()
    images = torch.randn(1, 3, 64, 96)
    asleep = network.low_resolution(images).logits
    assert asleep.shape == (1, 3, 16, 24)
    torch.nn.init.constant_(network.head.compact_position[1].alpha, 5.0)
    awake_position = network.low_resolution(images).logits
    torch.nn.init.constant_(network.head.compact_channel[1].beta, 5.0)
    assert not torch.allclose(asleep, awake_position, atol=1e-4)
    assert not torch.allclose(network.low_resolution(images).logits, awake_position, atol=1e-4)


def test_the_auxiliary_head_weighs_a_fifth_and_can_be_left_out() -> None:
    assert create_model("dranet", num_classes=3, backbone="resnet18").loss_weights == {"stage3": 0.2}
    alone = create_model("dranet", num_classes=3, backbone="resnet18", auxiliary_head=False)
    assert alone(torch.randn(2, 3, 64, 64)).auxiliary == alone.loss_weights == {}


def test_refusals() -> None:
    with pytest.raises(ModelError, match=r"dranet: auxilary_head is not a setting. Did you mean 'auxiliary_head'"):
        create_model("dranet", num_classes=3, backbone="resnet18", auxilary_head=False)
