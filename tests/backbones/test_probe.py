"""Networks of timm that are no dilated ResNets: what they take is found, and what they give has the promised shape."""

import pytest
import torch

from scenescope.backbones.build import create_backbone
from scenescope.errors import ModelError


@pytest.mark.parametrize(
    ("name", "multiple", "only_multiples"),
    [
        ("resnet18", 32, False),
        ("tf_efficientnet_lite0", 32, False),
        ("convnext_atto", 32, True),  # cuts images into patches: 33 pixels are 8 of them as 32 are
        ("hrnet_w18_small", 32, True),  # joins branches of different strides
        ("dla34", 32, True),
        ("densenet121", 32, True),  # has no keyword for the output stride
        ("pvt_v2_b0", 32, False),
        ("mambaout_femto", 32, False),  # channels last
        ("swin_tiny_patch4_window7_224", 32, True),  # channels last, and of one size unless told otherwise
        ("maxvit_pico_rw_256", 256, True),  # windows of 8 positions at stride 32
        ("legacy_xception", 32, False),  # layers without padding
    ],
)
def test_what_a_network_takes_is_found(name: str, multiple: int, only_multiples: bool) -> None:
    backbone = create_backbone(name, output_stride=32)
    assert (backbone.multiple, backbone.only_multiples) == (multiple, only_multiples)
    height, width = multiple, 2 * multiple
    with torch.no_grad():
        features = backbone.eval()(torch.randn(1, 3, height, width))
    assert [tuple(feature.shape) for feature in features] == [
        (1, channels, height // stride, width // stride)
        for channels, stride in zip(backbone.channels, (4, 8, 16, 32), strict=True)
    ]


def test_channels_that_come_last_are_put_where_they_belong() -> None:
    backbone = create_backbone("swin_tiny_patch4_window7_224", output_stride=32).eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        raw, features = backbone.stages(images), backbone(images)
    assert torch.equal(features[0][0, :, 3, 5], raw[0][0, 3, 5])


def test_the_multiple_is_that_of_the_dilated_network() -> None:
    assert create_backbone("resnet18", output_stride=8).multiple == 8


@pytest.mark.parametrize(
    ("name", "output_stride", "told"),
    [
        ("vit_tiny_patch16_224", 16, r"gives one stride only \(16\), as plain vision transformers do"),
        ("swin_tiny_patch4_window7_224", 8, r"strides \[4, 8, 16, 32\], not 8; choose output stride 32"),
        ("hrnet_w18_small", 16, r"strides \[4, 8, 16, 32\], not 16; choose output stride 32"),
        ("selecsls42", 32, r"strides \[8, 16, 32, 64\], not 32; choose another backbone"),
        ("efficientformer_l1", 32, "does not take images of any size"),  # attention of 7 x 7 positions
        ("levit_128s", 16, "cannot give four stages"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused_in_a_line(name: str, output_stride: int, told: str) -> None:
    with pytest.raises(ModelError, match=told) as refusal:
        create_backbone(name, output_stride=output_stride)
    assert "\n" not in str(refusal.value)
