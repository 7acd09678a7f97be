"""How an image is turned into scores: size, scales, flip, windows, and how views of it are joined."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from scenescope.errors import ModelError, nearest

MAX_SCALE = 16
"""Images are not enlarged beyond this."""
MAX_SIDE = 2**15
"""No image is resized to a longer side."""

Border = Literal["shift", "pad"]
Combine = Literal["softmax", "exp"]


@dataclass(frozen=True)
class InferenceSettings:
    """Whole image at one scale unless told otherwise; ``PROTOCOLS`` holds those of the published codes.

    Raises:
        ModelError: a value that no image can be read with.
    """

    scales: tuple[float, ...] = (1.0,)
    """Factors by which each image is resized before the network sees it."""
    flip: bool = False
    """Also look at the mirrored image."""
    window: int | None = None
    """Side of a square window that slides over each resized image, in pixels; None for the whole image."""
    stride: float | None = None
    """Pixels from window to window, or below 1 a share of the window; None for two thirds of it."""
    base_size: int | tuple[int, int] | None = None
    """Size at scale 1: its long side, or the largest long and short side, in pixels; None for the image's own."""
    border: Border = "shift"
    """A window past the lower or right border is moved back to end there ("shift"), or filled with black ("pad")."""
    combine: Combine = "softmax"
    """Average probabilities of views ("softmax"), or exp(logits + mirrored logits) of windows, then views ("exp")."""
    stretch: bool = False
    """Stretch logits over views of any size as the published codes do, instead of drawing cells where they look."""

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= MAX_SCALE for scale in self.scales):
            raise ModelError(
                f"scales={self.scales} is not possible; give positive numbers up to {MAX_SCALE}, such as 0.75,1."
            )
        _refuse_unknown("border", self.border, get_args(Border))
        _refuse_unknown("combine", self.combine, get_args(Combine))
        self._check_base_size()
        self._check_windows()

    def _check_base_size(self) -> None:
        if self.base_size is None:
            return
        sides = self.base_size if isinstance(self.base_size, tuple) else (self.base_size,)
        if len(sides) not in (1, 2) or not all(isinstance(side, int) and 1 <= side <= MAX_SIDE for side in sides):
            raise ModelError(
                f"base_size={self.base_size} is not possible; give a long side, such as 2048, or a long and a short"
                f" one, such as 2048,1024, up to {MAX_SIDE} pixels."
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
                f"stride={stride:g} does not cover the image with windows of {self.window};"
                f" give 1 to {self.window} pixels, or a share of the window such as 0.5."
            )

    @property
    def averages(self) -> bool:
        """Whether views of an image are joined, so that scores are probabilities and not logits."""
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
        """Return height and width of an image of the given size when it is looked at in this scale."""
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


PROTOCOLS: dict[str, InferenceSettings] = {
    "official": InferenceSettings(flip=True, window=768, base_size=2048, border="pad", combine="exp", stretch=True),
    "official-ms": InferenceSettings(
        scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.2),
        flip=True,
        window=1024,
        stride=0.5,
        base_size=2048,
        border="pad",
        combine="exp",
        stretch=True,
    ),
    "mmseg": InferenceSettings(base_size=(2048, 1024), stretch=True),
    "mmseg-ms": InferenceSettings(
        scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75), flip=True, base_size=(2048, 1024), stretch=True
    ),
}
"""The test procedures of the published codes by name; ``dataclasses.replace`` changes single values.

``official`` and ``official-ms`` are those of the released DANet code, whose multi-scale figures are the paper's;
``mmseg`` and ``mmseg-ms`` those of mmsegmentation. They differ in what a view is and in how views are joined:

- official: the long side becomes base_size x scale. Windows begin at multiples of the stride, and black fills one that
  reaches past the border. Each window and its mirror image give exp(logits + mirrored logits), no softmax; these are
  averaged where windows overlap, resized to the image, and summed over the scales.
- mmseg: the image, as large as fits base_size x scale, whole or in windows of which the last ends at the border.
  Logits are averaged where windows overlap and resized to the image; then probabilities are averaged over scales and
  flips.

Sizes are those for Cityscapes. The official code tests other data with base size 520 and window 480; mmsegmentation
with base size 2048,512, and its networks trained on 769 pixels with base size 2049,1025 and window 769.

Where the descriptions are silent, or more than one way would do:

- Rounding. Official: long side up, short side to the nearest. mmseg: the limits down, the image to the nearest.
- The mirror image of a window in "exp" is that of the filled window: black then lies on its left. In "softmax" the
  whole image is mirrored and then cut into windows.
- Both stretch the logits of a view over it, whatever its size (``stretch``).
- Images and scores are resized bilinearly in the network's own ``align_corners``, after normalizing, in float32.
  mmsegmentation resizes uint8 images and rounds them; that rounding is not repeated.
- Where a pixel's largest sum of logits in a window lies beyond -80 or 80, all its classes are moved there together, so
  that exp stays within float32.
- Sums of exp are divided by their sum over the classes, so that they can be read as probabilities; the order of the
  classes stays.
- An image smaller than a window is its own window ("shift") or is filled to a whole one ("pad").
"""
