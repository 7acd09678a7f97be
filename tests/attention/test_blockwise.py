"""Attention in blocks against the plain form: matrix, softmax, matrix."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scenescope.attention import blockwise
from scenescope.attention.blockwise import block_rows, blockwise_attention, fused
from scenescope.attention.position import PositionAttention


def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return what the equation says, with the whole matrix."""
    return value @ torch.softmax(query.transpose(1, 2) @ key, dim=-1).transpose(1, 2)


def inputs(
    batch: int = 2, positions: int = 30, d: int = 8, c: int = 12, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(positions)
    return [torch.randn(batch, width, positions, generator=generator).to(dtype) for width in (d, d, c)]


def differentiated(form, tensors: list[Tensor]) -> list[Tensor]:  # type: ignore[no-untyped-def]
    """Return output and gradients for a fixed random gradient of the output."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    output = form(*leaves)
    gradient = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output.dtype)
    return [output.detach(), *torch.autograd.grad(output, leaves, gradient)]


@pytest.mark.parametrize("block", [None, 1, 7, 30, 100])
@pytest.mark.parametrize(("d", "c"), [(8, 12), (10, 80), (1, 1)])
def test_output_and_gradients_are_those_of_the_plain_form(block: int | None, d: int, c: int) -> None:
    tensors = inputs(d=d, c=c)
    ours = differentiated(lambda q, k, v: blockwise_attention(q, k, v, block), tensors)
    exact = differentiated(plain, [tensor.double() for tensor in tensors])
    for got, expected in zip(ours, exact, strict=True):
        assert torch.linalg.norm(got.double() - expected) <= 1e-6 * torch.linalg.norm(expected)


@pytest.mark.parametrize("positions", [1, 2, 511, 513])
def test_any_number_of_positions(positions: int) -> None:
    tensors = inputs(1, positions, 4, 6)
    for got, expected in zip(differentiated(blockwise_attention, tensors), differentiated(plain, tensors), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_gradients_agree_with_finite_differences() -> None:
    tensors = [tensor.requires_grad_() for tensor in inputs(1, 5, 3, 2, torch.float64)]
    assert torch.autograd.gradcheck(lambda *given: blockwise_attention(*given, 2), tensors)


def test_keys_may_be_others_than_queries() -> None:
    query, _, _ = inputs(2, 9)
    _, key, value = inputs(2, 4)
    torch.testing.assert_close(blockwise_attention(query, key, value, 2), plain(query, key, value))


def test_energies_are_not_scaled() -> None:
    """With torch's default scale 1/sqrt(d) the result would be another one."""
    query, key, value = inputs()
    rows = [tensor.transpose(1, 2) for tensor in (query, key, value)]
    unscaled = torch.nn.functional.scaled_dot_product_attention(*rows, scale=1.0).transpose(1, 2)
    scaled = torch.nn.functional.scaled_dot_product_attention(*rows).transpose(1, 2)
    torch.testing.assert_close(blockwise_attention(query, key, value), unscaled)
    assert not torch.allclose(blockwise_attention(query, key, value), scaled, atol=1e-2)


def test_large_energies_do_not_overflow() -> None:
    query, key, value = inputs()
    assert blockwise_attention(1e3 * query, 1e3 * key, value).isfinite().all()


def test_layouts_and_slices_change_nothing() -> None:
    tensors = inputs()
    expected = differentiated(blockwise_attention, tensors)
    token_major = [tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in tensors]
    strided = [torch.stack([tensor, tensor], dim=-1)[..., 0] for tensor in tensors]
    for given in (token_major, strided):
        assert not given[0].is_contiguous()
        for got, wanted in zip(differentiated(blockwise_attention, given), expected, strict=True):
            torch.testing.assert_close(got, wanted)
    # The output follows the values, so that a network with channels last stays so.
    assert blockwise_attention(*token_major).stride() == token_major[2].stride()


@pytest.mark.parametrize("autocast", [False, True])
def test_energies_are_float32_in_half_precision_too(autocast: bool) -> None:
    """Energies near 100 differ by less than bfloat16 can tell (0.5), so a bfloat16 softmax would be far off."""
    query, key, value = (4 * tensor.bfloat16() for tensor in inputs())
    exact = differentiated(plain, [tensor.double() for tensor in (query, key, value)])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        ours = differentiated(lambda q, k, v: blockwise_attention(q, k, v, 7), [query, key, value])
        careless = plain(query, key, value)
    assert {tensor.dtype for tensor in ours} == {torch.bfloat16}
    for got, expected in zip(ours, exact, strict=True):
        assert torch.linalg.norm(got.double() - expected) < 0.02 * torch.linalg.norm(expected)
    assert torch.linalg.norm(careless.double() - exact[0]) > 0.02 * torch.linalg.norm(exact[0])


def test_the_matrix_never_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither forwards nor backwards, and what is kept between them is queries, keys and values."""
    formed: list[tuple[int, ...]] = []
    weights = blockwise._weights

    def watched(query: Tensor, key: Tensor, buffer: Tensor) -> Tensor:
        rows = weights(query, key, buffer)
        formed.append(tuple(rows.shape))
        return rows

    monkeypatch.setattr(blockwise, "_weights", watched)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda t: t):
        query, key, value = (tensor.requires_grad_() for tensor in inputs(1, 30))
        blockwise_attention(query, key, value, 4).sum().backward()
    assert formed == 2 * ([(4, 30)] * 7 + [(2, 30)])
    assert sorted(kept) == sorted(tensor.numel() for tensor in (query, key, value))


def test_a_second_derivative_is_refused() -> None:
    query, key, value = (tensor.requires_grad_() for tensor in inputs())
    (gradient,) = torch.autograd.grad(blockwise_attention(query, key, value).square().sum(), query, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative of blockwise attention is not implemented"):
        gradient.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_operators_keep_torchs_rules(dtype: torch.dtype) -> None:
    tensors = [tensor.requires_grad_() for tensor in inputs(2, 6, 3, 4, dtype)]
    torch.library.opcheck(torch.ops.scenescope.blockwise_attention.default, (*tensors, 4))


def test_compilation_and_export_see_one_operator() -> None:
    torch.manual_seed(0)
    module = PositionAttention(16)
    torch.nn.init.constant_(module.alpha, 0.7)
    features = torch.randn(2, 16, 3, 5)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(features), module(features))
    exported = torch.export.export(module, (features,))
    assert [str(node.target) for node in exported.graph.nodes].count("scenescope.blockwise_attention.default") == 1
    torch.testing.assert_close(exported.module()(features), module(features))


def test_one_policy_chooses_the_block() -> None:
    assert block_rows(1, "cpu") == 1
    assert block_rows(100, "cpu") == 100
    assert block_rows(4096, "cpu") == block_rows(16384, "cpu") == 384
    assert block_rows(32768, "cpu") == 256
    assert block_rows(2**30, "cpu") == 1
    assert block_rows(32768, "cuda") == 2048
    assert block_rows(100, "mps") == 100


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize(("d", "c"), [(8, 16), (10, 80), (1, 1), (3, 13)])
def test_the_fused_form_is_the_plain_one_whatever_the_widths(
    dtype: torch.dtype, limit: float, d: int, c: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forwards and backwards; the kernel gets widths of 16 bytes, and no scale."""
    widths: list[tuple[int, int]] = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def watched(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
        widths.append((query.shape[-1], value.shape[-1]))
        assert all(rows.is_contiguous() for rows in (query, key, value))
        return kernel(query, key, value, scale=scale)

    monkeypatch.setattr(blockwise.functional, "scaled_dot_product_attention", watched)
    tensors = inputs(2, 30, d, c, dtype)
    ours = differentiated(fused, tensors)
    exact = differentiated(plain, [tensor.double() for tensor in tensors])
    assert {tensor.dtype for tensor in ours} == {dtype}
    for got, expected in zip(ours, exact, strict=True):
        assert torch.linalg.norm(got.double() - expected) <= limit * torch.linalg.norm(expected)
    assert all(width * dtype.itemsize % 16 == 0 for width in widths[0])


def test_features_with_channels_last_are_not_copied_for_the_fused_form() -> None:
    features = torch.randn(2, 8, 3, 5).contiguous(memory_format=torch.channels_last)
    assert blockwise._rows_of_width(features.flatten(2), 8).data_ptr() == features.data_ptr()
