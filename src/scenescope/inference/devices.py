"""From what a user calls a device to a device of this machine."""

from __future__ import annotations

import os
import re

import torch

from scenescope.errors import DeviceError

AUTOMATIC = "auto"


def resolve_device(name: str | torch.device | None = None) -> torch.device:
    """Return the device of a name: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    ``auto`` or None is the GPU where there is one, else the CPU. ``cuda`` without a number is, under a launcher of
    several processes, the GPU of this process.

    Raises:
        DeviceError: this machine has no such device.
    """
    if isinstance(name, torch.device):
        return name
    if name in (None, AUTOMATIC):
        return _cuda(None) if torch.cuda.is_available() else torch.device("cpu")
    matched = re.fullmatch(r"(cpu|mps|cuda)(?::(\d+))?", str(name))
    if matched is None or (matched[1] != "cuda" and matched[2] not in (None, "0")):
        raise DeviceError(f"There is no device {name!r}; {_available()}.")
    kind, number = matched[1], matched[2]
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError(f"{name} was asked for, but torch sees no CUDA device here; {_available()}.")
        return _cuda(None if number is None else int(number))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"{name} was asked for, but this machine has none; {_available()}.")
    return torch.device(kind)


def _cuda(number: int | None) -> torch.device:
    count = torch.cuda.device_count()
    if number is None:
        # More processes than GPUs on one machine share them.
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % count)
    if number >= count:
        raise DeviceError(f"There is no device cuda:{number}; {_available()}.")
    return torch.device("cuda", number)


def _available() -> str:
    """Say which names are possible here."""
    names = [AUTOMATIC, "cpu"]
    names += [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    names += ["mps"] if torch.backends.mps.is_available() else []
    return f"this machine has {', '.join(names)}"
