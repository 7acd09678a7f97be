"""What the numbers of a label map mean: class names, colors and the ignored label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scenescope.errors import DataError

IGNORE = 255
"""The label of a position that is not scored, everywhere in the library."""

MAX_CLASSES = 255

Color = tuple[int, int, int]


def voc_color(index: int) -> Color:
    """Return the color of PASCAL VOC for a class index: bits 0, 1, 2 of the index fill R, G, B from the top."""
    red = green = blue = 0
    for position in range(8):
        red |= (index & 1) << (7 - position)
        green |= (index >> 1 & 1) << (7 - position)
        blue |= (index >> 2 & 1) << (7 - position)
        index >>= 3
    return red, green, blue


@dataclass(frozen=True)
class Classes:
    """The K classes of a data set or model: a name and a color (0-255 each) for every train id 0..K-1.

    Raises:
        DataError: no class, more than 255, a name twice, a color outside 0-255, or a palette of another length.
    """

    names: tuple[str, ...]
    palette: tuple[Color, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= MAX_CLASSES:
            raise DataError(f"{len(self.names)} classes given; between 1 and {MAX_CLASSES} are possible.")
        if not all(isinstance(name, str) and name for name in self.names):
            raise DataError(f"Class names {self.names!r} are not all text; put numbers in quotes.")
        if not all(0 <= value <= 255 for color in self.palette for value in color):
            raise DataError("A color of the palette is not three numbers from 0 to 255.")
        if len(set(self.names)) != len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise DataError(f"Class name {twice!r} is given twice; give every class its own name.")
        if len(self.palette) != len(self.names):
            raise DataError(
                f"{len(self.palette)} colors given for {len(self.names)} classes; give one color per class."
            )

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def named(cls, names: Sequence[str], palette: Sequence[Color] | None = None) -> Classes:
        """Make classes from names; without a palette, class i gets the color of VOC's index i + 1."""
        colors = palette if palette is not None else [voc_color(i + 1) for i in range(len(names))]
        return cls(tuple(names), tuple((int(r), int(g), int(b)) for r, g, b in colors))
