"""Dilation of every block as the official code has it; pretrained weights or a clear error."""

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from scenescope.backbones.build import count_parameters, create_backbone
from scenescope.backbones.lite import lite_weights_installed, load_lite_state
from scenescope.errors import ModelError


def dilations(backbone: nn.Module, stage: int) -> list[int]:
    blocks = getattr(backbone.stages, f"layer{stage}")
    return [block.conv2.dilation[0] for block in blocks]


def test_dilation_at_output_stride_8() -> None:
    backbone = create_backbone("resnet50", output_stride=8)
    assert dilations(backbone, 2) == [1] * 4
    assert dilations(backbone, 3) == [1, 2, 2, 2, 2, 2]
    assert dilations(backbone, 4) == [2, 4, 4]
    assert backbone.strides == (4, 8, 8, 8)
    assert backbone.channels == (256, 512, 1024, 2048)


def test_multi_grid_replaces_the_last_stage() -> None:
    backbone = create_backbone("resnet50", output_stride=8, multi_grid=(4, 8, 16))
    assert dilations(backbone, 3) == [1, 2, 2, 2, 2, 2]
    assert dilations(backbone, 4) == [4, 8, 16]
    assert backbone(torch.randn(1, 3, 64, 96))[-1].shape == (1, 2048, 8, 12)
    small = create_backbone("resnet18", output_stride=16, multi_grid=(2, 4))
    assert [block.conv1.dilation[0] for block in small.stages.layer4] == [2, 4]
    assert small(torch.randn(1, 3, 64, 96))[-1].shape == (1, 512, 4, 6)


@pytest.mark.parametrize("rates", [(0,), ()])
def test_multi_grid_refuses_impossible_rates(rates: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="whole numbers of at least 1"):
        create_backbone("resnet18", multi_grid=rates)


def test_multi_grid_is_for_resnets() -> None:
    with pytest.raises(ModelError, match="Multi-grid is defined for ResNets; 'tf_efficientnet_lite0' is none"):
        create_backbone("tf_efficientnet_lite0", multi_grid=(4, 8, 16))


@pytest.mark.parametrize(
    ("name", "parameters", "stem_width"),
    [
        ("resnet50", 23_508_032, 64),
        ("resnet50c.gluon_in1k", 23_527_264, 64),
        ("resnet50s.gluon_in1k", 23_631_808, 128),
        ("resnet101", 42_500_160, 64),
        ("resnet101s.gluon_in1k", 42_623_936, 128),
    ],
)
def test_stems(name: str, parameters: int, stem_width: int) -> None:
    with torch.device("meta"):
        backbone = create_backbone(name)
    assert count_parameters(backbone) == parameters
    assert backbone.stages.layer1[0].conv1.in_channels == stem_width


@pytest.mark.parametrize("name", ["resnet34", "resnet50d", "resnet101d", *(f"efficientnet_b{n}" for n in range(8))])
def test_further_backbones_give_four_stages(name: str) -> None:
    with torch.device("meta"):
        backbone = create_backbone(name, output_stride=16)
        stages = backbone(torch.empty(1, 3, 64, 64))
    assert [stage.shape[1] for stage in stages] == list(backbone.channels)
    assert [64 // stage.shape[2] for stage in stages] == list(backbone.strides) == [4, 8, 16, 16]


def test_missing_download_names_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def no_network(*args: object, pretrained: bool, **kwargs: object) -> nn.Module:
        if pretrained:
            raise ConnectionError("no route to the hub\nwith a second line")
        return create(*args, pretrained=pretrained, **kwargs)

    monkeypatch.setattr(timm, "create_model", no_network)
    with pytest.raises(ModelError) as refusal:
        create_backbone("resnet50", pretrained=True)
    message = str(refusal.value)
    assert "\n" not in message
    for way_out in (
        "resnet50",
        "no route to the hub",
        "scenescope[lite]",
        "train.init_from",
        "model.pretrained=false",
    ):
        assert way_out in message


def test_a_network_without_published_weights_is_never_silently_random() -> None:
    with pytest.raises(ModelError, match="ImageNet weights of 'resnetblur18' could not be downloaded"):
        create_backbone("resnetblur18", pretrained=True)


def lite0_of_timm(in_channels: int, folder: Path) -> torch.Tensor:
    """The first layer as timm itself makes it of the ImageNet weights."""
    torch.save(load_lite_state("tf_efficientnet_lite0"), folder / "weights.pth")
    whole = timm.create_model(
        "tf_efficientnet_lite0",
        pretrained=True,
        in_chans=in_channels,
        pretrained_cfg_overlay={"file": str(folder / "weights.pth")},
    )
    weight: torch.Tensor = whole.conv_stem.weight
    return weight


@pytest.mark.skipif(not lite_weights_installed("tf_efficientnet_lite0"), reason="needs the extra lite")
@pytest.mark.parametrize("in_channels", [1, 2, 3, 4, 7])
def test_the_first_layer_for_any_bands_is_timms(in_channels: int, tmp_path: Path) -> None:
    colors = create_backbone("tf_efficientnet_lite0", output_stride=32, pretrained=True)
    backbone = create_backbone("tf_efficientnet_lite0", output_stride=32, pretrained=True, in_channels=in_channels)
    ours, of_colors = backbone.stages.conv_stem.weight, colors.stages.conv_stem.weight
    torch.testing.assert_close(ours, lite0_of_timm(in_channels, tmp_path), rtol=0, atol=0)
    if in_channels == 1:
        by_hand = of_colors.sum(dim=1, keepdim=True)
    else:
        by_hand = torch.stack([of_colors[:, band % 3] for band in range(in_channels)], dim=1) * 3 / in_channels
    torch.testing.assert_close(ours, by_hand)
    assert len(backbone.mean) == len(backbone.std) == in_channels
    assert backbone(torch.randn(1, in_channels, 32, 64))[-1].shape == (1, 320, 1, 2)


def test_mean_and_deviation_repeat_as_the_weights_do() -> None:
    red, green, blue = create_backbone("resnet18").mean
    assert create_backbone("resnet18", in_channels=5).mean == (red, green, blue, red, green)
    assert create_backbone("resnet18", in_channels=1).mean == (pytest.approx((red + green + blue) / 3),)
