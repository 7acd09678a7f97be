"""Where cells lie on an image: against torch where torch has the case, and a slow loop everywhere."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as functional
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scenescope import cells as module
from scenescope.cells import Cells


def slowly(cells: Cells, logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, pixel by pixel, from what the docstring of Cells says."""
    rows, columns = logits.shape[-2:]
    drawn = torch.empty(*logits.shape[:2], *size)
    for y in range(size[0]):
        for x in range(size[1]):
            at_row = min(max((y + 0.5) * cells.scale[0] - cells.offset[0], 0), rows - 1)
            at_column = min(max((x + 0.5) * cells.scale[1] - cells.offset[1], 0), columns - 1)
            top, left = math.floor(at_row), math.floor(at_column)
            below, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            down, across = at_row - top, at_column - left
            upper = logits[..., top, left] * (1 - across) + logits[..., top, right] * across
            lower = logits[..., below, left] * (1 - across) + logits[..., below, right] * across
            drawn[..., y, x] = upper * (1 - down) + lower * down
    return drawn


@given(
    st.sampled_from([1, 2, 4, 8, 16]),
    st.integers(0, 15),
    st.integers(0, 15),
    st.sampled_from([0.5, 1.0, 1.5, 2.0]),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 24),
    st.integers(1, 24),
)
def test_cells_are_drawn_as_a_slow_loop_draws_them(
    stride: int, row: int, column: int, input_scale: float, rows: int, columns: int, height: int, width: int
) -> None:
    cells = Cells.where_they_look(stride, (row, column), input_scale)
    logits = torch.randn(1, 2, rows, columns, generator=torch.Generator().manual_seed(0))
    drawn = cells.draw(logits, (height, width))
    torch.testing.assert_close(drawn, slowly(cells, logits, (height, width)), rtol=0, atol=2e-5)


def test_multiples_of_the_stride_are_resized_by_half_pixels() -> None:
    logits = torch.randn(1, 2, 3, 5)
    expected = functional.interpolate(logits, (24, 40), mode="bilinear", align_corners=False)
    assert torch.equal(Cells.where_they_look(8, (0, 0)).draw(logits, (24, 40)), expected)


def test_a_remainder_of_one_aligns_corners() -> None:
    logits = torch.randn(1, 2, 3, 5)
    expected = functional.interpolate(logits, (17, 33), mode="bilinear", align_corners=True)
    torch.testing.assert_close(Cells.where_they_look(8, (1, 1)).draw(logits, (17, 33)), expected)


@pytest.mark.parametrize("remainder", [(0, 0), (1, 1), (5, 0)])
def test_a_smaller_image_is_the_same_drawing_cut(remainder: tuple[int, int]) -> None:
    logits, cells = torch.randn(1, 2, 3, 5), Cells.where_they_look(8, remainder)
    whole = cells.draw(logits, (24, 40))
    for height, width in ((17, 33), (23, 39), (1, 7)):
        torch.testing.assert_close(cells.draw(logits, (height, width)), whole[..., :height, :width])


def test_cells_lie_in_pixels_as_worked_out_by_hand() -> None:
    assert Cells.where_they_look(8, (0, 0)).extent((2, 3)) == (0, 0, 24, 16)
    assert Cells.where_they_look(8, (1, 1)).extent((2, 3)) == (-3.5, -3.5, 20.5, 12.5)  # about pixels 0, 8 and 16
    assert Cells.where_they_look(8, (0, 0), input_scale=2).extent((2, 3)) == (0, 0, 12, 8)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30), st.booleans())
def test_stretched_cells_are_those_of_interpolate(
    rows: int, columns: int, height: int, width: int, align_corners: bool
) -> None:
    logits = torch.randn(1, 2, rows, columns, generator=torch.Generator().manual_seed(0))
    expected = functional.interpolate(logits, (height, width), mode="bilinear", align_corners=align_corners)
    cells = Cells.stretched((rows, columns), (height, width), align_corners=align_corners)
    torch.testing.assert_close(cells.draw(logits, (height, width)), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("remainder", [(0, 0), (1, 1), (8, 3)])
def test_the_deterministic_form_draws_the_same_and_has_the_same_gradient(
    remainder: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.randn(2, 5, 4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    places = Cells.where_they_look(16, remainder, input_scale=1.5)
    ordinary = places.draw(logits, (41, 59))
    (expected,) = torch.autograd.grad(ordinary.square().sum(), logits)
    monkeypatch.setattr(module, "nondeterministic", lambda _: True)
    drawn = places.draw(logits, (41, 59))
    torch.testing.assert_close(drawn, ordinary)
    torch.testing.assert_close(torch.autograd.grad(drawn.square().sum(), logits)[0], expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("height", "width", "side"), [(7, 10, 3), (6, 6, 6), (5, 9, 1), (2, 3, 6)])
def test_the_deterministic_form_pools_the_same_and_has_the_same_gradient(
    height: int, width: int, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = torch.randn(2, 5, height, width, generator=torch.Generator().manual_seed(0), requires_grad=True)
    ordinary = module.pool_to_grid(features, side)
    assert ordinary.shape == (2, 5, side, side)
    (expected,) = torch.autograd.grad(ordinary.square().sum(), features)
    monkeypatch.setattr(module, "nondeterministic", lambda _: True)
    pooled = module.pool_to_grid(features, side)
    torch.testing.assert_close(pooled, ordinary)
    torch.testing.assert_close(torch.autograd.grad(pooled.square().sum(), features)[0], expected)
