"""How a picture is turned into scores: scales, flip and windows."""

from __future__ import annotations

from dataclasses import dataclass

from scenescope.errors import ModelError

LARGEST_SCALE = 16
"""Pictures are not enlarged beyond this."""


@dataclass(frozen=True)
class InferenceSettings:
    """Whole image at one scale unless told otherwise.

    Raises:
        ModelError: a scale, window or stride that no picture can be read with.
    """

    scales: tuple[float, ...] = (1.0,)
    """Factors by which each picture is resized before the network sees it."""
    flip: bool = False
    """Also look at the mirrored picture."""
    window: int | None = None
    """Side of a square window that slides over each resized picture, in pixels; None for the whole picture."""
    stride: int | None = None
    """Pixels from window to window; None for two thirds of the window, as the official DANet code."""

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= LARGEST_SCALE for scale in self.scales):
            raise ModelError(
                f"scales={self.scales} is not possible; give positive numbers up to {LARGEST_SCALE}, such as 0.75,1."
            )
        if self.window is None:
            if self.stride is not None:
                raise ModelError(f"stride={self.stride} has no window to move; give a window as well.")
            return
        if self.window < 1:
            raise ModelError(f"window={self.window} is not possible; give a side of at least 1 pixel, such as 768.")
        if self.stride is not None and not 1 <= self.stride <= self.window:
            raise ModelError(
                f"stride={self.stride} does not cover the picture with windows of {self.window};"
                f" give 1 to {self.window}."
            )

    @property
    def averages(self) -> bool:
        """Whether several views of a picture are averaged, so that scores are probabilities and not logits."""
        return len(self.scales) > 1 or self.flip

    @property
    def step(self) -> int:
        """Pixels from window to window."""
        if self.stride is not None:
            return self.stride
        return max(round((self.window or 1) * 2 / 3), 1)
