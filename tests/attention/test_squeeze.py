"""Squeeze-and-attention against a slow loop written from equations 4 and 5."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from scenescope import cells
from scenescope.attention import squeeze
from scenescope.attention.options import SqueezeOptions
from scenescope.attention.squeeze import VARIANTS, SqueezeAttention
from scenescope.backbones.build import count_parameters
from scenescope.errors import ModelError


def prepared(channels: int, **options: Any) -> SqueezeAttention:
    """A module in eval mode whose norms do something."""
    torch.manual_seed(0)
    module = SqueezeAttention(channels, SqueezeOptions(**options))
    for norm in (layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    return module.eval()


def slow_squeeze_attention(module: SqueezeAttention, features: torch.Tensor) -> torch.Tensor:
    """Equation 4 for one image, C x h x w: pooling and bilinear resizing by loops over positions."""
    height, width = features.shape[1:]
    rows, columns = max(height // 8, 1), max(width // 8, 1)
    square_height, square_width = min(8, height), min(8, width)
    pooled = torch.zeros(len(features), rows, columns)
    for row in range(rows):
        for column in range(columns):
            top, left = row * square_height, column * square_width
            pooled[:, row, column] = features[:, top : top + square_height, left : left + square_width].mean((1, 2))
    small = module.attention(pooled[None])[0].clamp(min=0)
    main = module.main(features[None])[0]
    result = torch.zeros_like(main)
    for y in range(height):
        for x in range(width):
            if module.upsampling == "stretched":  # corners lie on corners
                v, u = (y * (rows - 1) / max(height - 1, 1), x * (columns - 1) / max(width - 1, 1))
            else:  # the center of a square is where it lies
                v = min(max((y + 0.5) / square_height - 0.5, 0), rows - 1)
                u = min(max((x + 0.5) / square_width - 0.5, 0), columns - 1)
            top, left = min(math.floor(v), rows - 1), min(math.floor(u), columns - 1)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            upper = small[:, top, left] * (1 - (u - left)) + small[:, top, right] * (u - left)
            lower = small[:, bottom, left] * (1 - (u - left)) + small[:, bottom, right] * (u - left)
            attention = upper * (1 - (v - top)) + lower * (v - top)
            result[:, y, x] = attention * main[:, y, x] + attention
    return result


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(20, 33), (8, 8), (3, 17)])
@pytest.mark.parametrize("upsampling", ["bilinear", "stretched"])
def test_equals_the_equation(variant: str, size: tuple[int, int], upsampling: str) -> None:
    module = prepared(32, variant=variant, upsampling=upsampling)
    features = torch.randn(2, 32, *size)
    expected = torch.stack([slow_squeeze_attention(module, image) for image in features])
    torch.testing.assert_close(module(features), expected, rtol=1e-4, atol=1e-5)


def test_parameters_of_the_variants_by_hand() -> None:
    """C = 256, reduced to 64 in 2 groups: 1 x 1 has 256 * 64 / 2 weights, 3 x 3 in groups 64 * 64 * 9 / 2."""
    first, grouped, plain, norm = 256 * 64 // 2, 64 * 64 * 9 // 2, 64 * 64, 2 * 64
    assert (
        count_parameters(SqueezeAttention(256, SqueezeOptions(variant="V1"))) == 2 * first + grouped + plain + 4 * norm
    )
    assert count_parameters(SqueezeAttention(256, SqueezeOptions(variant="V2"))) == 2 * first + 2 * grouped + 4 * norm
    widened = SqueezeAttention(256, SqueezeOptions(variant="V3"))
    assert count_parameters(widened) == 2 * first + 2 * 64 * 256 + 2 * norm + 2 * 2 * 256
    assert (widened.out_channels, SqueezeAttention(256).out_channels) == (256, 64)


def test_without_attention_nothing_passes_and_with_one_the_features_are_raised_by_one() -> None:
    module = prepared(32)
    features = torch.randn(1, 32, 16, 16)
    norm = module.attention[-1]
    nn.init.zeros_(norm.weight)
    nn.init.constant_(norm.bias, -1.0)
    assert torch.equal(module(features), torch.zeros(1, 8, 16, 16))
    nn.init.constant_(norm.bias, 1.0)
    torch.testing.assert_close(module(features), module.main(features) + 1)
    module.added = "main"
    torch.testing.assert_close(module(features), 2 * module.main(features))


def test_attention_sees_coarse_positions_only() -> None:
    """Moving what lies within a pooled square changes the main channel and not the attention."""
    module, finer = (prepared(32, activation="sigmoid", pool_ratio=ratio) for ratio in (8, 4))
    features = torch.randn(1, 32, 16, 16)
    moved = features.clone()
    moved[..., :8, :8] = features[..., :8, :8].flip(-1)
    torch.testing.assert_close(module.attention_channel(moved), module.attention_channel(features))
    assert not torch.allclose(module.main(moved), module.main(features))
    assert not torch.allclose(finer.attention_channel(moved), finer.attention_channel(features))


@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
def test_a_square_is_drawn_where_it_lies_whatever_the_size(upsampling: str) -> None:
    module = prepared(32, upsampling=upsampling)
    features = torch.randn(1, 32, 16, 31)
    attention = module.attention_channel(features)
    torch.testing.assert_close(module.attention_channel(features[..., :24])[..., :20], attention[..., :20])


def test_the_alternatives_that_the_text_allows() -> None:
    features = torch.randn(1, 32, 16, 24)
    plain = prepared(32)(features)
    for option in ({"pool": "max"}, {"activation": "sigmoid"}, {"upsampling": "nearest"}, {"activation_last": True}):
        assert not torch.allclose(prepared(32, **option)(features), plain), option
    soft = prepared(32, activation="sigmoid").attention_channel(features)
    assert 0 < soft.min() < soft.max() < 1
    blocks = prepared(32, upsampling="nearest").attention_channel(features).unfold(2, 8, 8).unfold(3, 8, 8)
    assert torch.equal(blocks.amax((-2, -1)), blocks.amin((-2, -1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "V4"}, r"variant is \"V4\", but it should be 'V1', 'V2' or 'V3'"),
        ({"pool": "mean"}, r"pool is \"mean\", but it should be 'average' or 'max'"),
        ({"groups": 3}, r"8 channels reduced to 2 cannot be shared by 3 groups; give groups=1"),
        ({"reduction": 16}, r"8 channels reduced to 0"),
    ],
)
def test_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        SqueezeAttention(8, SqueezeOptions(**options))


@pytest.mark.parametrize("size", [(8, 8), (17, 30), (5, 40)])
def test_the_deterministic_form_draws_squares_at_the_same_places(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = prepared(32)
    features = torch.randn(2, 32, *size)
    expected = module.attention_channel(features)
    monkeypatch.setattr(squeeze, "nondeterministic", lambda _: True)
    monkeypatch.setattr(cells, "nondeterministic", lambda _: True)
    torch.testing.assert_close(module.attention_channel(features), expected)


def test_the_attention_is_handed_on_for_the_vote() -> None:
    module, features = SqueezeAttention(32).eval(), torch.randn(1, 32, 16, 16)
    weighed, alike = module(features, need_rows=True)
    torch.testing.assert_close(weighed, module(features), rtol=0, atol=0)
    torch.testing.assert_close(alike.vectors, module.attention_channel(features))
