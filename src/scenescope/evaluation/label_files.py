"""Scoring label files that anything has written: which file tells of which image, and what its pixels mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from scenescope.data.dataset import FileDataset, SegmentationDataset, read_labels, rule_of_images
from scenescope.data.file_pairs import format_names, images_in, require_directory
from scenescope.data.images import MAX_PIXELS, read_header
from scenescope.data.loading import Sample
from scenescope.data.masks import LabelTable, decode
from scenescope.errors import DataError, ImageError, LabelError, nearest
from scenescope.evaluation.boundary import BoundaryCounts
from scenescope.evaluation.confusion import ConfusionMatrix
from scenescope.evaluation.distributed import add_up
from scenescope.evaluation.evaluator import Share, count_predictions
from scenescope.evaluation.image_counts import ImageCounts
from scenescope.evaluation.scores import Scores
from scenescope.inference.prediction import LABELS, OVERLAY
from scenescope.labels import IGNORE

Meaning = Literal["train-ids", "masks"]
MAX_NAMED = 3
"""So many files of one kind of fault are named, the others counted."""


@dataclass(frozen=True)
class LabelFiles:
    """A file of predicted labels for each image of a data set; ``find_label_files`` makes one.

    Attributes:
        folder: where they lie.
        paths: the file of each image, in the order of the data set.
        surplus: images there that tell of none of the data set's.
        meaning: of their pixels: train ids 0..K-1, or what the masks of the data set hold.
        table: and what their values or colors mean by it.
    """

    folder: Path
    paths: tuple[Path, ...]
    surplus: tuple[Path, ...]
    meaning: Meaning
    table: LabelTable

    def labels(self, dataset: SegmentationDataset, index: int) -> npt.NDArray[np.uint8]:
        """Return what was predicted of an image, H x W uint8: train ids, and IGNORE where there is none.

        Raises:
            ImageError, DataError: the file cannot be read, is no label map, or holds a value without a meaning.
        """
        try:
            return decode(self.paths[index], self.table, getattr(dataset, "max_pixels", MAX_PIXELS))
        except DataError as error:
            colors = getattr(getattr(dataset, "table", None), "colors", False)
            if not isinstance(error, LabelError) and not colors:
                raise
            raise type(error)(f"{error}{self._other_meaning()}") from error

    def read(self, dataset: SegmentationDataset, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Return what was predicted of an image and its true labels, both H x W uint8; the image is not read.

        Where the truth is ignored, whatever was predicted becomes class 0, which counts for nothing.

        Raises:
            ImageError, DataError: see ``labels``; or it has another size than the truth.
            LabelError: a scored pixel has no class.
        """
        path, predicted, labels = self.paths[index], self.labels(dataset, index), read_labels(dataset, index)
        if len(dataset.files(index)) == 1:  # an image without a mask
            labels = np.full_like(predicted, IGNORE)
        if predicted.shape != labels.shape:
            raise DataError(
                f"{path} is {predicted.shape[1]} x {predicted.shape[0]} pixels, but the labels of"
                f" {dataset.name(index)} are {labels.shape[1]} x {labels.shape[0]}; pixels are scored one by one:"
                " write predictions at the size of the image."
            )
        lacking = (predicted == IGNORE) & (labels != IGNORE)
        if lacking.any():
            y, x = divmod(int(lacking.argmax()), lacking.shape[1])
            raise LabelError(
                f"{path}: {int(lacking.sum()):,} pixels without a class are scored, the first at (x={x}, y={y}); give"
                f" every pixel a class, or add one to the data that stands for none.{self._other_meaning()}"
            )
        return np.where(labels == IGNORE, np.uint8(0), predicted), labels

    def _other_meaning(self) -> str:
        hint = " Read as train ids; if it holds what the masks of the data hold, add --predictions-as masks."
        return hint if self.meaning == "train-ids" else ""


def find_label_files(dataset: SegmentationDataset, folder: Path, meaning: Meaning = "train-ids") -> LabelFiles:
    """Find the file of every image: its name, or that of its mask, with any ending, or with predict's ``_labels.png``.

    Folders below are searched; where stems are not unique, the folders above a file have to be those of its image.

    Args:
        folder: where the files are.
        meaning: of their pixels: train ids 0..K-1, or what the masks of the data set hold.

    Raises:
        DataError: no such folder, images without a file or with two, files of another size; all are counted.
    """
    table = _table(dataset, meaning)
    found = list(images_in(require_directory(folder), deep=True))
    chosen, faults = _matched(dataset, folder, found)
    missing = [dataset.name(index) for index in range(len(dataset)) if index not in chosen]
    if len(missing) == len(dataset):
        there = format_names(path.relative_to(folder).as_posix() for path in found)
        raise DataError(
            f"{folder} has no prediction of any of the {len(dataset)} images; a file is named as its image, such as"
            f" {dataset.name(0)}.png or {dataset.name(0)}{LABELS}. Images there: {there}."
        )
    if missing:
        faults.append(f"{len(missing)} of {len(dataset)} images have no prediction ({named(missing)})")
    checked = (_other_size(dataset, index, path) for index, path in sorted(chosen.items()))
    if sizes := [told for told in checked if told]:
        faults.append(f"{len(sizes)} are no label maps of the size of their image ({named(sizes)})")
    if faults:
        raise DataError(
            f"The predictions in {folder} do not fit: {'; '.join(faults)}. Nothing is scored, since scores of a part"
            " do not compare with those of all."
        )
    used = set(chosen.values())
    surplus = [path for path in found if path not in used and not _beside_labels(path)]
    return LabelFiles(folder, tuple(chosen[index] for index in range(len(dataset))), tuple(surplus), meaning, table)


