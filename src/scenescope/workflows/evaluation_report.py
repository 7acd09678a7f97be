"""The report of an evaluation: numbers, charts, and the best, the median and the worst images looked into."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from scenescope.bands import as_shown
from scenescope.data.dataset import LabeledImage, SegmentationDataset
from scenescope.data.images import resized
from scenescope.drawing.charts import draw_class_scores, draw_confusion, draw_curves
from scenescope.drawing.heatmap import mark_points, over
from scenescope.drawing.overlay import blend, colorize, present, with_legend
from scenescope.evaluation.bootstrap import Interval, Intervals
from scenescope.evaluation.class_scores import mean_scores
from scenescope.evaluation.label_files import LabelFiles
from scenescope.evaluation.scores import Scores
from scenescope.explore.trace import AttentionTrace, attend
from scenescope.inference.segmenter import SeenImage, Segmenter
from scenescope.labels import IGNORE, Classes
from scenescope.training.log import read_log
from scenescope.workflows.attention_check import AttentionCheck
from scenescope.workflows.report import Figure, Section, Table, write_report

PAGE = "report.html"
SHOWN_HEIGHT = 360
"""Pixels of an image's height in the report, at most: so the page stays small however large the images are."""
WRONG = (220, 40, 40)
"""The color of a wrong pixel in an error map."""


