"""What classes pay each other, and what becomes of each without another to attend to: correlation beside cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from scenescope.checkpoints.model_directory import require_classes
from scenescope.data.dataset import SegmentationDataset, seen_by
from scenescope.errors import ModelError
from scenescope.evaluation.confusion import ConfusionMatrix
from scenescope.evaluation.scores import Scores
from scenescope.explore.knife import Cut
from scenescope.explore.trace import attend
from scenescope.inference.segmenter import SeenImage, Segmenter


@dataclass(frozen=True)
class ClassCuts:
    """Tables of K x K: the class of the row pays to that of the column, or does without it.

    Attributes:
        names: of the classes.
        images: number of images.
        iou: of each class as the network is, 0..1; None for one that is in neither truth nor prediction.
        paid: the mean share of attention that positions of class a pay to all of class b; None without a position.
        change: IoU of class a when nobody attends to what is taken for class b, less that as the network is.
    """

    names: tuple[str, ...]
    images: int
    iou: list[float | None]
    paid: list[list[float | None]]
    change: list[list[float | None]]

    def to_json(self) -> dict[str, Any]:
        """Return the tables as JSON holds them."""
        return asdict(self)


def cut_classes(
    segmenter: Segmenter, dataset: SegmentationDataset, *, progress: Callable[[int, int], None] | None = None
) -> ClassCuts:
    """Segment every image again without each class that it shows to attend to.

    Raises:
        ModelError: the network has no position attention, or another class count than the data set.
        DataError, ImageError: an image or mask is not fit; the message names the file.
    """
    require_classes(segmenter.form, dataset.classes, f"the data set {dataset.root or dataset.split}")
    dataset = seen_by(dataset, segmenter.band_rule, "the model")
    num_classes = len(dataset.classes)
    whole = ConfusionMatrix(num_classes)
    without = [ConfusionMatrix(num_classes) for _ in range(num_classes)]
    paid, positions = np.zeros((num_classes, num_classes)), np.zeros(num_classes)
    for index in range(len(dataset)):
        scene = dataset[index]
        trace = attend(segmenter, SeenImage(scene.image))
        position = trace.position
        truth, labels = torch.from_numpy(scene.labels)[None], torch.from_numpy(trace.labels)[None]
        whole.update(truth, labels)
        counts = np.bincount(position.classes.ravel(), minlength=num_classes)
        paid += np.nan_to_num(position.between_classes()) * counts[:, None]
        positions += counts
        for label, matrix in enumerate(without):
            again = labels
            if 0 < counts[label] < counts.sum():  # a class that fills the image leaves nothing to attend to
                again = torch.from_numpy(trace.cut(Cut(classes=[label])).labels)[None]
            matrix.update(truth, again)
        if progress is not None:
            progress(index + 1, len(dataset))
    if not len(dataset):
        raise ModelError("The data set has no image to look at.")
    names = dataset.classes.names
    iou = Scores.from_matrix(whole, names).iou
    cut_iou = [Scores.from_matrix(matrix, names).iou for matrix in without]
    return ClassCuts(
        names,
        len(dataset),
        list(iou),
        [
            [float(value) / count if count else None for value in row]
            for row, count in zip(paid, positions, strict=True)
        ],
        [[_less(each[label], iou[label]) for each in cut_iou] for label in range(num_classes)],
    )


def _less(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
