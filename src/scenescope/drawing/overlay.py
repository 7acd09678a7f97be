"""Label maps as colors: painted, laid over the image, explained by a legend, saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scenescope.labels import IGNORE, Classes, Color

IGNORE_COLOR: Color = (0, 0, 0)
"""How ignored pixels are painted where nothing lies beneath."""

BAND = 2**18
"""About so many pixels of an image are worked on at once: what is needed besides it does not grow with it."""


def colorize(labels: np.ndarray, palette: Sequence[Color]) -> np.ndarray:
    """Paint every pixel in the color of its class.

    Args:
        labels: H x W uint8 train ids; ignored pixels come out black.
        palette: one color per class, 0-255.

    Returns:
        H x W x 3 uint8 RGB.
    """
    painted: np.ndarray = _table(palette)[labels]
    return painted


def bands(height: int, width: int) -> Iterator[slice]:
    """Cut the rows of an image into bands of about ``BAND`` pixels."""
    rows = max(1, BAND // max(1, width))
    return (slice(top, top + rows) for top in range(0, height, rows))


def blend(image: np.ndarray, labels: np.ndarray, palette: Sequence[Color], opacity: float = 0.5) -> np.ndarray:
    """Lay the colors of the classes over an image; ignored pixels show the image alone.

    Args:
        image: H x W x 3 uint8 RGB.
        labels: H x W uint8 train ids.
        opacity: weight of the colors, 0 to 1.

    Returns:
        H x W x 3 uint8 RGB.
    """
    blended = np.empty_like(image)
    for band in bands(*labels.shape):
        mixed = _mixed(image[band], colorize(labels[band], palette), opacity)
        blended[band] = np.where((labels[band] == IGNORE)[..., None], image[band], mixed)
    return blended


def with_legend(
    image: np.ndarray, names: Sequence[str], palette: Sequence[Color], shares: Sequence[float] | None = None
) -> Image.Image:
    """Put a legend of class names and colors under an image.

    Args:
        image: H x W x 3 uint8 RGB.
        shares: share of every class, 0 to 1; classes with none are left out, the rest are listed with their share,
            largest first. Without it all classes are listed in their order.

    Returns:
        The image with the legend below, wider only if a single name needs it.
    """
    page = _page(image.shape[0], image.shape[1], _entries(names, palette, shares))
    page.paste(Image.fromarray(image))
    return page


def overlaid(
    image: np.ndarray, labels: np.ndarray, classes: Classes, shares: Sequence[float], opacity: float = 0.5
) -> Image.Image:
    """Return ``blend`` of an image ``with_legend``, in little more memory than the image that is returned.

    Args:
        image: H x W x 3 uint8 RGB.
        labels: H x W uint8 train ids.
        shares: share of every class, 0 to 1.
        opacity: weight of the colors, 0 to 1.
    """
    page = _page(labels.shape[0], labels.shape[1], _entries(classes.names, classes.palette, shares))
    for band in bands(*labels.shape):
        page.paste(Image.fromarray(blend(image[band], labels[band], classes.palette, opacity)), (0, band.start))
    return page


def _page(height: int, width: int, entries: Sequence[tuple[str, Color]]) -> Image.Image:
    """Return a white page for an image, with the legend of the entries below its place."""
    size = min(40, max(11, round(width / 42)))
    font = ImageFont.load_default(size)
    gap, line = round(size * 0.6), round(size * 1.6)
    lengths = [size + gap // 2 + round(font.getlength(text)) + gap for text, _ in entries]
    total = max([width, *(length + gap for length in lengths)])

    places: list[tuple[int, int]] = []
    left, row = gap, 0
    for length in lengths:
        if left + length > total and left > gap:
            left, row = gap, row + 1
        places.append((left, height + gap // 2 + row * line))
        left += length
    legend = (row + 1) * line + gap if entries else 0

    page = Image.new("RGB", (total, height + legend), "white")
    draw = ImageDraw.Draw(page)
    for (text, color), (x, y) in zip(entries, places, strict=True):
        middle = y + line // 2
        swatch = (x, middle - size // 2, x + size, middle + size - size // 2)
        draw.rectangle(swatch, fill=color, outline=(90, 90, 90))
        draw.text((x + size + gap // 2, middle), text, fill=(20, 20, 20), font=font, anchor="lm")
    return page


def present(classes: Classes, *maps: np.ndarray) -> Classes:
    """Return the names and colors of those classes alone that are in some label maps, in their order."""
    seen = np.unique(np.concatenate([labels.ravel() for labels in maps]))
    labels = [int(label) for label in seen if label < len(classes)]
    return Classes.named([classes.names[label] for label in labels], [classes.palette[label] for label in labels])


def label_image(labels: np.ndarray, palette: Sequence[Color]) -> Image.Image:
    """Return H x W uint8 train ids as an image with a palette: these are its values, ignored stays 255."""
    image = Image.fromarray(labels)
    image.putpalette(_table(palette).tobytes())
    return image


def _mixed(image: np.ndarray, colors: np.ndarray, opacity: float) -> np.ndarray:
    """Return (1 - opacity) image + opacity colors, rounded to uint8."""
    mixed = image.astype(np.float32) * (1 - opacity) + colors.astype(np.float32) * opacity
    return mixed.round().astype(np.uint8)


def _entries(names: Sequence[str], palette: Sequence[Color], shares: Sequence[float] | None) -> list[tuple[str, Color]]:
    if shares is None:
        return list(zip(names, palette, strict=True))
    present = [index for index, share in enumerate(shares) if share > 0]
    present.sort(key=lambda index: -shares[index])
    return [(f"{names[index]} {_percent(shares[index])}", palette[index]) for index in present]


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "<1%"


def _table(palette: Sequence[Color]) -> np.ndarray:
    """Return 256 x 3 uint8: the color of every value a label can have."""
    table = np.full((256, 3), IGNORE_COLOR, np.uint8)
    table[: len(palette)] = palette
    return table