def examples(mean_iou: npt.NDArray[np.float64]) -> dict[str, int]:
    """Return the positions of the best, the median and the worst image; fewer where there are fewer.

    Args:
        mean_iou: of each image; NaN for one without a scored pixel.
    """
    order = [int(position) for position in np.argsort(-mean_iou, kind="stable") if not np.isnan(mean_iou[position])]
    if len(order) < 2:
        return {"only": order[0]} if order else {}
    middle = {"median": order[len(order) // 2]} if len(order) > 2 else {}
    return {"best": order[0], **middle, "worst": order[-1]}


def write_evaluation_report(
    directory: Path,
    scored: Segmenter | LabelFiles,
    dataset: SegmentationDataset,
    scores: Scores,
    counts: npt.NDArray[np.int64],
    title: str,
    intervals: Intervals,
    attention: AttentionCheck | None = None,
) -> Path:
    """Write ``report.html``, which needs no other file, and its charts beside it; return its path.

    Args:
        scored: the model, with the settings that it was scored with, or label files.
        scores: over the whole data set.
        counts: N x 3 x K of single images, see ``ImageCounts``.
        title: what was scored on what.
        intervals: of the scores.
        attention: what was found of it, if it was checked.

    Raises:
        StorageError: the place cannot be written.
    """
    names = dataset.classes.names
    # Over the classes that are in an image or its prediction.
    of_images = mean_scores(counts, "skip")["mean_iou"]
    model = scored if isinstance(scored, Segmenter) else None
    draw_class_scores(names, scores.iou, dataset.classes.palette, directory / "classes.png")
    draw_confusion(np.array(scores.matrix), names, directory / "confusion.png")
    sections = [
        Section(
            "Classes",
            table=_table(scores, intervals),
            figures=[Figure(directory / "classes.png", "IoU of each class", True)],
        ),
        Section("Confusion", figures=[Figure(directory / "confusion.png", "true classes in rows", wide=True)]),
        *[
            _example(scored, dataset, position, float(of_images[position]), which)
            for which, position in examples(of_images).items()
        ],
        *([] if attention is None else [_attention(attention)]),
        *([] if model is None else [*_curves(model.source, directory), _settings(model)]),
    ]
    facts = [
        ("mean IoU", scores.mean_iou),
        ("95 % interval of it", _interval(intervals.means.get("mean_iou"))),
        ("mean F1", scores.mean_f1),
        ("pixel accuracy", scores.pixel_accuracy),
        ("mean accuracy", scores.mean_accuracy),
        ("frequency-weighted IoU", scores.frequency_weighted_iou),
        ("images", len(dataset)),
    ]
    lead = f"Model: {scored.source}." if isinstance(scored, Segmenter) else f"Predictions: {scored.folder}."
    write_report(directory / PAGE, f"scenescope: {title}", lead, facts, sections)
    return directory / PAGE


def _attention(check: AttentionCheck) -> Section:
    table = None
    if check.shares is not None:
        shares = check.shares
        rows = [
            [name, own, area, None if own is None or not area else own / area]
            for name, own, area in zip(shares.names, shares.own, shares.area, strict=True)
        ]
        table = Table(("class", "attention on its own class", "share of the area", "times chance"), rows)
    return Section("Attention", " ".join(check.sentences()), table)


def _settings(model: Segmenter) -> Section:
    rows = [[name, str(value)] for name, value in dataclasses.asdict(model.settings).items()]
    return Section("How", table=Table(("setting", "value"), rows))


def _table(scores: Scores, intervals: Intervals) -> Table:
    total = sum(scores.pixels)
    of_iou = intervals.classes.get("iou", [None] * len(scores.names))
    columns = scores.names, scores.iou, of_iou, scores.f1, scores.precision, scores.accuracy, scores.pixels
    rows = [
        [name, iou, _interval(around), *others, pixels / total]
        for name, iou, around, *others, pixels in zip(*columns, strict=True)
    ]
    return Table(("class", "IoU", "95 % interval", "F1", "precision", "recall", "share of pixels"), rows)


def _interval(found: Interval | None) -> str | None:
    return None if found is None else f"{found[0]:.3f} to {found[1]:.3f}"


def _example(
    scored: Segmenter | LabelFiles,
    dataset: SegmentationDataset,
    position: int,
    mean_iou: float,
    which: str,
) -> Section:
    """Show an image and what is wrong in it as it was scored, and what its worst pixel attends to."""
    scene, classes = dataset[position], dataset.classes
    labels = _predicted(scored, dataset, position, scene)
    errors = error_map(as_shown(scene.image), labels, scene.labels)
    size = _shown_size(scene.labels)
    small = resized(scene.image, size)
    image, labels, truth = (
        as_shown(small),
        _resized(labels, size),
        _resized(scene.labels, size),
    )
    seen = present(classes, labels, truth)
    shown: dict[str, npt.NDArray[np.uint8] | Image.Image] = {
        "image": image,
        "prediction": with_legend(blend(image, labels, classes.palette), seen.names, seen.palette),
        "truth": with_legend(colorize(truth, classes.palette), seen.names, seen.palette),
        "errors in red; black is not scored": _resized(errors, size),
    }
    text = f"{scene.name}: mean IoU {mean_iou:.3f}. Prediction and errors are as they were scored."
    figures = [Figure(drawn, caption, photograph=True) for caption, drawn in shown.items()]
    if isinstance(scored, Segmenter):
        told, looked = _look(scored, small, labels, truth, classes)
        text, figures = text + told, figures + looked
    return Section(f"The {which} image", text, figures=figures)


def _predicted(
    scored: Segmenter | LabelFiles, dataset: SegmentationDataset, position: int, scene: LabeledImage
) -> npt.NDArray[np.uint8]:
    if isinstance(scored, Segmenter):
        return scored.predict(SeenImage(scene.image)).labels
    return scored.labels(dataset, position)


def _look(
    segmenter: Segmenter,
    image: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    truth: npt.NDArray[np.uint8],
    classes: Classes,
) -> tuple[str, list[Figure]]:
    """Say which pixel of an image as it is shown is worst, and show what it attends to."""
    view = attend(segmenter, SeenImage(image))
    # Among what was scored as wrong, if anything was.
    worst = worst_pixel(view, np.where(labels == truth, IGNORE, truth).astype(np.uint8)) or worst_pixel(view, truth)
    if worst is None:
        return "", []
    x, y = worst
    right, taken = classes.names[truth[y, x]], classes.names[labels[y, x]]
    text = (
        f" The pixel {x},{y} is {right} and was taken for {taken}. One plain look at the whole image, at"
        f" {image.shape[1]} x {image.shape[0]} pixels and whatever way it was scored, gives {right} the lowest"
        f" probability there, {view.probabilities(worst)[truth[y, x]]:.3g}; the attention is that of this look."
    )
    if "position" not in view.kinds():
        return text, []
    attention = view.position.maps([worst])[0]
    marked = mark_points(over(as_shown(image), attention, extent=view.extent(view.position)), [worst])
    return text, [Figure(marked, f"what {x},{y} attends to", photograph=True)]


def error_map(
    image: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Return the image in gray with wrong pixels red; what is not scored is black. H x W x 3 uint8."""
    gray: npt.NDArray[np.uint8] = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    gray[labels != truth] = WRONG
    gray[truth == IGNORE] = 0
    return gray


def worst_pixel(view: AttentionTrace, truth: npt.NDArray[np.uint8]) -> tuple[int, int] | None:
    """Return x and y of the scored pixel whose true class is least probable, or None without a scored pixel.

    Args:
        truth: H x W, of the size of the view's image.
    """
    scored = truth != IGNORE
    if not scored.any():
        return None
    with torch.inference_mode():
        logits = view.network.draw(view.logits, truth.shape)[0].cpu()
        labels = torch.from_numpy(np.where(scored, truth, 0).astype(np.int64))
        doubt = torch.logsumexp(logits, dim=0) - logits.gather(0, labels[None])[0]
    row, column = np.unravel_index(np.argmax(np.where(scored, doubt.numpy(), -np.inf)), truth.shape)
    return int(column), int(row)


def _shown_size(labels: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Return width and height of an image in the report."""
    height, width = labels.shape
    return (width, height) if height <= SHOWN_HEIGHT else (max(round(width * SHOWN_HEIGHT / height), 1), SHOWN_HEIGHT)


def _resized(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.NEAREST))


def _curves(source: Path | None, directory: Path) -> list[Section]:
    """Draw the curves of the run that a model lies in."""
    log = Path() if source is None else source.parent / "log.jsonl"
    if not log.is_file():
        return []
    draw_curves(read_log(log), directory / "curves.png")
    return [Section("Training", figures=[Figure(directory / "curves.png", "curves of the training", wide=True)])]
