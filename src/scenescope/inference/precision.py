"""The number format of the heavy operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

Precision = Literal["float32", "bfloat16"]

CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")
"""torch's names for what multiplies bfloat16: on x86 processors the first two, on ARM the last."""


def resolve_precision(asked: Literal["auto", "float32", "bfloat16"], device: torch.device) -> Precision:
    """Return the format to compute in; ``auto`` is bfloat16 where the device multiplies it, else float32."""
    if asked != "auto":
        return asked
    return "bfloat16" if multiplies_bfloat16(device) else "float32"


def multiplies_bfloat16(device: torch.device) -> bool:
    """Tell whether a device has instructions for bfloat16; without them it is several times slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # An older torch, which does not tell, is taken for a processor that has none.
        capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(name, False) for name in CPU_INSTRUCTIONS)
    return False
