"""Images of more than 8 bit: scaled by the range of their type, and refused where they do not use it.

What 4095, 0.3 or -25 dB look like a file does not say, and a range guessed for each image shows equal things unequal.
So where a data set declares no range (``bands.py``), there is one rule: 16 bit are 0 to 65535, numbers with a fraction
are 0 to 1, and nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scenescope.bands import UnfitError as UnfitError

FEWEST_LEVELS = 24
"""An image that 8 bit leave fewer levels, of more than twice as many numbers, is refused: 12 bit in 16 have 16."""

MAX_FRAMES = 1000
"""Further pages of a TIFF are not counted."""


@dataclass(frozen=True)
class Numbers:
    """What an image of more than 8 bit holds.

    Attributes:
        bands: of gray or color.
        type: of the numbers in the file, such as uint16.
        low, high: the least and the largest that are finite; 0 without any.
    """

    bands: int
    type: str
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.bands} band{'s' * (self.bands > 1)} of {self.type}, values {self.low:.7g} to {self.high:.7g}"


@dataclass(frozen=True)
class Stored:
    """A decoded and upright image before it is made 8 bit, and what was done to it.

    Attributes:
        array: H x W x 3 uint8 RGB, or H x W or H x W x 3 of another type.
        type: of the numbers in the file.
        white: the number that is white: 255, 4095, 65535 or 1.
        inverted: whether that is black, and 0 is white.
        mode: Pillow's name of what the file has.
        frames: how many there are in the file, of which this is the first; of a TIFF no more than MAX_FRAMES.
        orientation: the EXIF orientation 1..8 that it was turned by.
        transparent: whether it was not opaque everywhere; that is dropped.
    """

    array: np.ndarray
    type: str = "uint8"
    white: int = 255
    inverted: bool = False
    mode: str = "RGB"
    frames: int = 1
    orientation: int = 1
    transparent: bool = False

    @property
    def numbers(self) -> Numbers | None:
        """What the image holds; None for 8 bit."""
        if self.type == "uint8":
            return None
        finite = self.array[np.isfinite(self.array)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        return Numbers(1 if self.array.ndim == 2 else self.array.shape[2], self.type, low, high)

    def conversions(self) -> list[str]:
        """Return in words what makes this image another than an upright 8-bit RGB of one frame."""
        told = {
            f"the first of {self.frames}{' or more' * (self.frames == MAX_FRAMES)} frames": self.frames > 1,
            f"{self.mode} made RGB": self.mode != "RGB",
            "16 bit made 8 bit": self.mode == "RGB" and self.type == "uint16",
            "turned as its EXIF says": self.orientation != 1,
        }
        return [what for what, is_so in told.items() if is_so]

    def rgb(self) -> np.ndarray:
        """Return H x W x 3 uint8 RGB.

        Raises:
            UnfitError: the numbers are not in the range of their type, or 8 bit leave little of them.
        """
        if self.type == "uint8":
            return self.array
        low, high = self.array.min(), self.array.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            raise self._refusal("some are not finite")
        if low < 0 or high > self.white:
            raise self._refusal(f"read are 0 to {self.white}")
        # The highest bit tells 12 bit in 16, reflectance and temperatures from what fills the range.
        if self.white > 1 and 0 < high <= self.white // 2:
            raise self._refusal(f"only {int(high).bit_length()} of {self.white.bit_length()} bits are used")
        scaled = self._scaled()
        levels = int(np.count_nonzero(np.bincount(scaled.ravel(), minlength=256)))
        if levels < FEWEST_LEVELS and len(np.unique(self.array)) > 2 * levels:
            raise self._refusal(f"of 0 to {self.white} they are {levels} of 256 levels")
        if self.inverted:
            scaled = 255 - scaled
        return np.repeat(scaled[:, :, None], 3, axis=2) if scaled.ndim == 2 else scaled

    def _scaled(self) -> np.ndarray:
        """0..white as 0..255, rounded; of colors the high byte, as everything that reads by Pillow sees them."""
        if self.array.ndim == 3:
            high: np.ndarray = (self.array >> 8).astype(np.uint8)
            return high
        if self.white == 1:
            rounded: np.ndarray = np.rint(self.array * np.float32(255)).astype(np.uint8)
            return rounded
        table = np.rint(np.arange(self.white + 1) * (255 / self.white)).astype(np.uint8)
        looked_up: np.ndarray = table[self.array]
        return looked_up

    def _refusal(self, why: str) -> UnfitError:
        numbers = self.numbers
        assert numbers is not None
        # Where a few pixels are far from all others, the range of the others is of use.
        low, high = (
            np.percentile(self.array[np.isfinite(self.array)], (1, 99)) if numbers.low < numbers.high else (0, 0)
        )
        span = f"{low:.4g} {high:.4g}" if low < high else "LOW HIGH"
        pair = span.replace(" ", ", ")
        return UnfitError(
            f"{numbers} ({why}); declare one range for the whole data set, such as range: [{pair}] in its classes.yaml "
            f"or data.range=[{pair.replace(' ', '')}] (scenescope check proposes one), or convert all images to 8 bit, "
            f"such as gdal_translate -ot Byte -scale {span} 0 255 IN OUT"
        )
