"""The demo: a small DANet on generated scenes, from training to a report, with two baselines beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scenescope.checkpoints.find import HOW_TO_GET_THE_BOX, models_in_box
from scenescope.checkpoints.model_directory import LoadedModel, load_model
from scenescope.config import Config
from scenescope.data.catalog import open_dataset
from scenescope.data.dataset import LabeledImage, SegmentationDataset
from scenescope.drawing.charts import draw_confusion
from scenescope.drawing.contact_sheet import contact_sheet
from scenescope.drawing.heatmap import mark_points, over
from scenescope.drawing.overlay import blend, colorize, with_legend
from scenescope.drawing.png import save_png
from scenescope.evaluation.confusion import ConfusionMatrix
from scenescope.evaluation.evaluator import evaluate
from scenescope.evaluation.scores import Scores
from scenescope.explore.trace import attend
from scenescope.files import make_directory
from scenescope.inference.segmenter import Segmenter
from scenescope.lab.color_baseline import fit_colors, predict_colors
from scenescope.lab.photograph import CREDIT, find_photograph
from scenescope.training.progress import Progress
from scenescope.workflows.report import Figure, Section, Table, write_report
from scenescope.workflows.train import open_sets, run_training

NUM_IMAGES = 4
ENLARGED = 2
"""Pixels of a figure for one of a scene, either way."""
UNSEEN_SPLIT = "test"
POINTS_FROM = ("car", "road", "tree", "person")
"""Classes of which a pixel is asked what it attends to, one per image."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        report: the page.
        model: the model directory.
        miou: on unseen scenes, 0 to 1.
    """

    report: Path
    model: Path
    miou: float


def run_demo(
    config: Config,
    directory: Path,
    *,
    device: torch.device,
    progress: Progress,
) -> DemoResult | int:
    """Train, evaluate on unseen scenes, predict, look at attention, and write ``report.html``.

    Called again it goes on with, or reuses, the training in ``directory``.

    Returns:
        What was made, or the number of the signal that interrupted the training.
    """
    run = directory / "run"
    training = run_training(config, run, device=device, progress=progress, resume=True)
    if training.signal is not None:
        progress.note("Interrupted and saved; the same command goes on.")
        return training.signal
    loaded = load_model(run / "best", device=device)
    train_set, _ = open_sets(config.data)
    unseen = open_dataset(config.data.kind, config.data.root, UNSEEN_SPLIT)
    names = loaded.classes.names
    scores = Scores.from_matrix(evaluate(loaded.network, unseen), names)
    constant, colors = _baselines(train_set, unseen)
    draw_confusion(np.array(scores.matrix), names, directory / "confusion.png")
    figures = _figures(loaded, unseen, device, directory)
    report = directory / "report.html"
    write_report(
        report,
        "scenescope: a first look",
        "A small DANet, trained from random weights on generated street scenes, scored on scenes it has never seen.",
        [
            ("mIoU on unseen scenes", scores.mean_iou),
            ("pixel accuracy", scores.pixel_accuracy),
            ("mIoU of a classifier of colors", colors.mean_iou),
            ("mIoU of a constant answer", constant.mean_iou),
        ],
        [
            Section(
                "What it sees and what it attends to",
                "Unseen scenes. Attention is one row of the map S of position attention: how much each position"
                " counts for the marked pixel. Bright is much.",
                figures=figures,
            ),
            Section(
                "Classes", "IoU on unseen scenes; the baseline knows colors and no shapes.", _table(scores, colors)
            ),
            Section("Confusion", figures=[Figure(directory / "confusion.png", "true classes in rows", wide=True)]),
            *_photograph(device, directory, progress),
            Section(
                "Training",
                f"{config.train.steps} steps of {config.train.batch_size} scenes; alpha and beta are the learned"
                " scales of position and channel attention.",
                figures=[Figure(run / "curves.png", "curves of the training", wide=True)],
            ),
        ],
    )
    return DemoResult(report, run / "best", scores.mean_iou)


def _photograph(device: torch.device, directory: Path, progress: Progress) -> list[Section]:
    """Segment a real photograph with the first model in the box, where both are installed."""
    path, models = find_photograph(), models_in_box()
    if path is None or not models:
        progress.note(f"No real photograph: that takes scikit-learn and the models in the box ({HOW_TO_GET_THE_BOX}).")
        return []
    prediction = Segmenter.load(next(iter(models)), device).predict(path)
    prediction.save(directory / "images", "photo")
    text = f"By the model in the box ({next(iter(models))}), which knows streets and no palaces; {CREDIT}."
    return [Section("A real photograph", text, figures=[Figure(prediction.overlay(), "photograph and classes", True)])]


def _baselines(train_set: SegmentationDataset, unseen: SegmentationDataset) -> tuple[Scores, Scores]:
    """Score a constant answer (the most frequent class) and a classifier of single pixels by color."""
    num_classes = len(train_set.classes)
    pixels = np.zeros(num_classes, np.int64)
    for index in range(len(train_set)):
        pixels += np.bincount(train_set[index].labels.ravel(), minlength=256)[:num_classes]
    table = fit_colors((train_set[index] for index in range(len(train_set))), num_classes)
    return (
        _score(unseen, lambda scene: np.full_like(scene.labels, pixels.argmax())),
        _score(unseen, lambda scene: predict_colors(scene.image, table)),
    )


def _score(dataset: SegmentationDataset, answer: Callable[[LabeledImage], np.ndarray]) -> Scores:
    matrix = ConfusionMatrix(len(dataset.classes))
    for index in range(len(dataset)):
        scene = dataset[index]
        matrix.update(torch.from_numpy(scene.labels), torch.from_numpy(answer(scene)))
    return Scores.from_matrix(matrix, dataset.classes.names)


def _table(scores: Scores, colors: Scores) -> Table:
    rows = zip(scores.names, scores.iou, colors.iou, strict=True)
    return Table(("class", "DANet", "colors only"), [list(row) for row in rows])


def _figures(loaded: LoadedModel, unseen: SegmentationDataset, device: torch.device, directory: Path) -> list[Figure]:
    """Draw image, prediction, truth and attention of some unseen scenes, for the report and as files.

    The scenes themselves are left in ``scenes``, to be tried with other commands.
    """
    scenes, drawn = make_directory(directory / "scenes"), make_directory(directory / "images")
    segmenter = Segmenter(loaded.network, loaded.classes)
    palette = loaded.classes.palette
    figures = []
    for index in range(NUM_IMAGES):
        scene = unseen[index]
        point, name = _point(scene, unseen.classes.names, index)
        save_png(Image.fromarray(scene.image), scenes / f"{scene.name}.png")
        prediction = segmenter.predict(scene.image)
        view = attend(loaded.network, scene.image)
        (attention,) = view.position.maps([point])
        seen = over(scene.image, attention, extent=view.extent(view.position))
        shown = {
            "image": mark_points(scene.image, [point]),
            "prediction": blend(scene.image, prediction.labels, palette),
            "truth": colorize(scene.labels, palette),
            f"attention of the {name}": mark_points(seen, [point]),
        }
        size = scene.image.shape[1] * ENLARGED, scene.image.shape[0] * ENLARGED
        figure = contact_sheet(
            [(title, np.asarray(Image.fromarray(drawn_image).resize(size))) for title, drawn_image in shown.items()],
            size[0],
        )
        save_png(Image.fromarray(figure), drawn / f"{scene.name}.png")
        figures.append(Figure(figure, f"{scene.name}; asked: pixel {point[0]},{point[1]} ({name})", wide=True))
    overlay = with_legend(blend(scene.image, prediction.labels, palette), loaded.classes.names, palette)
    save_png(overlay, drawn / "legend.png")
    figures.append(Figure(overlay, "the colors of the classes"))
    return figures


def _point(scene: LabeledImage, names: tuple[str, ...], index: int) -> tuple[tuple[int, int], str]:
    """Choose a pixel of the class that is this image's turn, in the middle of what there is of it."""
    for shift in range(len(POINTS_FROM)):
        name = POINTS_FROM[(index + shift) % len(POINTS_FROM)]
        rows, columns = np.nonzero(scene.labels == names.index(name))
        if len(rows):
            middle = np.argmin((rows - np.median(rows)) ** 2 + (columns - np.median(columns)) ** 2)
            return (int(columns[middle]), int(rows[middle])), name
    height, width = scene.labels.shape
    return (width // 2, height // 2), names[scene.labels[height // 2, width // 2]]
