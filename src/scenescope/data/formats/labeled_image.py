"""What the writers of all formats are given about an image, and colors as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scenescope.data.formats.regions import Regions
from scenescope.labels import Classes, Color


@dataclass(frozen=True, eq=False)
class LabeledImage:
    """An image whose areas are to be written.

    Attributes:
        path: its file.
        file_name: its path below the folder of images, with "/" and ending: how tools find it again.
        regions: its areas. Their coordinates count on the image as displayed, that is as its EXIF says.
        classes: names and colors of their classes.
    """

    path: Path
    file_name: str
    regions: Regions
    classes: Classes

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.regions.areas.shape
        return width, height


def hexadecimal(color: tuple[int, int, int]) -> str:
    """Return a color as ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def color_of(text: object) -> Color | None:
    """Return the color of a text such as #ff0000; None of all else."""
    if not isinstance(text, str) or not re.fullmatch("#[0-9A-Fa-f]{6}", text):
        return None
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue
