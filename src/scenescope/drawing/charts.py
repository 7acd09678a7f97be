"""Charts of a run: curves of training, and the confusion matrix."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenescope.errors import visible
from scenescope.files import write_atomically
from scenescope.labels import Color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

NUMBERED = 20
"""Up to this many classes the cells of a confusion matrix carry their numbers."""

PANELS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("loss", lambda key: key == "loss" or key.startswith("loss/")),
    ("validation", lambda key: key in ("val/miou", "val/pixel_accuracy")),
    ("learning rate", lambda key: key == "lr"),
    ("attention scales", lambda key: key in ("alpha", "beta")),
)
"""Titles of the charts of a run, and which keys of the log each shows."""

LABELS = {"loss": "total", "val/miou": "mIoU", "val/pixel_accuracy": "pixel accuracy"}


def draw_curves(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw what a training log holds, as PNG: loss with its parts, validation, rate, and alpha and beta if it has them.

    Args:
        rows: rows of ``log.jsonl``, each with "step" and any of the keys named in ``PANELS``.

    Raises:
        StorageError: the place cannot be written.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    panels = [(title, [key for key in keys if wanted(key)]) for title, wanted in PANELS]
    panels = [(title, chosen) for title, chosen in panels if chosen]
    across = min(2, max(1, len(panels)))
    down = -(-len(panels) // across) or 1
    figure = new_figure(5.2 * across, 3.2 * down)
    for place, (title, chosen) in enumerate(panels, start=1):
        _panel(figure.add_subplot(down, across, place), title, chosen, rows)
    save_figure(figure, path)


def _panel(axes: Axes, title: str, keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    for key in keys:
        points = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
        steps, values = [step for step, _ in points], np.array([value for _, value in points], dtype=float)
        label = LABELS.get(key, key.removeprefix("loss/"))
        if key.startswith("loss") and len(values) >= 20:
            # One batch says little: the running mean carries the line, the values stay behind it.
            (line,) = axes.plot(steps, _running_mean(values, len(values) // 15), label=label)
            axes.plot(steps, values, color=line.get_color(), alpha=0.2, linewidth=1)
        else:
            axes.plot(steps, values, label=label, marker="o" if len(values) < 20 else "", markersize=4)
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("step")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if title in ("loss", "learning rate"):
        axes.set_ylim(bottom=0)
    if len(keys) > 1 or title == "validation":
        axes.legend(frameon=False, fontsize=9)


def _running_mean(values: np.ndarray, half: int) -> np.ndarray:
    """Return the mean of each value and up to ``half`` neighbors on either side."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first, last = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    means: np.ndarray = (sums[last] - sums[first]) / (last - first)
    return means


