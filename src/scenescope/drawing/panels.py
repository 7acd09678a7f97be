"""Panels in rows, as figures of papers have them: images, maps over images with their scale, bars, a legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scenescope.drawing.charts import save_figure
from scenescope.drawing.heatmap import COLORS, Extent
from scenescope.labels import Color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
DOTS_PER_INCH = 200
"""Of PNG files, and of the images within the others: what print shows at the size of the figure."""
PANEL_WIDTH = 3.0
"""Inches."""


@dataclass(frozen=True)
class Panel:
    """One image of a figure.

    Attributes:
        title: stands above.
        image: H x W x 3 uint8 RGB.
        values: h x w, painted over the image with a scale below; None leaves the image as it is.
        points: (x, y) pixels of the image to mark, each with its number.
        extent: left, upper, right and lower edge of the values in pixels of the image; None: those of the image.
        first: the number of the first of them.
        bars: numbers drawn as bars in place of an image.
    """

    title: str
    image: npt.NDArray[np.uint8] | None = None
    values: npt.NDArray[np.float32] | None = None
    points: Sequence[tuple[int, int]] = ()
    first: int = 1
    extent: Extent | None = None
    bars: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Legend:
    """Names and colors of the classes to explain below a figure."""

    names: Sequence[str] = ()
    colors: Sequence[Color] = field(default=())


def save_panels(rows: Sequence[Sequence[Panel]], path: Path, legend: Legend | None = None) -> None:
    """Draw rows of panels and save them in the format that the path ends in, one of ``FORMATS``.

    Raises:
        StorageError: the place cannot be written.
    """
    save_figure(draw_panels(rows, legend), path, DOTS_PER_INCH)


def draw_panels(rows: Sequence[Sequence[Panel]], legend: Legend | None = None) -> Figure:
    """Draw rows of panels; see ``save_panels``."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    across = max(len(row) for row in rows)
    images = [panel.image for row in rows for panel in row if panel.image is not None]
    height, width = images[0].shape[:2] if images else (3, 4)
    # Room for the title above and the scale below.
    row_height = PANEL_WIDTH * min(max(height / width, 0.2), 3.0) + 0.75
    figure = Figure(
        figsize=(PANEL_WIDTH * across, row_height * len(rows) + (0.5 if legend else 0)), layout="constrained"
    )
    for down, row in enumerate(rows):
        for right, panel in enumerate(row):
            _draw(figure, figure.add_subplot(len(rows), across, down * across + right + 1), panel)
    if legend:
        patches = [
            Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor="0.35", label=name)
            for name, (red, green, blue) in zip(legend.names, legend.colors, strict=True)
        ]
        columns = max(min(len(patches), 3 * across), 1)
        figure.legend(handles=patches, loc="outside lower center", ncols=columns, fontsize=7, frameon=False)
    return figure


def _draw(figure: Figure, axes: Axes, panel: Panel) -> None:
    axes.set_title(panel.title, fontsize=8)
    if panel.bars is not None:
        axes.bar(np.arange(len(panel.bars)), panel.bars, width=1.0, color="#3b528b")
        axes.set_xlim(-0.5, len(panel.bars) - 0.5)
        axes.tick_params(labelsize=6)
        return
    axes.set_xticks([])
    axes.set_yticks([])
    assert panel.image is not None
    height, width = panel.image.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(panel.image, extent=extent)
    # An image without values has an unseen scale, so that all images of a row stand at one height.
    values = np.zeros((1, 1), np.float32) if panel.values is None else panel.values
    seen = panel.values is not None
    left, top, right, bottom = panel.extent or (0, 0, width, height)
    place = (left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)
    painted = axes.imshow(values, extent=place, cmap=COLORS, interpolation="bilinear", alpha=0.7 * seen)
    _scale(figure.colorbar(painted, ax=axes, orientation="horizontal", fraction=0.06, pad=0.02, aspect=40), seen)
    for number, (x, y) in enumerate(panel.points, start=panel.first):
        axes.plot(x, y, marker="o", markersize=8, markerfacecolor="none", markeredgecolor="black", markeredgewidth=2.4)
        axes.plot(x, y, marker="o", markersize=8, markerfacecolor="none", markeredgecolor="white", markeredgewidth=1.2)
        near_right, near_top = x > 0.85 * width, y < 0.15 * height
        axes.annotate(
            str(number),
            (x, y),
            xytext=(-6 if near_right else 6, -6 if near_top else 6),
            textcoords="offset points",
            ha="right" if near_right else "left",
            va="top" if near_top else "bottom",
            fontsize=7,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)


def _scale(scale: Colorbar, seen: bool) -> None:
    """Give a scale few and small numbers, or make it take its room unseen."""
    scale.ax.tick_params(labelsize=6)
    scale.ax.locator_params(nbins=4)
    scale.formatter.set_powerlimits((-2, 3))  # type: ignore[attr-defined]
    scale.ax.xaxis.get_offset_text().set_fontsize(6)
    if not seen:
        scale.ax.tick_params(color="none", labelcolor="none")
        scale.outline.set_visible(False)
        scale.ax.xaxis.get_offset_text().set_visible(False)
