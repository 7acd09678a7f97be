"""Compact position attention against a slow loop written from its equation."""

import math

import pytest
import torch

from scenescope.attention.compact_position import CompactPositionAttention
from scenescope.backbones.build import count_parameters


def awake(channels: int = 16) -> CompactPositionAttention:
    """A module in eval mode whose norms and scale do something."""
    torch.manual_seed(0)
    module = CompactPositionAttention(channels)
    torch.nn.init.constant_(module.alpha, 0.7)
    for _, _, norm, _ in module.grids:  # type: ignore[misc]
        torch.nn.init.normal_(norm.running_mean, std=0.1)
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    return module.eval().requires_grad_(False)


def slow_centers(module: CompactPositionAttention, image: torch.Tensor) -> torch.Tensor:
    """Gather the centers of one image, C x h x w: a mean, a matrix product and a norm for each cell of each grid."""
    height, width = image.shape[1:]
    centers = []
    for side, (_, convolution, norm, _) in zip((1, 2, 3, 6), module.grids, strict=True):  # type: ignore[misc]
        for row in range(side):
            for column in range(side):
                top, bottom = row * height // side, math.ceil((row + 1) * height / side)
                left, right = column * width // side, math.ceil((column + 1) * width / side)
                mean = image[:, top:bottom, left:right].mean(dim=(1, 2))
                mixed = convolution.weight[:, :, 0, 0] @ mean
                normed = (mixed - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
                centers.append(normed.clamp(min=0))
    return torch.stack(centers)


def slow_compact_position_attention(module: CompactPositionAttention, features: torch.Tensor) -> torch.Tensor:
    """Write E_j = alpha * sum_m s_jm v_m + X_j with a loop for every sum."""
    result = features.clone()
    for b, image in enumerate(features):
        centers = slow_centers(module, image)
        keys = [module.key.weight @ center + module.key.bias for center in centers]
        values = [module.value.weight @ center + module.value.bias for center in centers]
        for y in range(features.shape[2]):
            for x in range(features.shape[3]):
                query = module.query.weight[:, :, 0, 0] @ image[:, y, x] + module.query.bias
                energies = [float(query @ key) for key in keys]
                total = sum(math.exp(energy) for energy in energies)
                attended = sum(math.exp(energy) / total * value for energy, value in zip(energies, values, strict=True))
                result[b, :, y, x] += module.alpha * attended
    return result


@pytest.mark.parametrize("size", [(6, 6), (7, 9), (2, 5)])
def test_equals_the_equation(size: tuple[int, int]) -> None:
    module = awake()
    features = torch.randn(2, 16, *size)
    torch.testing.assert_close(
        module(features), slow_compact_position_attention(module, features), rtol=1e-5, atol=1e-5
    )


def test_is_the_identity_at_initialization_and_rows_sum_to_one() -> None:
    module = CompactPositionAttention(16)
    features = torch.randn(2, 16, 6, 7)
    assert torch.equal(module(features), features)
    assert module.map(features).shape == (2, 42, 50)
    torch.testing.assert_close(module.map(features).sum(-1), torch.ones(2, 42))


def test_moving_positions_within_the_finest_cells_moves_the_output_with_them() -> None:
    """On 12 x 12 each of the 6 x 6 cells is 2 x 2, and the coarser cells are made of whole ones."""
    module = awake()
    features = torch.randn(1, 16, 12, 12)

    def swapped(images: torch.Tensor) -> torch.Tensor:
        return images.unflatten(3, (6, 2)).flip(4).flatten(3)

    torch.testing.assert_close(module(swapped(features)), swapped(module(features)))
    assert not torch.allclose(module(features.roll(1, 3)), module(features).roll(1, 3), atol=1e-4)


def test_map_is_float32_under_autocast() -> None:
    module = awake()
    with torch.autocast("cpu", torch.bfloat16):
        assert module.map(torch.randn(1, 16, 6, 6)).dtype == torch.float32


def test_parameters_by_hand() -> None:
    """C = 512: four grids with norms, query and key to 128 and value to 512 with bias, and the scale."""
    grids, projections = 4 * (512 * 512 + 2 * 512), 2 * (512 * 128 + 128) + 512 * 512 + 512
    assert count_parameters(CompactPositionAttention(512)) == grids + projections + 1
    assert CompactPositionAttention(16, 3).key.out_features == 3


def test_one_image_has_no_statistics_of_its_one_mean() -> None:
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        CompactPositionAttention(4).train()(torch.randn(1, 4, 6, 6))
