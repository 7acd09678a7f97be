"""What one image costs a network on this machine: time and memory, as it is and fused."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from scenescope.device import finish, peak_memory, supports_bfloat16
from scenescope.errors import ImageError
from scenescope.inference.fuse import optimize_for_inference
from scenescope.inference.guards import memory_errors
from scenescope.inference.predictor import predict_labels
from scenescope.inference.segmenter import Segmenter
from scenescope.models.network import SegmentationNetwork


@dataclass(frozen=True)
class Cost:
    """What the labels of one image cost.

    Attributes:
        form: "as it is", "fused" or "bfloat16".
        seconds: median of several calls.
        peak: bytes by which memory grew at most in one call; None where the system does not tell.
    """

    form: str
    seconds: float
    peak: int | None


def measure(segmenter: Segmenter, height: int, width: int, *, repeats: int = 5) -> list[Cost]:
    """Measure the prediction of one image in every form that this device computes well; the forms take turns.

    Args:
        height: of the image, in pixels.
        width: likewise.
        repeats: calls of each form that count, after one that does not.

    Raises:
        ImageError: the image needs more memory than there is.
    """
    network, device = segmenter.network, segmenter.device
    forms = {"as it is": network, "fused": optimize_for_inference(network, torch.float32)}
    if supports_bfloat16(device):
        forms["bfloat16"] = optimize_for_inference(network, torch.bfloat16)
    image = torch.randint(256, (1, 3, height, width), dtype=torch.uint8, device=device)

    def call(form: SegmentationNetwork) -> Tensor:
        labels = predict_labels(form, image)
        finish(device)
        return labels

    seconds: dict[str, list[float]] = {name: [] for name in forms}
    with memory_errors(ImageError, f"An image of {height} x {width} pixels", "give a smaller --size"):
        peaks = {name: _peak(lambda form=form: call(form), device) for name, form in forms.items()}  # type: ignore[misc]
        for _ in range(repeats):
            for name, form in forms.items():
                start = time.perf_counter()
                call(form)
                seconds[name].append(time.perf_counter() - start)
    return [Cost(name, statistics.median(taken), peaks[name]) for name, taken in seconds.items()]


def _peak(call: Callable[[], object], device: torch.device) -> int | None:
    """Return the bytes by which memory grows at most during a call."""
    if (peak := peak_memory(call, device)) is not None:
        return peak
    if not sys.platform.startswith("linux"):
        call()
        return None
    resident = _status("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the highest mark becomes what is resident now
    except OSError:
        call()
        return None
    call()
    return max(_status("VmHWM") - resident, 0)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
