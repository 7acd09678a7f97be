"""Exact attention without the N x N matrix.

With queries Q (D x N), keys K (D x N) and values V (C x N), the attended values are

    O_j = sum_i s_ji V_i,    s_ji = exp(q_j . k_i) / sum_i exp(q_j . k_i)

Row j of S depends on query j and on no other row. So S is formed b rows at a time in one buffer, b x N, and every block
of O is finished before the next block of S takes its place: the same sums in the same order as with the whole matrix,
with O(N) memory. Less memory is also less time, because a block stays in the CPU's cache between the product that makes
it, the softmax, and the product that uses it.

The gradients need S once more. It is not kept but formed again, block by block: with G the gradient of O,

    dV = G S                      dP = G^T V
    dE_ji = s_ji (dP_ji - sum_i s_ji dP_ji)
    dQ = K dE^T                   dK = Q dE

Both directions are operators of torch, ``scenescope::blockwise_attention`` and its ``_backward``, so that compilation,
export and distributed training see one node and not a loop. The transforms of ``torch.func`` and forward-mode
derivatives do not see into operators, and some silently: they get the same blocks as plain arithmetic.

GPUs with a kernel of torch's that does the same in its own cache get that kernel, which takes widths of certain
multiples: zeros fill them up, and a zero adds nothing to an energy or to a value.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from scenescope.device import fuses_attention, traits


def block_rows(num_positions: int, device: torch.device | str) -> int:
    """Return the number of rows of S to form at a time for N positions: the one policy for all sizes and devices."""
    good = traits(device)
    return max(min(good.attention_buffer // num_positions, good.attention_rows, num_positions), 1)


def blockwise_attention(query: Tensor, key: Tensor, value: Tensor, block: int | None = None) -> Tensor:
    """Return softmax(Q^T K) applied to the values, in O(N) memory, forwards and backwards.

    Energies, softmax and their gradients are computed in float32 (float64 for float64), also under autocast; products
    with the values in the format of the values. There is no 1/sqrt(D). A second derivative is refused, but for those of
    ``torch.func``, which keep all of S.

    Args:
        query: B x D x N.
        key: B x D x M; for self-attention M = N.
        value: B x C x M.
        block: rows of S at a time; chosen from sizes and device when not given.

    Returns:
        B x C x N in the format of the values.

    Raises:
        RuntimeError: a second derivative is asked for.
    """
    if transformed(query, key, value):
        return _plainly(query, key, value, block or block_rows(key.shape[2], key.device))
    if block is None and fuses_attention(value):
        with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):  # the others form S
            return fused(query, key, value)
    attended: Tensor = torch.ops.scenescope.blockwise_attention(query, key, value, block or 0)
    return attended


def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return the same by ``scaled_dot_product_attention``, all in the format of the values.

    Its kernel forms energies and softmax in float32 within. Arguments as of ``blockwise_attention``.
    """
    multiple = 16 // value.element_size()  # bytes that the kernel reads at once
    with torch.autocast(value.device.type, enabled=False):
        q, k, v = (_rows_of_width(each.to(value.dtype), multiple) for each in (query, key, value))
        attended = functional.scaled_dot_product_attention(q, k, v, scale=1.0)
    return attended[:, 0, :, : value.shape[1]].transpose(1, 2)


def _rows_of_width(features: Tensor, multiple: int) -> Tensor:
    """Return B x 1 x N x D from B x D x N, position by position in memory, D filled up with zeros to a multiple."""
    rows, missing = features.transpose(1, 2).unsqueeze(1), -features.shape[1] % multiple
    return (functional.pad(rows, (0, missing)) if missing else rows).contiguous()


def transformed(*tensors: Tensor) -> bool:
    """Tell whether a transform of ``torch.func`` or a forward-mode derivative is at work."""
    if torch._C._are_functorch_transforms_active():
        return True
    return any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors)  # type: ignore[no-untyped-call]


def _plainly(query: Tensor, key: Tensor, value: Tensor, block: int) -> Tensor:
    with torch.autocast(query.device.type, enabled=False):
        query, key = _exact(query), _exact(key)
        attended = [
            value @ torch.softmax(query[:, :, rows].transpose(1, 2) @ key, dim=-1).to(value.dtype).transpose(1, 2)
            for rows in _blocks(query.shape[2], block)
        ]
    return torch.cat(attended, dim=2)


