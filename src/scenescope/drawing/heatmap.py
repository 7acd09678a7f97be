"""Heat maps: where the values of a map are large, over the image they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Extent = tuple[float, float, float, float]
"""Left, upper, right and lower edge."""
COLORS = "inferno"
"""matplotlib's name of the colors: perceptually even, from dark to bright also in print."""


def heat(values: np.ndarray, size: tuple[int, int], extent: Extent | None = None) -> np.ndarray:
    """Paint a map from dark (its minimum) to bright (its maximum); a constant map is dark.

    Args:
        values: h x w of any finite numbers.
        size: width and height of the result in pixels; values between the cells are interpolated.
        extent: left, upper, right and lower edge of the map in pixels of the result, at or past its edges, but for less
            than a pixel where an image was enlarged to whole pixels; None: these.

    Returns:
        height x width x 3 uint8 RGB.
    """
    low, high = float(values.min()), float(values.max())
    level = (values.astype(np.float32) - low) / ((high - low) or 1.0)
    left, top, right, bottom = extent or (0, 0, *size)
    across, down = values.shape[1] / (right - left), values.shape[0] / (bottom - top)  # cells in a pixel
    columns, rows = ((size[0] - left) * across, values.shape[1]), ((size[1] - top) * down, values.shape[0])
    seen = (max(-left * across, 0), max(-top * down, 0), min(columns), min(rows))
    smooth = np.asarray(Image.fromarray(level.astype(np.float32)).resize(size, Image.Resampling.BILINEAR, box=seen))
    painted: np.ndarray = color_table()[(np.clip(smooth, 0, 1) * 255).round().astype(np.uint8)]
    return painted


def color_table() -> np.ndarray:
    """Return 256 x 3 uint8 RGB, from the color of the smallest value to that of the largest."""
    import matplotlib

    table: np.ndarray = (matplotlib.colormaps[COLORS](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    return table


def over(image: np.ndarray, values: np.ndarray, opacity: float = 0.6, extent: Extent | None = None) -> np.ndarray:
    """Lay the heat map of ``values`` (h x w) over an image (H x W x 3 uint8 RGB); same size as the image.

    Args:
        opacity: weight of the heat map, 0 to 1.
        extent: where the map lies, see ``heat``.
    """
    height, width = image.shape[:2]
    mixed = (
        image.astype(np.float32) * (1 - opacity) + heat(values, (width, height), extent).astype(np.float32) * opacity
    )
    return mixed.round().astype(np.uint8)


def mark_points(image: np.ndarray, points: Sequence[tuple[int, int]]) -> np.ndarray:
    """Draw a ring with a dot around each point (x, y in pixels); H x W x 3 uint8 RGB in and out."""
    page = Image.fromarray(image)
    draw = ImageDraw.Draw(page)
    radius = max(4, round(min(page.size) / 40))
    stroke = max(1, radius // 3)
    for x, y in points:
        # White on black on whatever lies below is seen on every image.
        for reach, width, color in ((radius + 1, stroke + 2, "black"), (radius, stroke, "white")):
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), outline=color, width=width)
        draw.ellipse((x - stroke, y - stroke, x + stroke, y + stroke), fill="white", outline="black")
    return np.asarray(page)
