"""How a picture is turned into scores: size, scales, flip, windows, and how views of it are joined."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from scenescope.errors import ModelError, nearest

LARGEST_SCALE = 16
"""Pictures are not enlarged beyond this."""
LARGEST_SIDE = 2**15
"""No picture is resized to a longer side."""

Border = Literal["shift", "pad"]
Combine = Literal["softmax", "exp"]


@dataclass(frozen=True)
class InferenceSettings:
    """Whole image at one scale unless told otherwise; ``protocols.py`` holds those of the published codes.

    Raises:
        ModelError: a value that no picture can be read with.
    """

    scales: tuple[float, ...] = (1.0,)
    """Factors by which each picture is resized before the network sees it."""
    flip: bool = False
    """Also look at the mirrored picture."""
    window: int | None = None
    """Side of a square window that slides over each resized picture, in pixels; None for the whole picture."""
    stride: float | None = None
    """Pixels from window to window, or below 1 a share of the window; None for two thirds of it."""
    base_size: int | tuple[int, int] | None = None
    """Size at scale 1: its long side, or the largest long and short side, in pixels; None for the picture's own."""
    border: Border = "shift"
    """A window past the lower or right border is moved back to end there ("shift"), or filled with black ("pad")."""
    combine: Combine = "softmax"
    """Average probabilities of views ("softmax"), or exp(logits + mirrored logits) of windows, then views ("exp")."""
    stretch: bool = False
    """Stretch logits over views of any size as the published codes do, instead of drawing cells where they look."""

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= LARGEST_SCALE for scale in self.scales):
            raise ModelError(
                f"scales={self.scales} is not possible; give positive numbers up to {LARGEST_SCALE}, such as 0.75,1."
            )
        _refuse_unknown("border", self.border, get_args(Border))
        _refuse_unknown("combine", self.combine, get_args(Combine))
        self._check_base_size()
        self._check_windows()

    def _check_base_size(self) -> None:
        if self.base_size is None:
            return
        sides = self.base_size if isinstance(self.base_size, tuple) else (self.base_size,)
        if len(sides) not in (1, 2) or not all(isinstance(side, int) and 1 <= side <= LARGEST_SIDE for side in sides):
            raise ModelError(
                f"base_size={self.base_size} is not possible; give a long side, such as 2048, or a long and a short"
                f" one, such as 2048,1024, up to {LARGEST_SIDE} pixels."
            )

    def _check_windows(self) -> None:
        if self.window is None:
            if self.stride is not None:
                raise ModelError(f"stride={self.stride} has no window to move; give a window as well.")
            return
        if self.window < 1:
            raise ModelError(f"window={self.window} is not possible; give a side of at least 1 pixel, such as 768.")
        stride = self.stride
        if stride is not None and not (0 < stride < 1 or (1 <= stride <= self.window and stride == int(stride))):
            raise ModelError(
                f"stride={stride:g} does not cover the picture with windows of {self.window};"
                f" give 1 to {self.window} pixels, or a share of the window such as 0.5."
            )

    @property
    def averages(self) -> bool:
        """Whether views of a picture are joined, so that scores are probabilities and not logits."""
        return len(self.scales) > 1 or self.flip or self.combine == "exp"

    @property
    def step(self) -> int:
        """Pixels from window to window."""
        window = self.window or 1
        if self.stride is not None:
            return int(self.stride) if self.stride >= 1 else max(int(window * self.stride), 1)
        # The official code rounds down, mmsegmentation's 513 for 769 is rounded to the nearest.
        return max(int(window * 2 / 3) if self.border == "pad" else round(window * 2 / 3), 1)

    def size_at(self, scale: float, height: int, width: int) -> tuple[int, int]:
        """Return height and width of a picture of the given size when it is looked at in this scale."""
        if self.base_size is None:
            return max(round(height * scale), 1), max(round(width * scale), 1)
        longer, shorter = max(height, width), min(height, width)
        if isinstance(self.base_size, tuple):
            long_side, short_side = (int(side * scale) for side in self.base_size)
            factor = min(long_side / longer, short_side / shorter)
            return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)
        long_side = math.ceil(self.base_size * scale)
        short_side = max(int(shorter * long_side / longer + 0.5), 1)
        return (long_side, short_side) if height > width else (short_side, long_side)


def _refuse_unknown(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ModelError(f"{name}={value!r} is not known.{nearest(str(value), known)} Known: {', '.join(known)}.")
