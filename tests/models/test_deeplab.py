"""What V3+ adds to V3, and its two kinds of convolutions."""

import torch

from scenescope.backbones.build import count_parameters
from scenescope.models.catalog import create_model


def test_v3plus_answers_at_the_size_of_stage_1() -> None:
    images = torch.randn(1, 3, 64, 96)
    plain, plus = (
        create_model(name, num_classes=3, backbone="resnet18").eval() for name in ("deeplabv3", "deeplabv3plus")
    )
    assert plain.low_resolution(images).logits.shape == (1, 3, 8, 12)
    assert plus.low_resolution(images).logits.shape == (1, 3, 16, 24)
    stages = plus.backbone(images)
    changed = [stages[0] + 1, *stages[1:]]
    assert not torch.allclose(plus.head(stages).logits, plus.head(changed).logits)


def test_separable_parameters_by_hand() -> None:
    """A plain 3 x 3 has C * 256 * 9 weights; a separable one C * 9 and C * 256, and a norm of C more."""
    with torch.device("meta"):
        plain, separable = (
            create_model("deeplabv3plus", num_classes=21, backbone="resnet101s.gluon_in1k", separable=separable)
            for separable in (False, True)
        )
    saved = sum(width * 256 * 9 - width * (9 + 256 + 2) for width in (2048, 2048, 2048, 304, 256))
    assert count_parameters(plain) - count_parameters(separable) == saved


def test_separable_convolutions_are_those_of_3_x_3_only() -> None:
    network = create_model("deeplabv3plus", num_classes=3, backbone="resnet18", separable=True)
    convolutions = [layer for layer in network.head.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert all((layer.groups > 1) == (layer.kernel_size == (3, 3)) for layer in convolutions)
    assert [layer.dilation[0] for layer in convolutions if layer.groups > 1] == [12, 24, 36, 1, 1]
