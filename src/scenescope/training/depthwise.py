"""Gradients of depthwise convolutions in bfloat16 on a CPU.

oneDNN, which computes them for torch on a CPU, is fast in bfloat16 for kernels of 3 x 3 at stride 1 that are not
dilated. Its other depthwise gradients take several times as long as in float32 (``benchmarks/speed.py depthwise``), and
can be put together from the fast ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.nn import grad
from torch.overrides import TorchFunctionMode

from scenescope.device import traits

Pair = tuple[int, int]

_torch_weight_gradient: Callable[..., Tensor] = grad.conv2d_weight


class FastDepthwiseGradients(TorchFunctionMode):
    """Within it, depthwise convolutions on a CPU have the same gradients in less time.

    Square kernels of 3 or 5 without bias are meant; whatever else is left as it is, and so is 3 x 3 at stride 1 without
    dilation, which is fast. Under autocast they are computed in its number format, like every convolution.
    """

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        """Call the function, or what takes its place."""
        named = named or {}
        if function is functional.conv2d:
            function = _conv2d
        return function(*arguments, **named)


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Do what torch's function of this signature does."""
    depthwise = 1 < groups == input.shape[-3] == len(weight)
    meant = (
        depthwise
        and bias is None
        and input.ndim == 4
        and torch.is_grad_enabled()
        and traits(input.device).composed_depthwise
    )
    if meant and not isinstance(padding, str):
        places = _pair(stride), _pair(padding), _pair(dilation)
        if _has_slow_gradients(weight.shape[2:], *places):
            kind = input.device.type
            if torch.is_autocast_enabled(kind):
                dtype = torch.get_autocast_dtype(kind)
                input, weight = input.to(dtype), weight.to(dtype)
            result: Tensor = _Depthwise.apply(input, weight, *places)
            return result
    return functional.conv2d(input, weight, bias, stride, padding, dilation, groups)


def _has_slow_gradients(kernel: torch.Size, stride: Pair, padding: Pair, dilation: Pair) -> bool:
    """Tell whether torch's gradients are slow and ours are of these places."""
    height, width = kernel
    if height != width or height not in (3, 5):
        return False
    if dilation != (1, 1):
        # Cut into phases, only a padding that keeps the image's size is one of the plain kernel.
        return stride == (1, 1) and padding == (dilation[0] * (height // 2), dilation[1] * (height // 2))
    # With wider padding the turned convolution would have a negative one.
    return max(padding) < height and (height == 5 or stride != (1, 1))


def _pair(value: int | tuple[int, ...]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution whose gradients are ``input_gradient`` and ``weight_gradient``."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.places = stride, padding, dilation
        return functional.conv2d(features, weight, None, stride, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        (gradient,) = gradients
        features, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.places
        height, width = features.shape[2:]
        if dilation != (1, 1):
            features, gradient = _phases(features, dilation), _phases(gradient, dilation)
            padding = (padding[0] // dilation[0], padding[1] // dilation[1])
        of_features = of_weight = None
        if ctx.needs_input_grad[0]:
            of_features = input_gradient(features.shape, weight, gradient, stride, padding)
            if dilation != (1, 1):
                of_features = _join(of_features, dilation, height, width)
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(features, weight.shape, gradient, stride, padding)
        return of_features, of_weight, None, None, None


def input_gradient(size: torch.Size, weight: Tensor, gradient: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Return the gradient of a depthwise convolution's input: one with the kernel turned, of the spread gradient.

    Args:
        size: of the input, B x C x H x W.
        weight: C x 1 x k x k.
        gradient: of the output, B x C x h x w.
        stride, padding: of the convolution.
    """
    kernel = weight.shape[-1]
    if stride != (1, 1):
        height, width = (size[2 + axis] + 2 * padding[axis] - kernel + 1 for axis in (0, 1))
        shape = (*size[:2], height, width)
        spread = torch.empty(shape, dtype=gradient.dtype, memory_format=torch.channels_last).zero_()
        spread[:, :, :: stride[0], :: stride[1]] = gradient
        gradient = spread
    inverse = (kernel - 1 - padding[0], kernel - 1 - padding[1])
    return functional.conv2d(gradient, weight.flip(2, 3), None, 1, inverse, 1, len(weight))


def weight_gradient(features: Tensor, size: torch.Size, gradient: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Return the gradient of a depthwise convolution's kernel; that of 5 x 5 in four overlapping ones of 3 x 3.

    Args:
        features: the input, B x C x H x W.
        size: of the kernel, C x 1 x k x k, k being 3 or 5.
        gradient: of the output, B x C x h x w.
        stride, padding: of the convolution.
    """
    channels, kernel = size[0], size[-1]
    if kernel == 3:
        return _torch_weight_gradient(features, size, gradient, stride, padding, 1, channels)
    features = functional.pad(features, (padding[1], padding[1], padding[0], padding[0]))
    height, width = (stride[axis] * (gradient.shape[2 + axis] - 1) + 3 for axis in (0, 1))
    whole = gradient.new_empty(size)
    for top in (0, 2):
        for left in (0, 2):
            window = features[:, :, top : top + height, left : left + width]
            window = window.contiguous(memory_format=torch.channels_last)
            part = _torch_weight_gradient(window, (channels, 1, 3, 3), gradient, stride, 0, 1, channels)
            whole[:, :, top : top + 3, left : left + 3] = part
    return whole


def _phases(features: Tensor, steps: Pair) -> Tensor:
    """Return every (step)-th position as an image of its own: to those, a dilated kernel is a plain one.

    B x C x H x W becomes (steps^2 B) x C x ceil(H / step) x ceil(W / step), filled up with zeros.
    """
    down, across = steps
    batch, channels, height, width = features.shape
    features = functional.pad(features, (0, -width % across, 0, -height % down))
    cut = features.reshape(batch, channels, features.shape[2] // down, down, features.shape[3] // across, across)
    cut = cut.permute(3, 5, 0, 1, 2, 4).flatten(0, 2)
    return cut.contiguous(memory_format=torch.channels_last)


def _join(phases: Tensor, steps: Pair, height: int, width: int) -> Tensor:
    """Return the image that ``_phases`` cut."""
    down, across = steps
    count, channels, rows, columns = phases.shape
    whole = phases.reshape(down, across, count // (down * across), channels, rows, columns).permute(2, 3, 4, 0, 5, 1)
    whole = whole.reshape(-1, channels, rows * down, columns * across)[:, :, :height, :width]
    return whole.contiguous(memory_format=torch.channels_last)
