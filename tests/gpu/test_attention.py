"""Attention against the plain form, at the widths of DANet-50: numbers, time and memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scenescope.attention.blockwise import block_rows, blockwise_attention
from scenescope.device import exact_float32, fuses_attention
from tests.gpu.conftest import DEVICE, SMALL, measured

SIZES = (64, 256) if SMALL else (1024, 4096, 16384, 32768, 65536)
MAX_PLAIN = 32768
QUERY_CHANNELS, CHANNELS = 64, 512
LIMITS = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 3e-3}


def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    weights = torch.softmax((query.transpose(1, 2) @ key).float(), dim=-1).to(value.dtype)
    return value @ weights.transpose(1, 2)


def in_blocks(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return blockwise_attention(query, key, value, block_rows(key.shape[2], key.device))


def differentiated(form, tensors: list[Tensor], gradient: Tensor) -> list[Tensor]:  # type: ignore[no-untyped-def]
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    output = form(*leaves)
    return [output.detach(), *torch.autograd.grad(output, leaves, gradient)]


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("positions", SIZES)
def test_numbers_time_and_memory(positions: int, dtype: torch.dtype, device: torch.device, table) -> None:  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(positions)
    query, key, value, gradient = (
        (scale * torch.randn(1, width, positions, generator=generator)).to(device, dtype)
        for width, scale in ((QUERY_CHANNELS, 0.3), (QUERY_CHANNELS, 0.3), (CHANNELS, 1), (CHANNELS, 1))
    )
    tensors = [query, key, value]
    assert SMALL or fuses_attention(value) or dtype == torch.bfloat16  # which older GPUs do not multiply
    differences = {}
    for name, form in (("attend", blockwise_attention), ("in blocks", in_blocks)):
        got = differentiated(form, tensors, gradient)
        assert {tensor.dtype for tensor in got} == {dtype}
        assert all(tensor.isfinite().all() for tensor in got)
        differences[name] = max(_differences(got, tensors, gradient))
        assert differences[name] < LIMITS[dtype], name
    peaks = {}
    for name, form in (("attend", blockwise_attention), ("in blocks", in_blocks), ("plain", plain)):
        if name == "plain" and positions > MAX_PLAIN:
            continue
        repeats = 2 if positions > 16384 else 5
        with torch.no_grad():
            forward, _ = measured(lambda form=form: form(*tensors), repeats)  # type: ignore[misc]
        both, peaks[name] = measured(lambda form=form: differentiated(form, tensors, gradient), repeats)  # type: ignore[misc]
        what = f"{name}, N = {positions}, {str(dtype).removeprefix('torch.')}"
        table(f"{what}, forward", forward)
        table(f"{what}, with gradients", both, peaks[name], differences.get(name))
    if positions == 32768 and peaks["plain"] is not None:
        assert peaks["attend"] * 50 <= peaks["plain"]


def _differences(got: list[Tensor], tensors: list[Tensor], gradient: Tensor) -> list[float]:
    """Return relative differences from the plain form in float32: of all, or of some rows where all is too much."""
    exact = [tensor.float() for tensor in (*tensors, gradient)]
    with exact_float32():
        if got[0].shape[2] <= 16384:
            expected = differentiated(plain, exact[:3], exact[3])
        else:
            rows = torch.randperm(got[0].shape[2], generator=torch.Generator().manual_seed(0))[:64].to(DEVICE)
            expected = [plain(exact[0][:, :, rows], *exact[1:3])]
            got = [got[0][:, :, rows]]
    return [
        float(torch.linalg.norm(one.float() - other) / torch.linalg.norm(other))
        for one, other in zip(got, expected, strict=True)
    ]
