"""The result of an evaluation as files: ``scores.json``, from which results are compared, and tables of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from scenescope.drawing.charts import draw_confusion
from scenescope.errors import DataError
from scenescope.evaluation.bootstrap import Intervals
from scenescope.evaluation.class_scores import Absent, mean_scores, per_class
from scenescope.evaluation.scores import Scores
from scenescope.files import write_csv, write_text
from scenescope.labels import MAX_CLASSES

SCORES, PER_IMAGE, CONFUSION = "scores.json", "per_image.csv", "confusion.csv"

DECIMALS = 6
"""Of a score in a table."""

MAX_BYTES = 2**29
"""Of a file that is read."""
MAX_HELD = 2**25
"""Images times classes of a file that is read: no small file makes a large array."""
MAX_PIXELS = 2**40
"""Pixels of a class in an image that is read, so that sums stay exact."""


@dataclass(frozen=True)
class EvaluationResult:
    """What was counted in an evaluation.

    Attributes:
        about: what was evaluated and how, as JSON holds it.
        classes: the K class names.
        absent: what a class without a value does to the means.
        images: the N names of the images, each once.
        counts: N x 3 x K pixels of each image and class: true, predicted, both.
    """

    about: Mapping[str, Any]
    classes: tuple[str, ...]
    absent: Absent
    images: tuple[str, ...]
    counts: npt.NDArray[np.int64]

    def write(self, folder: Path, scores: Scores, intervals: Intervals, parts: Mapping[str, Any]) -> None:
        """Write scores, both tables and a chart of the confusion into a folder; older files of these names go.

        Args:
            scores: of all images together.
            intervals: of these scores.
            parts: what was found besides, by name, as JSON holds it.

        Raises:
            StorageError: the place cannot be written.
        """
        found = {
            **self.about,
            "images": len(self.images),
            "classes": list(self.classes),
            "scores": scores.to_json(),
            "intervals": intervals.to_json(self.classes),
            **parts,
        }
        # A line for each image: indented further, each number would have one of its own.
        lines = [json.dumps(_image_json(*pair)) for pair in zip(self.images, self.counts, strict=True)]
        per_image = ",\n    ".join(lines)
        text = json.dumps(found, indent=2).removesuffix("\n}")
        write_text(folder / SCORES, f'{text},\n  "per_image": [\n    {per_image}\n  ]\n}}\n')
        write_csv(folder / PER_IMAGE, self._per_image())
        write_csv(folder / CONFUSION, confusion_table(scores))
        draw_confusion(np.array(scores.matrix), self.classes, folder / "confusion.png")

    def _per_image(self) -> list[list[str | float | None]]:
        means, iou = mean_scores(self.counts, self.absent), per_class(self.counts)["iou"]
        columns = {
            "mIoU": means["mean_iou"],
            "pixel accuracy": means["pixel_accuracy"],
            "mean accuracy": means["mean_accuracy"],
            "mean F1": means["mean_f1"],
            **{f"IoU of {name}": values for name, values in zip(self.classes, iou.T, strict=True)},
        }
        rows: list[list[str | float | None]] = [["image", "scored pixels", *columns]]
        for number, name in enumerate(self.images):
            values = [_known(column[number]) for column in columns.values()]
            rows.append([name, int(self.counts[number, 0].sum()), *values])
        return rows


def confusion_table(scores: Scores) -> list[list[str | float | None]]:
    """Return the confusion matrix as a table, with the true classes in rows and the predicted ones in columns."""
    rows: list[list[str | float | None]] = [["true class, then pixels given to", *scores.names]]
    for name, row in zip(scores.names, scores.matrix, strict=True):
        rows.append([name, *row])
    return rows


def read_result(path: Path) -> EvaluationResult:
    """Read what ``EvaluationResult.write`` has written, from its folder or from the JSON file.

    Raises:
        DataError: no such file, or one that is no result with the counts of single images.
    """
    file = path / SCORES if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_BYTES:
            raise DataError(f"{file} has more than {MAX_BYTES:,} bytes, and is no result that is read.")
        content = json.loads(file.read_bytes())
        per_image = content["per_image"]
    except OSError as error:
        told = f"Cannot read {file}: {error.strerror or error}; give {SCORES} or the --output of scenescope evaluate."
        raise DataError(told) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON; give {SCORES} or the --output of scenescope evaluate.") from error
    except (KeyError, TypeError) as error:
        told = f"{file} has no counts of single images (`per_image`); let scenescope evaluate --output write it anew."
        raise DataError(told) from error
    try:
        return _parse(content, per_image)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        told = f"{file} is damaged or was changed ({error}); let scenescope evaluate --output write it anew."
        raise DataError(" ".join(told.split())) from error


def _parse(content: dict[str, Any], per_image: list[dict[str, Any]]) -> EvaluationResult:
    classes = _names(content["classes"], "class")
    if len(classes) > MAX_CLASSES or len(per_image) * len(classes) > MAX_HELD:
        raise ValueError(f"{len(per_image)} images of {len(classes)} classes are too many")
    absent = content["scores"]["absent_as"]
    if absent not in get_args(Absent):
        raise ValueError(f"absent_as {absent!r}")
    images = _names([entry["image"] for entry in per_image], "image")
    counts = np.zeros((len(images), 3, len(classes)), np.int64)
    for number, entry in enumerate(per_image):
        for place, of_class in entry["counts"].items():
            true, predicted, right = of_class
            whole = all(type(count) is int and 0 <= count < MAX_PIXELS for count in of_class)
            if not (whole and place.isdecimal() and int(place) < len(classes) and right <= min(true, predicted)):
                raise ValueError(f"counts of {images[number]!r}")
            counts[number, :, int(place)] = of_class
    if not counts[:, 0].any():
        raise ValueError("no pixel was scored")
    about = {key: content.get(key) for key in ("data", "split", "model", "predictions", "settings")}
    return EvaluationResult(about, classes, absent, images, counts)


def _names(names: object, what: str) -> tuple[str, ...]:
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(name, str) for name in names)
        or len(set(names)) < len(names)
    ):
        raise ValueError(f"{what} names that are no text, or none, or one twice")
    return tuple(names)


def _image_json(name: str, counts: npt.NDArray[np.int64]) -> dict[str, Any]:
    seen = np.flatnonzero(counts.any(axis=0)).tolist()
    return {"image": name, "counts": {str(number): counts[:, number].tolist() for number in seen}}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), DECIMALS)
