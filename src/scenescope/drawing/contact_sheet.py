"""Many small images on one sheet, each with its name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLUMNS = 4
_GAP, _LINE = 8, 18


def contact_sheet(images: Sequence[tuple[str, np.ndarray]], side: int = 240) -> np.ndarray:
    """Lay images out in rows of four, names below.

    Args:
        images: name and H x W x 3 uint8 RGB of each, no side longer than ``side``; at least one.
        side: width and height of a place, in pixels.

    Returns:
        H x W x 3 uint8 RGB, white between the images.
    """
    rows = [images[start : start + COLUMNS] for start in range(0, len(images), COLUMNS)]
    heights = [max(image.shape[0] for _, image in row) + _LINE + _GAP for row in rows]
    sheet = Image.new("RGB", (len(rows[0]) * (side + _GAP) + _GAP, sum(heights) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        for column, (name, image) in enumerate(row):
            left = _GAP + column * (side + _GAP)
            sheet.paste(Image.fromarray(image), (left, top))
            place = left, top + image.shape[0] + _LINE // 2
            draw.text(place, _fitting(name, font, side), fill=(20, 20, 20), font=font, anchor="lm")
        top += height
    return np.array(sheet)


def _fitting(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The name, its beginning left out where it is too long: names differ at their end."""
    shown = name
    while font.getlength(shown) > width:
        name = name[1:]
        shown = f"...{name}"
    return shown
