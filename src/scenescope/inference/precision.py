"""The number format of the heavy operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

Precision = Literal["float32", "bfloat16"]

CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")
"""torch's names for what multiplies bfloat16: on x86 processors the first two, on ARM the last."""


def resolve_precision(
    asked: Literal["auto", "float32", "bfloat16"], device: torch.device, network: nn.Module
) -> Precision:
    """Return the format to compute in; ``auto`` is bfloat16 where the device multiplies it, else float32.

    A processor is given float32 for a network with depthwise convolutions, such as the EfficientNets: they are few
    multiplications on much memory, and the change of format costs what the rest gains (``benchmarks/plain_training.py``
    measures both).
    """
    if asked != "auto":
        return asked
    if device.type == "cpu" and any(_is_depthwise(module) for module in network.modules()):
        return "float32"
    return "bfloat16" if multiplies_bfloat16(device) else "float32"


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels


def multiplies_bfloat16(device: torch.device) -> bool:
    """Tell whether a device has instructions for bfloat16; without them it is several times slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # An older torch, which does not tell, is taken for a processor that has none.
        capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(name, False) for name in CPU_INSTRUCTIONS)
    return False
