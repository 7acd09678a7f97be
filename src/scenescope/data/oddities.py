"""What files say beside pixels and labels, and nobody asked: further pages, EXIF turns, transparency, palettes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scenescope.data.decoding import count_frames, is_transparent, orientation
from scenescope.data.depth import Numbers, Stored
from scenescope.data.images import opened
from scenescope.labels import Color

OddityKind = Literal[
    "image with further pages", "image turned", "image transparent", "image of one color",
    "mask with further pages", "mask transparent",
]  # fmt: skip
"""What is no fault for sure, but may be one."""

MAX_NAMED = 3
"""As many scenes of a kind are named."""

_SENTENCES: dict[OddityKind, str] = {
    "image with further pages": "only the first page of an image is read",
    "image turned": (
        "an image is turned as its EXIF says and its mask is not, and by its size the mask fits both ways: compare the "
        "overlays (--output), and if they differ store the images upright"
    ),
    "image transparent": "the transparency of an image is dropped",
    "image of one color": "an image is of one color throughout",
    "mask with further pages": "only the first page of a mask is read",
    "mask transparent": "a mask has transparent pixels, whose labels count like others",
}


@dataclass(frozen=True)
class Oddities:
    """What is odd in a scene.

    Attributes:
        kinds: each with a detail, or an empty one.
        numbers: what the image holds if that is not 8 bit.
        palette: the color that the mask's palette gives each number that occurs.
    """

    kinds: tuple[tuple[OddityKind, str], ...] = ()
    numbers: Numbers | None = None
    palette: dict[int, Color] = field(default_factory=dict)


@dataclass(frozen=True)
class MaskFacts:
    """What the file of a mask says beside its labels.

    Attributes:
        frames: its pages.
        orientation: the EXIF orientation 1..8 that it was turned by.
        transparent: whether it is not opaque everywhere.
        palette: red, green and blue of number 0, of number 1, ...; empty without a palette.
    """

    frames: int = 1
    orientation: int = 1
    transparent: bool = False
    palette: tuple[int, ...] = ()


def mask_facts(path: Path, max_pixels: int) -> MaskFacts:
    """Read what the file of a mask says beside its labels.

    Raises:
        ImageError: as ``opened``.
    """
    if path.suffix.lower() == ".mat":
        return MaskFacts()
    with opened(path, max_pixels) as image:
        frames, turn = count_frames(image), orientation(image)
        image.load()
        palette = image.getpalette("RGB") if image.mode in ("P", "PA") else None
        return MaskFacts(frames, turn, is_transparent(image), tuple(palette or ()))


def find_oddities(
    stored: Stored | None, image: np.ndarray | None, mask: MaskFacts | None, values: Iterable[int]
) -> Oddities:
    """Return what is odd in a scene.

    Args:
        stored: its image as it was decoded; None where it could not be, or came from no file.
        image: the same as 8-bit RGB; None where that is refused.
        mask: its mask; None where there is none, or it cannot be read.
        values: the numbers in the mask; none where it holds colors.
    """
    has_mask = mask is not None
    stored, mask = stored or Stored(np.empty((0, 1, 3), np.uint8)), mask or MaskFacts()
    height, width = stored.array.shape[:2]
    keeps_size = stored.orientation in (2, 3, 4) or (stored.orientation > 4 and height == width)
    found: dict[OddityKind, tuple[bool, str]] = {
        "image with further pages": (stored.frames > 1, f"{stored.frames} pages"),
        "image turned": (
            has_mask and keeps_size and stored.orientation != mask.orientation,
            f"orientation {stored.orientation}",
        ),
        "image transparent": (stored.transparent, ""),
        "image of one color": (image is not None and bool((image == image[:1, :1]).all()), ""),
        "mask with further pages": (mask.frames > 1, f"{mask.frames} pages"),
        "mask transparent": (mask.transparent, ""),
    }
    kinds = tuple((kind, detail) for kind, (is_so, detail) in found.items() if is_so)
    colors = list(zip(mask.palette[::3], mask.palette[1::3], mask.palette[2::3], strict=False))
    palette = {value: colors[value] for value in values if value < len(colors)}
    return Oddities(kinds, stored.numbers, palette)


@dataclass
class OddityCounts:
    """What is odd in the scenes of a split; filled scene by scene.

    Attributes:
        scenes: those of each kind, with the detail.
        numbers: what the images hold that are not of 8 bit, by bands and type.
        colors: of each number of the masks, the colors that palettes give it, with the first scene of each.
    """

    scenes: dict[OddityKind, list[str]] = field(default_factory=dict)
    numbers: dict[tuple[int, str], list[Numbers]] = field(default_factory=dict)
    colors: dict[int, dict[Color, str]] = field(default_factory=dict)

    def add(self, name: str, found: Oddities) -> None:
        """Take up what is odd in a scene."""
        for kind, detail in found.kinds:
            self.scenes.setdefault(kind, []).append(f"{name}, {detail}" if detail else name)
        if found.numbers is not None:
            self.numbers.setdefault((found.numbers.bands, found.numbers.type), []).append(found.numbers)
        for value, color in found.palette.items():
            self.colors.setdefault(value, {}).setdefault(color, name)

    @property
    def contradictions(self) -> dict[int, dict[Color, str]]:
        """The numbers that palettes give several colors."""
        return {value: colors for value, colors in sorted(self.colors.items()) if len(colors) > 1}

    def sentences(self, split: str) -> list[str]:
        """Return what was odd in words, a sentence each."""
        told = []
        for kind, names in self.scenes.items():
            first = "; ".join(names[:MAX_NAMED]) + "; ..." * (len(names) > MAX_NAMED)
            told.append(f"{split}: {_SENTENCES[kind]}; so in {len(names)} of the scenes ({first}).")
        for value, colors in list(self.contradictions.items())[:MAX_NAMED]:
            shown = ", ".join(f"{color} in {name}" for color, name in list(colors.items())[:MAX_NAMED])
            told.append(
                f"{split}: the palettes of the masks differ: {value} is {shown}"
                f"{', ...' * (len(colors) > MAX_NAMED)}; labels are the numbers, whatever their color, so see that "
                "they mean the same everywhere."
            )
        return told

    def to_json(self) -> dict[str, Any]:
        """Return everything as an object that JSON can hold."""
        return {
            "oddities": [
                {"kind": kind, "scenes": len(names), "first": names[:MAX_NAMED]} for kind, names in self.scenes.items()
            ],
            "not_8_bit": [
                {**asdict(_joined(bands, type_, numbers)), "images": len(numbers)}
                for (bands, type_), numbers in self.numbers.items()
            ],
            "palettes_differ": [
                {"value": value, "colors": [{"color": color, "first": name} for color, name in colors.items()]}
                for value, colors in self.contradictions.items()
            ],
        }


def _joined(bands: int, type_: str, numbers: list[Numbers]) -> Numbers:
    """What all of several images hold together."""
    return Numbers(bands, type_, min(each.low for each in numbers), max(each.high for each in numbers))
