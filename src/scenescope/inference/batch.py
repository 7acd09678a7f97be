"""Predictions for many pictures, going on past those that fail, and a summary of them."""

from __future__ import annotations

import csv
import errno
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scenescope.data.images import MAX_PIXELS, opened
from scenescope.errors import ImageError, ScenescopeError, StorageError
from scenescope.files import (
    held_directory,
    make_directory,
    remove_partial,
    sha256,
    storage_errors,
    write_atomically,
)
from scenescope.inference.inputs import ENDINGS, LABELS, OVERLAY, PROBABILITIES, PictureFile
from scenescope.inference.memory import memory_errors
from scenescope.inference.record import Entry, Record, content_of, fingerprint
from scenescope.inference.segmenter import Segmenter

SUMMARY = "summary.csv"

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Cells that begin like this are run by spreadsheets."""


@dataclass
class BatchResult:
    """What became of many pictures: those predicted, those that failed with the reason, and what is to be said."""

    done: list[PictureFile] = field(default_factory=list)
    failed: list[tuple[PictureFile, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def require_free(pictures: Iterable[PictureFile], output: Path, endings: tuple[str, ...]) -> None:
    """Refuse an output where something would be replaced that was not written about these very pictures.

    Args:
        endings: of what will be written about each picture.

    Raises:
        StorageError: a file is in the way.
    """
    record = Record(output)
    if os.path.lexists(output / SUMMARY) and not record.path.is_file():
        raise StorageError(
            f"{output / SUMMARY} is in the way: it is not a file that predict has written; move it or choose another"
            " --output."
        )
    for picture in pictures:
        record.require_ours(picture, endings)


def wanted_endings(probabilities: bool, overlay: bool) -> tuple[str, ...]:
    """Return the endings of the files that are written about each picture."""
    left_out = {PROBABILITIES: not probabilities, OVERLAY: not overlay}
    return tuple(ending for ending in ENDINGS if not left_out.get(ending))


def predict_files(
    segmenter: Segmenter,
    pictures: Iterable[PictureFile],
    output: Path,
    *,
    probabilities: bool = False,
    overlay: bool = True,
    max_pixels: int = MAX_PIXELS,
    resume: bool = False,
) -> BatchResult:
    """Write the prediction of every picture under ``output``, and ``summary.csv`` with the class shares of each.

    Pictures that an earlier call has left there stay in the summary. It is also written when Ctrl-C or a full disk ends
    the work early.

    Args:
        resume: leave out pictures that are unchanged since they were predicted by this model with these settings, and
            whose files are as they were written.

    Raises:
        StorageError: the output cannot be written, is in use, or holds what was not written about these pictures.
    """
    endings = wanted_endings(probabilities, overlay)
    header = ["image", "labels", "width", "height", *segmenter.classes.names]
    result = BatchResult()
    rows: dict[str, list[str]] = {}
    make_directory(output)
    with held_directory(output):
        require_free((), output, endings)
        record = Record(output)
        with storage_errors(record.path):
            record.path.touch()
        work = _Work(segmenter, record, endings, max_pixels, resume, fingerprint(segmenter), _digest(header))
        try:
            for picture in pictures:
                try:
                    entry = work.entry(picture)
                    result.notes += _notes(picture.path, max_pixels)
                except ScenescopeError as error:
                    if _concerns_all(error):
                        raise
                    told = str(error) if str(picture.path) in str(error) else f"{picture.path}: {error}"
                    result.failed.append((picture, told))
                else:
                    result.done.append(picture)
                    rows[picture.name] = [str(picture.path), *entry.row[1:]]
        finally:
            if result.done or result.failed or not (output / SUMMARY).exists():
                failed = {picture.name for picture, _ in result.failed}
                _write_csv(output / SUMMARY, [header, *work.older_rows({*rows, *failed}), *rows.values()])
    return result


@dataclass
class _Work:
    """What is the same for all pictures of a folder."""

    segmenter: Segmenter
    record: Record
    endings: tuple[str, ...]
    max_pixels: int
    resume: bool
    made_by: str
    header: str
    tidied: set[Path] = field(default_factory=set)

    def entry(self, picture: PictureFile) -> Entry:
        """Return the entry of a picture that is done, or is predicted now."""
        if picture.problem is not None:
            raise ImageError(picture.problem)
        entry = self.record.find_done(picture, self.made_by, self.endings) if self.resume else None
        # Whatever needs the memory, reading, predicting or writing, costs this picture alone.
        with memory_errors(ImageError, str(picture.path), "look at it through a window, such as --window 768"):
            return entry or self._predict(picture)

    def older_rows(self, without: set[str]) -> list[list[str]]:
        """Return the rows of what earlier calls have left, as far as it is there and of the same classes."""
        return [
            entry.row
            for name, entry in self.record.entries.items()
            if name not in without
            and entry.header == self.header
            and (self.record.folder / f"{name}{LABELS}").is_file()
        ]

    def _predict(self, picture: PictureFile) -> Entry:
        """Write what is written about a picture. In a function, so that its arrays are gone before the next is read."""
        self.record.require_ours(picture, self.endings)
        # Taken before it is read: a picture that changes in between will not pass for this one.
        content = content_of(picture.path)
        place = self.record.folder / picture.name
        if place.parent not in self.tidied:
            remove_partial(place.parent)
            self.tidied.add(place.parent)
        asked = PROBABILITIES in self.endings
        prediction = self.segmenter.predict(picture.path, probabilities=asked, max_pixels=self.max_pixels)
        height, width = prediction.labels.shape
        shares = [f"{share:.6f}" for share in prediction.shares().values()]
        row = [str(picture.path), f"{picture.name}{LABELS}", str(width), str(height), *shares]

        def record(temporaries: Mapping[Path, Path]) -> None:
            files = {path.name.removeprefix(place.name): sha256(written) for path, written in temporaries.items()}
            image = os.path.abspath(picture.path)
            entry = Entry(picture.name, image, content, self.made_by, self.header, row, files)
            self.record.add(entry)
            self.record.remove_others(entry, ENDINGS)

        prediction.save(place.parent, place.name, overlay=OVERLAY in self.endings, before=record)
        return self.record.entries[picture.name]


def _concerns_all(error: ScenescopeError) -> bool:
    """Tell whether an error is not of one picture alone: a full disk is not, a name that is too long is."""
    return isinstance(error, StorageError) and getattr(error.__cause__, "errno", None) != errno.ENAMETOOLONG


def _notes(path: Path, max_pixels: int) -> list[str]:
    """Say that a file holds further pages, as TIFF and GIF may. The second picture of a telephone's JPEG is none."""
    with opened(path, max_pixels) as picture:
        several = getattr(picture, "is_animated", False) and picture.format != "MPO"
    return [f"{path} holds several pages or frames; the first is predicted."] if several else []


def _digest(header: list[str]) -> str:
    return hashlib.sha256(repr(header).encode(errors="surrogatepass")).hexdigest()


def _write_csv(path: Path, rows: list[list[str]]) -> None:
    def write(place: Path) -> None:
        # A file name that is no Unicode is written with its odd bytes as \\xNN.
        with place.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            csv.writer(file).writerows([[_cell(text) for text in row] for row in rows])

    write_atomically(path, write)


def _cell(text: str) -> str:
    """Return text as a spreadsheet shows it: names of strangers must not be formulas."""
    return f"'{text}" if text.startswith(_FORMULA) else text
