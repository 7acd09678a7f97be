"""The views of DeepLab's pyramid by positions, and what V3+ adds."""

import pytest
import torch

from scenescope.models.catalog import create_model
from scenescope.models.deeplab import AtrousPyramid


@pytest.mark.parametrize(("output_stride", "rates"), [(8, (12, 24, 36)), (16, (6, 12, 18))])
def test_a_view_reaches_as_far_as_its_rate(output_stride: int, rates: tuple[int, ...]) -> None:
    """A single bright position is seen from the eight places one rate away, and from itself."""
    pyramid = AtrousPyramid(1, output_stride, align_corners=True).eval()
    features = torch.zeros(1, 1, 81, 81)
    features[..., 40, 40] = 1.0
    for view, rate in zip(list(pyramid.views)[1:], rates, strict=True):
        seen = view[0](features)[0].abs().sum(0).nonzero().tolist()
        assert seen == [[40 + rate * row, 40 + rate * column] for row in (-1, 0, 1) for column in (-1, 0, 1)]


def test_the_fifth_view_is_the_same_everywhere() -> None:
    torch.manual_seed(0)
    pyramid = AtrousPyramid(4, 8, align_corners=True).eval()
    joined: list[torch.Tensor] = []
    pyramid.project.register_forward_pre_hook(lambda module, inputs: joined.append(inputs[0]))
    features = torch.randn(1, 4, 5, 7)
    pyramid(features)
    mean = sum(features[..., row, column] for row in range(5) for column in range(7)) / 35
    expected = pyramid.picture(mean[..., None, None]).expand(1, 256, 5, 7)
    torch.testing.assert_close(joined[0][:, 4 * 256 :], expected)


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
