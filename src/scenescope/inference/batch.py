"""Predictions for many pictures, going on past those that cannot be read, and a summary of them."""

from __future__ import annotations

import csv
import errno
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from scenescope.data.images import MAX_PIXELS
from scenescope.errors import ScenescopeError, StorageError
from scenescope.files import make_directory, write_atomically, write_text
from scenescope.inference.inputs import ENDINGS, PictureFile
from scenescope.inference.segmenter import Segmenter

SUMMARY = "summary.csv"
FINGERPRINT = ".fingerprint"
"""The file that tells by which model and settings the pictures of a folder were made."""


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
    resume: bool = False,
) -> BatchResult:
    """Write the prediction of every picture under ``output``, and ``summary.csv`` with the class shares of each.

    The summary is also written when Ctrl-C or a full disk ends it early; it then tells of the pictures done.

    Args:
        resume: leave out pictures whose files are there already, made by this model with these settings.

    Raises:
        StorageError: the output cannot be written, or to resume was made by another model or other settings.
    """
    make_directory(output)
    fingerprint = _fingerprint(segmenter, probabilities)
    if resume and (output / FINGERPRINT).exists() and (output / FINGERPRINT).read_text() != fingerprint:
        raise StorageError(
            f"{output} holds predictions of another model or other settings; give those to resume, or another --output."
        )
    write_text(output / FINGERPRINT, fingerprint)
    result = BatchResult()
    rows: list[list[Any]] = []
    try:
        for picture in pictures:
            try:
                place = output / picture.name
                labels = _done(place, probabilities) if resume else None
                if labels is None:
                    prediction = segmenter.predict(picture.path, probabilities=probabilities, max_pixels=max_pixels)
                    prediction.save(place.parent, place.name)
                    labels = prediction.labels
            except ScenescopeError as error:
                # A name that is too long concerns one picture; a full disk concerns all.
                cause = error.__cause__
                if isinstance(error, StorageError) and getattr(cause, "errno", None) != errno.ENAMETOOLONG:
                    raise
                result.failed.append((picture, str(error)))
                continue
            height, width = labels.shape
            counts = np.bincount(labels.ravel(), minlength=len(segmenter.classes))
            shares = [f"{int(count) / labels.size:.6f}" for count in counts[: len(segmenter.classes)]]
            rows.append([str(picture.path), f"{picture.name}_labels.png", width, height, *shares])
            result.done.append(picture)
    finally:
        header = ["image", "labels", "width", "height", *segmenter.classes.names]
        write_atomically(output / SUMMARY, lambda place: _write_csv(place, [header, *rows]))
    return result


def _done(place: Path, probabilities: bool) -> npt.NDArray[np.uint8] | None:
    """Return the labels of a picture whose files are all there, else None. Each is written whole or not at all."""
    endings = ENDINGS if probabilities else ENDINGS[:2]
    if not all(Path(f"{place}{ending}").is_file() for ending in endings):
        return None
    with Image.open(f"{place}{ENDINGS[0]}", formats=["PNG"]) as picture:
        return np.array(picture)


def _fingerprint(segmenter: Segmenter, probabilities: bool) -> str:
    """Return what is the same only for the same weights, classes and settings."""
    digest = hashlib.sha256(repr((segmenter.settings, segmenter.classes.names, probabilities)).encode())
    for key, value in segmenter.network.state_dict().items():
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest() + "\n"


def _write_csv(path: Path, rows: list[list[Any]]) -> None:
    # A file name that is no Unicode is written with its odd bytes as \\xNN.
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file).writerows(rows)
