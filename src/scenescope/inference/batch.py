"""Predictions for many pictures, going on past those that cannot be read, and a summary of them."""

from __future__ import annotations

import csv
import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scenescope.data.images import MAX_PIXELS
from scenescope.errors import ScenescopeError, StorageError
from scenescope.files import make_directory, write_atomically
from scenescope.inference.inputs import PictureFile
from scenescope.inference.segmenter import Segmenter

SUMMARY = "summary.csv"


@dataclass
class BatchResult:
    """What became of many pictures: those predicted, and those that failed with the reason."""

    done: list[PictureFile] = field(default_factory=list)
    failed: list[tuple[PictureFile, str]] = field(default_factory=list)


def predict_files(
    segmenter: Segmenter,
    pictures: Iterable[PictureFile],
    output: Path,
    *,
    probabilities: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> BatchResult:
    """Write the prediction of every picture under ``output``, and ``summary.csv`` with the class shares of each.

    The summary is also written when Ctrl-C or a full disk ends it early; it then tells of the pictures done.

    Raises:
        StorageError: the output cannot be written.
    """
    make_directory(output)
    result = BatchResult()
    rows: list[list[Any]] = []
    try:
        for picture in pictures:
            try:
                prediction = segmenter.predict(picture.path, probabilities=probabilities, max_pixels=max_pixels)
                place = output / picture.name
                prediction.save(place.parent, place.name)
            except ScenescopeError as error:
                # A name that is too long concerns one picture; a full disk concerns all.
                cause = error.__cause__
                if isinstance(error, StorageError) and getattr(cause, "errno", None) != errno.ENAMETOOLONG:
                    raise
                result.failed.append((picture, str(error)))
                continue
            height, width = prediction.labels.shape
            shares = [f"{share:.6f}" for share in prediction.shares().values()]
            rows.append([str(picture.path), f"{picture.name}_labels.png", width, height, *shares])
            result.done.append(picture)
    finally:
        header = ["image", "labels", "width", "height", *segmenter.classes.names]
        write_atomically(output / SUMMARY, lambda place: _write_csv(place, [header, *rows]))
    return result


def _write_csv(path: Path, rows: list[list[Any]]) -> None:
    # A file name that is no Unicode is written with its odd bytes as \\xNN.
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file).writerows(rows)
