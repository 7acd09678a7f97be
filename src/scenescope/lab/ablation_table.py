"""The table of an ablation: mean and deviation over seeds, differences, and the published numbers beside them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scenescope.drawing.charts import new_figure, save_figure
from scenescope.lab.ablation import Ablation, Outcome


def summarize(ablation: Ablation, outcome: Outcome) -> list[dict[str, Any]]:
    """Return a dictionary for each row, as JSON holds it: scores of 0 to 1, published numbers in percent.

    Mean and sample standard deviation are over the seeds that are done; None where there are none, or a single one.
    ``delta`` is the difference to the first row, over the seeds that both have.
    """
    baseline = outcome.scores[ablation.rows[0].name]
    rows = []
    for row in ablation.rows:
        scores = outcome.scores[row.name]
        miou = {seed: score["miou"] for seed, score in scores.items()}
        shared = sorted(miou.keys() & baseline.keys())
        first = ablation.rows[0].published
        rows.append(
            {
                "name": row.name,
                "seeds": sorted(scores),
                "miou": _mean(list(miou.values())),
                "miou_deviation": _deviation(list(miou.values())),
                "delta": _mean([miou[seed] - baseline[seed]["miou"] for seed in shared]),
                "pixel_accuracy": _mean([score["pixel_accuracy"] for score in scores.values()]),
                "iou": _mean_by_class([score.get("iou", {}) for score in scores.values()]),
                # Their signs differ from seed to seed and would cancel.
                "abs_alpha": _mean([abs(score["alpha"]) for score in scores.values() if "alpha" in score]),
                "abs_beta": _mean([abs(score["beta"]) for score in scores.values() if "beta" in score]),
                "published_miou": row.published,
                "published_delta": None if row.published is None or first is None else row.published - first,
                "runs": scores,
            }
        )
    return rows


def as_markdown(ablation: Ablation, rows: Sequence[dict[str, Any]], failures: Sequence[str] = ()) -> str:
    """Return the table and that of the classes as Markdown, in percent; columns that no row fills are left out."""
    columns = {
        ablation.sweep or "network": [row["name"] for row in rows],
        "seeds": [str(len(row["seeds"])) for row in rows],
        "mIoU": [_with_deviation(row["miou"], row["miou_deviation"]) for row in rows],
        "to the first": ["" if row is rows[0] else _signed(row["delta"], 100) for row in rows],
        "pixel accuracy": [_percent(row["pixel_accuracy"]) for row in rows],
        "abs(alpha)": [_plain(row["abs_alpha"]) for row in rows],
        "abs(beta)": [_plain(row["abs_beta"]) for row in rows],
        "published mIoU": ["" if row["published_miou"] is None else f"{row['published_miou']:g}" for row in rows],
        "to its first": ["" if row is rows[0] else _signed(row["published_delta"], 1) for row in rows],
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    text = [f"## {ablation.title}", "", *_table(columns), ""]
    text.append("mIoU in percent: mean and standard deviation over the seeds of the model after the last step.")
    if ablation.published is not None:
        text.append(f"Published: {ablation.published}.")
    classes = list(dict.fromkeys(name for row in rows for name in row["iou"]))
    if classes:
        by_class = {"class": classes}
        by_class |= {row["name"]: [_percent(row["iou"].get(name), digits=1) for name in classes] for row in rows}
        text += ["", "IoU of each class in percent, mean over the seeds:", "", *_table(by_class)]
    text += [f"Failed: {failure}" for failure in failures]
    return "\n".join(text) + "\n"


def draw_sweep(setting: str, rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw mean mIoU with its deviation against the values of a setting, as PNG.

    Args:
        rows: of an ablation's table, each with "name" (the value), "miou" and "miou_deviation" of 0 to 1 or None.

    Raises:
        StorageError: the place cannot be written.
    """
    done = [row for row in rows if row["miou"] is not None]
    figure = new_figure(5.2, 3.6)
    axes = figure.add_subplot()
    means = [100 * row["miou"] for row in done]
    axes.errorbar(
        [row["name"] for row in done],
        means,
        yerr=[100 * (row["miou_deviation"] or 0.0) for row in done],
        marker="o",
        capsize=3,
    )
    axes.set_xlabel(setting)
    axes.set_ylabel("mIoU, %")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def _table(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, in which names of classes stay in their cells."""
    lines = [list(columns), ["---"] * len(columns), *map(list, zip(*columns.values(), strict=True))]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines]
    return [f"| {' | '.join(line)} |" for line in cells]


def _mean_by_class(scores: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the mean IoU of each class over the runs that have one of it."""
    names = dict.fromkeys(name for score in scores for name in score)
    return {name: _mean([iou for score in scores if (iou := score.get(name)) is not None]) for name in names}


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _percent(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{100 * value:.{digits}f}"


def _with_deviation(mean: float | None, deviation: float | None) -> str:
    return _percent(mean) + ("" if deviation is None else f" ± {100 * deviation:.2f}")


def _signed(value: float | None, factor: float) -> str:
    return "" if value is None else f"{factor * value:+.2f}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
