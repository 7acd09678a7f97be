"""How much the labels of a video flicker: change where the image does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scenescope.drawing.overlay import bands

STILL = 8
"""A pixel keeps its color from frame to frame if red, green and blue each differ by at most this, of 255."""


@dataclass
class Flicker:
    """Pixels that kept their color from one frame to the next, and those of them that got another class."""

    still: int = 0
    changed: int = 0

    def add(self, still: npt.NDArray[np.bool_], before: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> float:
        """Count two frames and return the share of these two alone.

        Args:
            still: H x W, where the image is the same.
            before: H x W labels of the earlier frame.
            labels: H x W labels of the later one.
        """
        num_still, num_changed = int(still.sum()), int((still & (before != labels)).sum())
        self.still += num_still
        self.changed += num_changed
        return num_changed / max(1, num_still)

    @property
    def share(self) -> float:
        """Share, 0 to 1, of still pixels that got another class."""
        return self.changed / max(1, self.still)


def still_pixels(before: npt.NDArray[np.uint8], image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return H x W: where two H x W x 3 images differ by at most ``STILL`` in every color."""
    still = np.empty(image.shape[:2], np.bool_)
    for band in bands(image.shape[0], image.shape[1]):
        first, second = before[band], image[band]
        still[band] = (np.maximum(first, second) - np.minimum(first, second) <= STILL).all(axis=2)
    return still