@torch.library.custom_op("scenescope::blockwise_attention", mutates_args=())
def _attend(query: Tensor, key: Tensor, value: Tensor, block: int) -> Tensor:
    # Chosen here and not before, so that a compiled or exported network does not hold a choice for one size.
    block = block or block_rows(key.shape[2], key.device)
    query, key = _exact(query), _exact(key)
    attended = _empty_output(query, value)
    buffer = query.new_empty(min(block, query.shape[2]), key.shape[2])
    with torch.autocast(query.device.type, enabled=False):
        for q, k, v, out in zip(query, key, value, attended, strict=True):
            for rows in _blocks(query.shape[2], block):
                weights = _weights(q[:, rows], k, buffer).to(v.dtype)
                torch.mm(v, weights.t(), out=out[:, rows])
    return attended


@torch.library.custom_op("scenescope::blockwise_attention_backward", mutates_args=())
def _attend_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, block: int
) -> tuple[Tensor, Tensor, Tensor]:
    block = block or block_rows(key.shape[2], key.device)
    exact_query, exact_key = _exact(query), _exact(key)
    buffer = exact_query.new_empty(min(block, query.shape[2]), key.shape[2])
    gradients = value.new_empty(buffer.shape)
    d_query = torch.empty_like(exact_query)
    # Sums over all blocks, hence not in half precision.
    d_key, d_value = torch.zeros_like(exact_key), torch.zeros_like(value, dtype=exact_key.dtype)
    with torch.autocast(query.device.type, enabled=False):
        for b in range(query.shape[0]):
            q, k, v, g = exact_query[b], exact_key[b], value[b], gradient[b].to(value.dtype)
            for rows in _blocks(query.shape[2], block):
                weights = _weights(q[:, rows], k, buffer)
                _add_product(d_value[b], g[:, rows], weights.to(v.dtype))
                d_weights = torch.mm(g[:, rows].t(), v, out=gradients[: len(weights)])
                d_energies = _softmax_backward(d_weights.to(weights.dtype), weights)
                torch.mm(k, d_energies.t(), out=d_query[b][:, rows])
                _add_product(d_key[b], q[:, rows], d_energies)
    return d_query.to(query.dtype), d_key.to(key.dtype), d_value.to(value.dtype)


def _empty_output(query: Tensor, value: Tensor) -> Tensor:
    """Return B x C x N without content, in the memory layout of the values where that is possible."""
    if query.shape[2] == value.shape[2]:
        return torch.empty_like(value)
    return value.new_empty(value.shape[0], value.shape[1], query.shape[2])


def _exact(features: Tensor) -> Tensor:
    return features.to(torch.promote_types(features.dtype, torch.float32))


def _blocks(num_rows: int, block: int) -> list[slice]:
    return [slice(first, first + block) for first in range(0, num_rows, block)]


def _weights(query: Tensor, key: Tensor, buffer: Tensor) -> Tensor:
    """Return rows of S, b x M, in the buffer."""
    rows = buffer[: query.shape[1]]
    torch.mm(query.t(), key, out=rows)
    return torch.softmax(rows, dim=-1, out=rows)


def _softmax_backward(gradient: Tensor, weights: Tensor) -> Tensor:
    """Return the gradient of the energies, in the place of that of the weights, as autograd's own softmax does."""
    d_energies: Tensor = torch.ops.aten._softmax_backward_data.out(
        gradient, weights, -1, weights.dtype, grad_input=gradient
    )
    return d_energies


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total.add_(torch.mm(left, right))


@_attend.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, block: int) -> Tensor:
    return _empty_output(query, value)


@_attend_backward.register_fake
def _(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, block: int) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int], output: Tensor) -> None:
    *tensors, ctx.block = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    return *torch.ops.scenescope.blockwise_attention_backward(gradient, *ctx.saved_tensors, ctx.block), None


def _refuse(ctx: Any, *gradients: Tensor) -> None:
    raise RuntimeError(
        "The second derivative of blockwise attention is not implemented; take it with torch.func, such as"
        " torch.func.hessian, which keeps the whole N x N map."
    )


_attend.register_autograd(_differentiate, setup_context=_keep)
_attend_backward.register_autograd(_refuse)

OPERATOR = torch.ops.scenescope.blockwise_attention
"""What a compiled or exported network holds in the place of ``blockwise_attention``."""
