"""The views of DeepLab's pyramid, by positions and by their own convolutions."""

import pytest
import torch
from torch import Tensor

from scenescope.models.aspp import AtrousPyramid
from scenescope.models.options import DeepLabV3Options


def slow_dilated_convolution(weight: Tensor, features: Tensor, rate: int) -> Tensor:
    """A 3 x 3 convolution of one image, C x h x w, by loops: positions outside the image count nothing."""
    height, width = features.shape[1:]
    result = torch.zeros(len(weight), height, width)
    for y in range(height):
        for x in range(width):
            for row in range(3):
                for column in range(3):
                    v, u = y + rate * (row - 1), x + rate * (column - 1)
                    if 0 <= v < height and 0 <= u < width:
                        result[:, y, x] += weight[:, :, row, column] @ features[:, v, u]
    return result


@pytest.mark.parametrize(("output_stride", "rates"), [(8, (12, 24, 36)), (16, (6, 12, 18))])
def test_a_view_reaches_as_far_as_its_rate(output_stride: int, rates: tuple[int, ...]) -> None:
    """A single bright position is seen from the eight places one rate away, and from itself."""
    pyramid = AtrousPyramid(1, DeepLabV3Options(output_stride=output_stride)).eval()
    features = torch.zeros(1, 1, 81, 81)
    features[..., 40, 40] = 1.0
    for view, rate in zip(list(pyramid.branches)[1:], rates, strict=True):
        seen = view[0](features)[0].abs().sum(0).nonzero().tolist()
        assert seen == [[40 + rate * row, 40 + rate * column] for row in (-1, 0, 1) for column in (-1, 0, 1)]


def test_the_fifth_view_is_the_same_everywhere() -> None:
    torch.manual_seed(0)
    pyramid = AtrousPyramid(4, DeepLabV3Options(output_stride=8)).eval()
    joined: list[torch.Tensor] = []
    pyramid.project.register_forward_pre_hook(lambda module, inputs: joined.append(inputs[0]))
    features = torch.randn(1, 4, 5, 7)
    pyramid(features)
    mean = sum(features[..., row, column] for row in range(5) for column in range(7)) / 35
    expected = pyramid.image_pool(mean[..., None, None]).expand(1, 256, 5, 7)
    torch.testing.assert_close(joined[0][:, 4 * 256 :], expected)


def test_what_is_projected_are_the_five_views_side_by_side() -> None:
    torch.manual_seed(0)
    pyramid = AtrousPyramid(3, DeepLabV3Options(output_stride=16)).eval().requires_grad_(False)
    joined: list[Tensor] = []
    pyramid.project.register_forward_pre_hook(lambda module, inputs: joined.append(inputs[0]))
    features = torch.randn(1, 3, 9, 14)
    pyramid(features)
    first = torch.einsum("oi,ihw->ohw", pyramid.branches[0][0].weight[..., 0, 0], features[0])
    convolved = [
        first,
        *(slow_dilated_convolution(pyramid.branches[i][0].weight, features[0], 6 * i) for i in (1, 2, 3)),
    ]
    for number, (view, each) in enumerate(zip(pyramid.branches, convolved, strict=True)):
        expected = view[1](each[None]).clamp(min=0)
        torch.testing.assert_close(joined[0][:, 256 * number : 256 * (number + 1)], expected)


def test_a_separable_view_is_a_convolution_within_channels_and_one_across_them() -> None:
    torch.manual_seed(0)
    pyramid = AtrousPyramid(2, DeepLabV3Options(output_stride=16), separable=True).eval().requires_grad_(False)
    within, across = pyramid.branches[1]
    features = torch.randn(1, 2, 8, 9)
    channels = [slow_dilated_convolution(within[0].weight[c : c + 1], features[0, c : c + 1], 6) for c in (0, 1)]
    middle = within[1](torch.cat(channels)[None]).clamp(min=0)
    mixed = torch.einsum("oi,bihw->bohw", across[0].weight[..., 0, 0], middle)
    torch.testing.assert_close(pyramid.branches[1](features), across[1](mixed).clamp(min=0))


def test_one_image_pooled_to_one_position_cannot_be_normalized_in_training() -> None:
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        AtrousPyramid(4, DeepLabV3Options(output_stride=8)).train()(torch.randn(1, 4, 5, 5))
