"""The same answers with less work: what only training needs is gone, and norms are part of the convolutions.

A batch norm that no longer learns is one multiplication and one addition for each channel, and both can be done once,
to the weights of the convolution before it:

    gamma (W x - mean) / sigma + beta = (gamma / sigma) W x + (beta - gamma mean / sigma)

Where there are depthwise convolutions the channels of a pixel lie side by side, which they are faster with
(``benchmarks/layout.md``).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as functional
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from scenescope.device import exact_float32, memory_format, supports_bfloat16
from scenescope.errors import ModelError
from scenescope.inference.guards import eval_mode
from scenescope.models.network import SegmentationNetwork

MAX_DIFFERENCE = 1e-5
"""Of logits in float32, relative to the largest."""


def optimize_for_inference(network: SegmentationNetwork, dtype: torch.dtype | None = None) -> SegmentationNetwork:
    """Return a copy of a network that gives the same answers with less work and can no longer be trained.

    The copy is asked about an image of noise, and refused if its logits are not the network's.

    Args:
        network: is not changed.
        dtype: of the copy, torch.float32 or torch.bfloat16; when not given, bfloat16 where the network's device
            multiplies it, else float32.

    Raises:
        ModelError: the number format is another one, or the copy differs from the network by 1e-5 or more.
    """
    device = next(network.parameters()).device
    if dtype is None:
        dtype = torch.bfloat16 if supports_bfloat16(device) else torch.float32
    if dtype not in (torch.float32, torch.bfloat16):
        reason = (
            "a CPU computes float16 hundreds of times slower than float32"
            if device.type == "cpu"
            else "energies of attention overflow it"
        )
        raise ModelError(f"{dtype} is not possible: {reason}; give torch.float32 or torch.bfloat16.")
    fused = copy.deepcopy(network).eval().requires_grad_(False)
    side = 8 * network.backbone.strides[-1]  # the pools of SANet see more than one square
    images = torch.randn(1, network.in_channels, side, 2 * side, generator=torch.Generator().manual_seed(0)).to(device)
    with _exactly(fused):
        expected, called, pairs = _traced(fused, images)
    _drop(fused, called)
    _fold(fused, pairs)
    if memory_format(fused, device, dtype) is torch.channels_last:
        _take_channels_last(fused)
    with _exactly(fused):
        difference = (fused(images).logits - expected).abs().max() / expected.abs().max()
    if not difference < MAX_DIFFERENCE:
        raise ModelError(
            f"This {network.config.get('name', 'network')} with its norms folded differs from itself by"
            f" {difference:.1e}; use it as it is."
        )
    return fused.to(dtype)


@contextlib.contextmanager
def _exactly(network: nn.Module) -> Iterator[None]:
    """Look at a network without TF32, whose 10 bits no copy would agree in."""
    with eval_mode(network), exact_float32():
        yield


class _Cast:
    """Gives what goes into a module the number format of its weights, and the channels of a pixel side by side."""

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        dtype = next(module.parameters()).dtype
        return tuple(given.to(dtype, memory_format=torch.channels_last) for given in inputs)


class _SamePadding(nn.Module):
    """A convolution with TensorFlow's "same" padding that copies its output and not, to fill it up, its larger input.

    Where more is filled up on the right than on the left, a stride more is filled up on both sides and the first
    output, which sees nothing else, is cut off.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, features: Tensor) -> Tensor:
        conv = self.conv
        sizes, padding, first = [], [], []
        for side, kernel, stride, dilation in zip(
            features.shape[-2:], conv.kernel_size, conv.stride, conv.dilation, strict=True
        ):
            sizes.append(-(-side // stride))
            missing = max((sizes[-1] - 1) * stride + (kernel - 1) * dilation + 1 - side, 0)
            first.append(missing % 2)
            padding.append(missing // 2 + stride * (missing % 2))
        filtered = functional.conv2d(features, conv.weight, conv.bias, conv.stride, padding, conv.dilation, conv.groups)
        return filtered[..., first[0] : first[0] + sizes[0], first[1] : first[1] + sizes[1]]


def _traced(network: SegmentationNetwork, images: Tensor) -> tuple[Tensor, set[nn.Module], dict[nn.Module, nn.Module]]:
    """Return the logits, the modules that are called, and for each batch norm the convolution whose output it gets.

    Only pairs whose two modules are called once count: nothing else may see their weights.
    """
    calls: dict[nn.Module, int] = {}
    made: dict[int, tuple[nn.Module, Tensor]] = {}  # the tensor is kept, so that no other gets its number
    pairs: dict[nn.Module, nn.Module] = {}

    def look(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            made[id(output)] = (module, output)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and id(inputs[0]) in made:
            pairs[module] = made[id(inputs[0])][0]

    hooks = [module.register_forward_hook(look) for module in network.modules()]
    try:
        logits = network(images).logits
    finally:
        for hook in hooks:
            hook.remove()
    return logits, set(calls), {norm: conv for norm, conv in pairs.items() if calls[norm] == calls[conv] == 1}


def _fold(network: nn.Module, pairs: dict[nn.Module, nn.Module]) -> None:
    """Put every norm into its convolution."""
    folded: dict[nn.Module, nn.Module] = {}
    for norm, conv in pairs.items():
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
        folded[conv] = fuse_conv_bn_eval(conv, norm)
        # timm has norms that carry an activation; it may overwrite what the convolution has made for it alone.
        rest = [module for module in (getattr(norm, "drop", None), getattr(norm, "act", None)) if module is not None]
        for module in rest:
            if hasattr(module, "inplace"):
                module.inplace = True
        folded[norm] = nn.Sequential(*rest) if rest else nn.Identity()
    _replace(network, folded)


def _take_channels_last(network: SegmentationNetwork) -> None:
    network.to(memory_format=torch.channels_last)
    same = {module: _SamePadding(module) for module in network.modules() if isinstance(module, Conv2dSame)}
    _replace(network, dict(same))
    for module in (network.backbone, network.refinement):  # both look at the image
        if module is not None:
            module.register_forward_pre_hook(_Cast())


def _drop(network: nn.Module, called: set[nn.Module]) -> None:
    """Empty the branches that a prediction does not reach."""
    unreached = {
        module: nn.Identity()
        for module in network.modules()
        if not any(part in called for part in module.modules()) and any(True for _ in module.parameters())
    }
    _replace(network, unreached)


def _replace(network: nn.Module, replacements: dict[nn.Module, Any]) -> None:
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child in replacements and not isinstance(parent, _SamePadding):
                setattr(parent, name, replacements[child])