def evaluate_files(
    files: LabelFiles,
    dataset: SegmentationDataset,
    *,
    num_workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
    boundary: BoundaryCounts | None = None,
    images: ImageCounts | None = None,
) -> ConfusionMatrix:
    """Compare label files with the labels of a data set; arguments and what is returned as for ``evaluate``.

    Raises:
        ImageError, DataError: see ``LabelFiles.read``.
    """
    confusion = ConfusionMatrix(len(dataset.classes))
    count_predictions(
        _FileShare(files, dataset, range(rank, len(dataset), world_size)),
        lambda batch, labels: batch[:, 0],
        confusion,
        batch_size=1,
        num_workers=num_workers,
        progress=progress,
        boundary=boundary,
        images=images,
    )
    add_up(world_size, confusion, boundary, images)
    return confusion


def score_as_masks(confusion: npt.ArrayLike, dataset: SegmentationDataset) -> float | None:
    """Return the mean IoU if what was read as train ids were the values of the masks; None where it cannot be.

    It needs no second look: another meaning moves whole columns.

    Args:
        confusion: K x K counts of files that were read as train ids.
    """
    table, confusion = getattr(dataset, "table", None), np.asarray(confusion)
    if table is None or table.colors:
        return None
    moved = np.zeros((len(confusion), IGNORE + 1), np.int64)
    for value in np.flatnonzero(confusion.any(axis=0)):
        train_id = table.train_id(int(value))
        if train_id is None:
            return None
        moved[:, train_id] += confusion[:, value]
    kept = moved[:, : len(confusion)]
    return Scores.from_matrix(kept, dataset.classes.names).mean_iou if kept.any() else None


class _FileShare(Share):
    """As the share of a model, with what was predicted in the place of the image."""

    def __init__(self, files: LabelFiles, dataset: SegmentationDataset, indices: range) -> None:
        super().__init__(dataset, indices)
        self.files = files

    def __getitem__(self, position: int) -> Sample:
        index = self.indices[position]
        predicted, labels = self.files.read(self.dataset, index)
        return torch.from_numpy(predicted)[None], torch.from_numpy(labels), self.dataset.name(index)


def _table(dataset: SegmentationDataset, meaning: Meaning) -> LabelTable:
    if meaning == "masks":
        if not isinstance(dataset, FileDataset):
            raise DataError("These data have no masks whose values predictions could hold; write train ids.")
        return dataset.table
    if meaning != "train-ids":
        raise DataError(f"meaning={meaning!r} is not known.{nearest(meaning, ('train-ids', 'masks'))}")
    train_ids = [[index] for index in range(len(dataset.classes))]
    return LabelTable.of_values(train_ids, [IGNORE], "write the train id of every pixel")


def _matched(dataset: SegmentationDataset, folder: Path, found: Sequence[Path]) -> tuple[dict[int, Path], list[str]]:
    """Return the file of each image that has one, and what is wrong: two files for one image."""
    images: dict[str, set[int]] = defaultdict(set)
    for index in range(len(dataset)):
        images[dataset.name(index)].add(index)
        for path in dataset.files(index):
            for tail in _tails(path.with_suffix("").as_posix()):
                images[tail].add(index)
    fitting: dict[int, list[tuple[int, Path]]] = defaultdict(list)
    for path in found:
        name = path.relative_to(folder).with_suffix("").as_posix()
        # Of several folders' worth of name, the longest that any image has decides.
        tails = _tails(name) + _tails(name.removesuffix(Path(LABELS).stem))
        fits = next((tail for tail in tails if tail in images), None)
        if fits is not None and len(images[fits]) == 1:
            fitting[next(iter(images[fits]))].append((fits.count("/"), path))
    chosen, twice = {}, []
    for index, candidates in fitting.items():
        best = max(folders for folders, _ in candidates)
        paths = [path for folders, path in candidates if folders == best]
        chosen[index] = paths[0]
        if len(set(paths)) > 1:
            twice.append(f"{dataset.name(index)}: {' and '.join(path.name for path in paths[:2])}")
    faults = [f"{len(twice)} images have two files ({named(twice)}), keep one of each"] if twice else []
    return chosen, faults


def _tails(name: str) -> list[str]:
    """Return a name with all folders above it, with one less, and so on to none."""
    parts = name.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _other_size(dataset: SegmentationDataset, index: int, path: Path) -> str | None:
    """Say what is wrong with the size of a prediction, as far as headers show it."""
    files, max_pixels = dataset.files(index), getattr(dataset, "max_pixels", MAX_PIXELS)
    if not files or rule_of_images(dataset) is not None:
        return None  # images that only a rule reads show no header here; ``LabelFiles.read`` compares with the mask
    try:
        size = read_header(path, max_pixels).size
    except ImageError as error:
        return str(error)
    expected = read_header(files[0], max_pixels).size
    return None if size == expected else f"{path.name}: {size[0]} x {size[1]}, not {expected[0]} x {expected[1]}"


def _beside_labels(path: Path) -> bool:
    """Tell whether a file is the overlay that predict writes beside its labels."""
    return path.name.endswith(OVERLAY) and path.with_name(f"{path.name.removesuffix(OVERLAY)}{LABELS}").is_file()


def named(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f", and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
