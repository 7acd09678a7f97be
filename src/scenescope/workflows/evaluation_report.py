"""The report of an evaluation: numbers, charts, and the best, the median and the worst images looked into."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from scenescope.bands import as_shown
from scenescope.data.dataset import SegmentationDataset
from scenescope.data.images import resized
from scenescope.drawing.charts import draw_class_scores, draw_confusion, draw_curves
from scenescope.drawing.heatmap import mark_points, over
from scenescope.drawing.overlay import blend, colorize, present, with_legend
from scenescope.evaluation.confusion import ConfusionMatrix
from scenescope.evaluation.scores import Scores
from scenescope.explore.trace import AttentionTrace, attend
from scenescope.inference.segmenter import SeenImage, Segmenter
from scenescope.labels import IGNORE
from scenescope.training.log import read_log
from scenescope.workflows.attention_check import AttentionCheck
from scenescope.workflows.report import Figure, Section, Table, write_report

PAGE = "report.html"
SHOWN_HEIGHT = 360
"""Pixels of an image's height in the report, at most: so the page stays small however large the images are."""
WRONG = (220, 40, 40)
"""The color of a wrong pixel in an error map."""


@dataclass
class ImageScores:
    """The mean IoU of every image, over the classes that are in its truth or prediction.

    Attributes:
        names: the K class names.
        mean_iou: by the position of the image in its data set; images without a scored pixel are not there.
    """

    names: Sequence[str]
    mean_iou: dict[int, float] = field(default_factory=dict)

    def see(self, position: int, labels: Tensor, predictions: Tensor) -> None:
        """Score one image; given to the evaluator."""
        if not bool((labels != IGNORE).any()):
            return
        matrix = ConfusionMatrix(len(self.names), labels.device)
        matrix.update(labels, predictions)
        self.mean_iou[position] = Scores.from_matrix(matrix, self.names).mean_iou

    def examples(self) -> dict[str, int]:
        """Return the positions of the best, the median and the worst image; fewer where there are fewer."""
        order = sorted(self.mean_iou, key=lambda position: (-self.mean_iou[position], position))
        if len(order) < 2:
            return {"only": order[0]} if order else {}
        middle = {"median": order[len(order) // 2]} if len(order) > 2 else {}
        return {"best": order[0], **middle, "worst": order[-1]}


def write_evaluation_report(
    directory: Path,
    segmenter: Segmenter,
    dataset: SegmentationDataset,
    scores: Scores,
    images: ImageScores,
    title: str,
    attention: AttentionCheck | None = None,
) -> Path:
    """Write ``report.html``, which needs no other file, and its charts beside it; return its path.

    Args:
        segmenter: the model, with the settings that it was scored with.
        scores: over the whole data set.
        images: those of single images.
        title: what was scored on what.
        attention: what was found of it, if it was checked.

    Raises:
        StorageError: the place cannot be written.
    """
    names, settings = dataset.classes.names, dataclasses.asdict(segmenter.settings)
    draw_class_scores(names, scores.iou, dataset.classes.palette, directory / "classes.png")
    draw_confusion(np.array(scores.matrix), names, directory / "confusion.png")
    sections = [
        Section(
            "Classes", table=_table(scores), figures=[Figure(directory / "classes.png", "IoU of each class", True)]
        ),
        Section("Confusion", figures=[Figure(directory / "confusion.png", "true classes in rows", wide=True)]),
        *[
            _example(segmenter, dataset, position, images.mean_iou[position], which)
            for which, position in images.examples().items()
        ],
        *([] if attention is None else [_attention(attention)]),
        *_curves(segmenter.source, directory),
        Section("How", table=Table(("setting", "value"), [[name, str(value)] for name, value in settings.items()])),
    ]
    facts = [
        ("mean IoU", scores.mean_iou),
        ("pixel accuracy", scores.pixel_accuracy),
        ("mean accuracy", scores.mean_accuracy),
        ("frequency-weighted IoU", scores.frequency_weighted_iou),
        ("images", len(dataset)),
    ]
    write_report(directory / PAGE, f"scenescope: {title}", f"Model: {segmenter.source}.", facts, sections)
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


def _table(scores: Scores) -> Table:
    total = sum(scores.pixels)
    rows = [
        [name, iou, accuracy, pixels / total]
        for name, iou, accuracy, pixels in zip(scores.names, scores.iou, scores.accuracy, scores.pixels, strict=True)
    ]
    return Table(("class", "IoU", "accuracy", "share of pixels"), rows)


def _example(
    segmenter: Segmenter,
    dataset: SegmentationDataset,
    position: int,
    mean_iou: float,
    which: str,
) -> Section:
    """Show an image and what is wrong in it as it was scored, and what its worst pixel attends to."""
    scene, classes = dataset[position], dataset.classes
    labels = segmenter.predict(SeenImage(scene.image)).labels
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
    view = attend(segmenter, SeenImage(small))
    # Among what was scored as wrong, if anything was.
    worst = worst_pixel(view, np.where(labels == truth, IGNORE, truth).astype(np.uint8)) or worst_pixel(view, truth)
    if worst is not None:
        x, y = worst
        right, taken = classes.names[truth[y, x]], classes.names[labels[y, x]]
        text += (
            f" The pixel {x},{y} is {right} and was taken for {taken}. One plain look at the whole image, at"
            f" {size[0]} x {size[1]} pixels and whatever way it was scored, gives {right} the lowest probability there,"
            f" {view.probabilities(worst)[truth[y, x]]:.3g}; the attention is that of this look."
        )
        if "position" in view.kinds():
            attention = view.position.maps([worst])[0]
            shown[f"what {x},{y} attends to"] = mark_points(
                over(image, attention, extent=view.extent(view.position)), [worst]
            )
    figures = [Figure(drawn, caption, photograph=True) for caption, drawn in shown.items()]
    return Section(f"The {which} image", text, figures=figures)


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