def draw_class_scores(
    names: Sequence[str], scores: Sequence[float | None], colors: Sequence[Color], path: Path
) -> None:
    """Draw the score of each class as a bar in its color, the best on top, as PNG.

    Args:
        scores: 0 to 1; None for a class that never occurs, which has no bar.

    Raises:
        StorageError: the place cannot be written.
    """
    order = sorted(range(len(names)), key=lambda index: (scores[index] is not None, scores[index] or 0.0))
    figure = new_figure(6.4, max(2.0, 0.26 * len(names) + 0.8))
    axes = figure.add_subplot()
    values = [100 * (scores[index] or 0.0) for index in order]
    paints = [tuple(part / 255 for part in colors[index]) for index in order]
    axes.barh(range(len(order)), values, color=paints, edgecolor="0.35", linewidth=0.6)
    for place, index in enumerate(order):
        shown = "absent" if scores[index] is None else f"{values[place]:.1f}"
        axes.text(values[place] + 1, place, shown, va="center", fontsize=8)
    axes.set_yticks(range(len(order)), [names[index] for index in order], fontsize=8)
    axes.set_xlim(0, 108)
    axes.set_xlabel("IoU, %")
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def draw_confusion(matrix: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix as PNG: of the pixels of each true class (row), the share given to each class (column).

    Args:
        matrix: K x K counts, rows truth, columns prediction; the row of a class without pixels is gray.
        names: the K class names.

    Raises:
        StorageError: the place cannot be written.
    """
    from matplotlib import colormaps

    shares = row_shares(matrix)
    side = _side(len(names))
    figure = new_figure(side + 0.6, side)
    axes = figure.add_subplot()
    _draw_classes(axes, shares, names, colormaps["Blues"], (0, 1), "share of the true class", "{:.0f}", shares >= 0.005)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    save_figure(figure, path)


def draw_class_cuts(
    paid: Sequence[Sequence[float | None]], change: Sequence[Sequence[float | None]], names: Sequence[str], path: Path
) -> None:
    """Draw as PNG, side by side, the attention that classes pay each other and their IoU without each to attend to.

    Args:
        paid: K x K, the share of its attention that the class of a row pays to that of a column, 0..1, or None.
        change: K x K, the change of the row's IoU without the column to attend to, -1..1, or None.
        names: the K class names.

    Raises:
        StorageError: the place cannot be written.
    """
    from matplotlib import colormaps

    shares, points = np.array(paid, dtype=float), 100 * np.array(change, dtype=float)
    side, most = _side(len(names)), max(float(np.nanmax(np.abs(points), initial=0.0)), 1.0)
    figure = new_figure(2 * side + 1.2, side)
    left, right = figure.subplots(1, 2)
    _draw_classes(left, shares, names, colormaps["Blues"], (0, 1), "share of attention", "{:.0f}", shares >= 0.005)
    left.set_xlabel("attended to")
    left.set_ylabel("attends")
    label = "change of IoU, points"
    _draw_classes(right, points, names, colormaps["RdBu"], (-most, most), label, "{:+.1f}", np.abs(points) >= 0.05, 1)
    right.set_xlabel("not there to attend to")
    right.set_ylabel("scored")
    save_figure(figure, path)


def _side(count: int) -> float:
    """Return the inches of a square of K x K classes."""
    return min(24.0, max(4.5, 0.55 * count + 1.8) if count <= NUMBERED else 0.22 * count + 3)


def _draw_classes(
    axes: Axes,
    values: np.ndarray,
    names: Sequence[str],
    colors: Colormap,
    limits: tuple[float, float],
    label: str,
    form: str,
    written: np.ndarray,
    factor: float = 100,
) -> None:
    """Draw K x K numbers of classes by classes as colors, NaN gray, and write some of them, times the factor."""
    count = len(names)
    colors = colors.with_extremes(bad="0.85")
    image = axes.imshow(np.ma.masked_invalid(values), cmap=colors, vmin=limits[0], vmax=limits[1])
    small = 9 if count <= NUMBERED else 6
    axes.set_xticks(range(count), names, rotation=45 if count <= NUMBERED else 90, ha="right", fontsize=small)
    axes.set_yticks(range(count), names, fontsize=small)
    axes.spines[:].set_visible(False)
    if count <= NUMBERED:
        for row, column in np.argwhere(written):
            value = values[row, column]
            color = "white" if abs(value) > 0.55 * limits[1] else "0.2"
            text = form.format(factor * value)
            axes.text(column, row, text, ha="center", va="center", fontsize=9 if factor > 1 else 8, color=color)
    axes.figure.colorbar(image, ax=axes, shrink=0.75, label=label)


def row_shares(matrix: np.ndarray) -> np.ndarray:
    """Return each row of a K x K matrix of counts divided by its sum; NaN where a class has no pixel."""
    counts = np.asarray(matrix, dtype=float)
    sums = counts.sum(axis=1, keepdims=True)
    shares: np.ndarray = np.divide(counts, sums, out=np.full_like(counts, np.nan), where=sums > 0)
    return shares


def new_figure(width: float, height: float) -> Figure:
    """Return a figure of its own (inches): no pyplot, hence no window, no backend and no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path, dots_per_inch: int = 110) -> None:
    """Save a figure in the format that the path ends in, whole or not at all.

    Raises:
        StorageError: the place cannot be written.
    """
    from matplotlib.text import Text

    # A name is no formula, whatever dollars stand in it, and may hold what is no character.
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text(visible(text.get_text()))
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; nobody need hear of each.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        kind = path.suffix.removeprefix(".")
        write_atomically(path, lambda temporary: figure.savefig(temporary, format=kind, dpi=dots_per_inch))
