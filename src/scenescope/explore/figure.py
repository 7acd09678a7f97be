"""Pictures side by side, each with a title: a figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

PANEL_HEIGHTS = (240, 720)
"""Smallest and largest height of a panel in pixels; pictures outside are resized to it."""


def side_by_side(panels: Sequence[tuple[str, npt.NDArray[np.uint8]]]) -> Image.Image:
    """Join pictures of one size into a row.

    Args:
        panels: title and H x W x 3 uint8 RGB picture of each.
    """
    height, width = panels[0][1].shape[:2]
    panel_height = min(max(height, PANEL_HEIGHTS[0]), PANEL_HEIGHTS[1])
    panel_width = max(round(width * panel_height / height), 1)
    text_size = max(panel_height // 22, 12)
    margin, title_height = text_size // 2, text_size * 2
    font = ImageFont.load_default(text_size)
    size = (margin + (panel_width + margin) * len(panels), title_height + panel_height + margin)
    figure = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(figure)
    for number, (title, picture) in enumerate(panels):
        left = margin + (panel_width + margin) * number
        figure.paste(
            Image.fromarray(picture).resize((panel_width, panel_height), Image.Resampling.BICUBIC), (left, title_height)
        )
        draw.text((left, title_height // 2), title, fill="black", font=font, anchor="lm")
    return figure
