"""Predictions for many images, going on past those that fail, and a summary of them.

While one image is segmented, the next is read and the last is written, each in a thread: decoding, encoding and
hashing leave Python's lock alone.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from scenescope.bands import BandRule
from scenescope.data.band_files import measure_bands, read_noted_bands
from scenescope.data.images import opened
from scenescope.data.loading import read_ahead
from scenescope.errors import ImageError, ScenescopeError, StorageError
from scenescope.files import (
    held_directory,
    make_directory,
    remove_partial,
    sha256,
    storage_errors,
    write_csv,
)
from scenescope.inference.guards import memory_errors
from scenescope.inference.prediction import ENDINGS, LABELS, OVERLAY, PROBABILITIES, Prediction
from scenescope.inference.segmenter import SeenImage, Segmenter, image_array
from scenescope.jobs.inputs import ALL_ENDINGS, ImageFile
from scenescope.jobs.record import Entry, Record, content_of, fingerprint
from scenescope.jobs.results import NOTHING_MORE, Results
from scenescope.own_files import file_name

SUMMARY = "summary.csv"

READ_AHEAD = 2**24
"""Pixels of an image that may be held beside the one that is segmented; a larger one is treated alone."""


@dataclass
class BatchResult:
    """What became of many images: those predicted, those that failed with the reason, and what is to be said."""

    done: list[ImageFile] = field(default_factory=list)
    failed: list[tuple[ImageFile, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fail(self, file: ImageFile, error: ScenescopeError) -> None:
        """Take up an image that failed; the reason names its file."""
        told = str(error) if str(file.path) in str(error) else f"{file.path}: {error}"
        self.failed.append((file, told))


def require_free(
    files: Iterable[ImageFile], output: Path, endings: tuple[str, ...], results: Results = NOTHING_MORE
) -> None:
    """Refuse an output where something would be replaced that was not written about these very images.

    Args:
        endings: of what will be written about each image.
        results: tells what will be written about all.

    Raises:
        StorageError: a file is in the way.
    """
    record = Record(output)
    if os.path.lexists(output / SUMMARY) and not record.path.is_file():
        raise StorageError(
            f"{output / SUMMARY} is in the way: it is not a file that predict has written; move it or choose another"
            " --output."
        )
    results.require_free(record)
    for file in files:
        record.require_ours(file, endings)


def wanted_endings(probabilities: bool, overlay: bool, results: Results = NOTHING_MORE) -> tuple[str, ...]:
    """Return the endings of the files that are written about each image."""
    left_out = {PROBABILITIES: not probabilities, OVERLAY: not overlay}
    return (*(ending for ending in ENDINGS if not left_out.get(ending)), *results.endings)


def predict_files(
    segmenter: Segmenter,
    files: Iterable[ImageFile],
    output: Path,
    *,
    probabilities: bool = False,
    overlay: bool = True,
    resume: bool = False,
    results: Results = NOTHING_MORE,
) -> BatchResult:
    """Write the prediction of every image under ``output``, and ``summary.csv`` with the class shares of each.

    Images that an earlier call has left there stay in the summary. It is also written when Ctrl-C or a full disk ends
    the work early. Other files of all images are written at the end of a call that nothing ends early.

    Args:
        results: what is made of each prediction before it is written, and what is written about its areas.
        resume: leave out images that are unchanged since they were predicted by this model with these settings, and
            whose files are as they were written.

    Raises:
        StorageError: the output cannot be written, is in use, or holds what was not written about these images.
    """
    endings = wanted_endings(probabilities, overlay, results)
    classes = results.classes(segmenter.classes)
    header = ["image", "labels", "width", "height", *classes.names]
    result = BatchResult()
    rows: dict[str, list[str]] = {}
    make_directory(output)
    with held_directory(output):
        require_free((), output, endings, results)
        record = Record(output)
        with storage_errors(record.path):
            record.path.touch()
        made_by = results.made_by(fingerprint(segmenter))
        work = _Work(segmenter, record, endings, results, resume, made_by, _digest(header))

        def keep(file: ImageFile, written: Future[_Written]) -> None:
            try:
                entry, note = written.result()
            except ScenescopeError as error:
                if _concerns_all(error):
                    raise
                result.fail(file, error)
            else:
                result.done.append(file)
                result.notes += [note] if note else []
                rows[file.name] = [str(file.path), *entry.row[1:]]

        def entries() -> list[Entry]:
            failed = {file.name for file, _ in result.failed}
            return [*work.older_entries({*rows, *failed}), *(record.entries[name] for name in rows)]

        try:
            work.predict(files, keep)
        finally:
            if result.done or result.failed or not (output / SUMMARY).exists():
                shown = [rows.get(entry.name, entry.row) for entry in entries()]
                write_csv(output / SUMMARY, [header, *shown])
        result.notes += results.join(record, entries(), classes)
    return result


class _Read(NamedTuple):
    """An image that is done or read: its entry, else the SHA-256 of its file and, unless it is large, its pixels."""

    entry: Entry | None
    content: str
    image: npt.NDArray[Any] | None
    note: str


class _Written(NamedTuple):
    entry: Entry
    note: str


@dataclass
class _Work:
    """What is the same for all images of a folder."""

    segmenter: Segmenter
    record: Record
    endings: tuple[str, ...]
    results: Results
    resume: bool
    made_by: str
    header: str
    tidied: set[Path] = field(default_factory=set)

    def predict(self, files: Iterable[ImageFile], keep: Callable[[ImageFile, Future[_Written]], None]) -> None:
        """Predict images and have kept what became of each, in order; also of what is being written at the end."""
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            written: tuple[ImageFile, Future[_Written]] | None = None
            try:
                for file, read in read_ahead(reader, self._read, files):
                    future = self._predicted(file, read, writer)
                    # One is written at a time: more would have to be held.
                    before, written = written, (file, future)
                    if before is not None:
                        keep(*before)
            finally:
                if written is not None:
                    keep(*written)

    def _predicted(self, file: ImageFile, read: Future[_Read], writer: Executor) -> Future[_Written]:
        failed: Future[_Written] = Future()
        try:
            found = read.result()
            if found.entry is not None:
                return writer.submit(_Written, found.entry, found.note)
            asked = PROBABILITIES in self.endings or self.results.needs_probabilities
            with self._memory_errors(file):
                # What is too large to be read ahead is read here.
                image = file.path if found.image is None else SeenImage(found.image)
                prediction = self.segmenter.predict(image, probabilities=asked)
            future = writer.submit(self._write, file, found, prediction)
        except ScenescopeError as error:
            failed.set_exception(error)
            return failed
        if found.image is None:
            wait([future])
        return future

    def _read(self, file: ImageFile) -> _Read:
        """Find the entry of an image that is done, or read it."""
        if file.problem is not None:
            raise ImageError(file.problem)
        if self.resume and (entry := self.record.find_done(file, self.made_by, self.endings)):
            return _Read(entry, "", None, _note(file.path, self.segmenter.max_pixels, self.segmenter.band_rule)[0])
        self.record.require_ours(file, self.endings)
        # Taken before it is read: an image that changes in between will not pass for this one.
        content = content_of(file.path)
        rule, most = self.segmenter.band_rule, self.segmenter.max_pixels
        note, pixels = _note(file.path, most, rule)
        with self._memory_errors(file):
            if pixels > READ_AHEAD:
                return _Read(None, content, None, note)
            if rule is None:
                return _Read(None, content, image_array(file.path, most), note)
            image, remark = read_noted_bands(file.path, rule, most)
        notes = [note, f"{file.path}: {remark}." if remark else ""]
        return _Read(None, content, image, " ".join(filter(None, notes)))

    def _memory_errors(self, file: ImageFile) -> AbstractContextManager[None]:
        """Whatever needs the memory, reading, predicting or writing, costs this image alone."""
        return memory_errors(ImageError, str(file.path), "look at it through a window, such as --window 768")

    def older_entries(self, without: set[str]) -> list[Entry]:
        """Return what earlier calls have left, as far as it is there and of the same classes."""
        return [
            entry
            for name, entry in self.record.entries.items()
            if name not in without
            and entry.header == self.header
            and (self.record.folder / f"{name}{LABELS}").is_file()
        ]

    def _write(self, file: ImageFile, found: _Read, prediction: Prediction) -> _Written:
        """Write what is written about an image."""
        place = self.record.folder / file.name
        endings = {self.record.folder / file_name(file.name, ending): ending for ending in self.endings}
        for folder in {path.parent for path in endings} - self.tidied:
            remove_partial(folder)
            self.tidied.add(folder)
        with self._memory_errors(file):
            prediction = self.results.of(prediction)
            beside = self.results.files(prediction, file, self.record.folder)
        if PROBABILITIES not in self.endings:
            prediction = replace(prediction, probabilities=None)
        height, width = prediction.labels.shape
        shares = [f"{share:.6f}" for share in prediction.shares().values()]
        row = [str(file.path), f"{file.name}{LABELS}", str(width), str(height), *shares]

        def record(temporaries: Mapping[Path, Path]) -> None:
            files = {endings[path]: sha256(written) for path, written in temporaries.items()}
            image = os.path.abspath(file.path)
            entry = Entry(file.name, image, found.content, self.made_by, self.header, row, files)
            self.record.add(entry)
            self.record.remove_others(entry, ALL_ENDINGS)

        with self._memory_errors(file):
            prediction.save(place.parent, place.name, overlay=OVERLAY in self.endings, beside=beside, before=record)
        return _Written(self.record.entries[file.name], found.note)


def _concerns_all(error: ScenescopeError) -> bool:
    """Tell whether an error is not of one image alone: a full disk is not, a name that is too long is."""
    return isinstance(error, StorageError) and getattr(error.__cause__, "errno", None) != errno.ENAMETOOLONG


def _note(path: Path, max_pixels: int, rule: BandRule | None) -> tuple[str, int]:
    """Say that a file holds further pages, as TIFF and GIF may, and return its pixels.

    The second image of a telephone's JPEG is no page.
    """
    if rule is not None:
        pixels, pages = measure_bands(path, max_pixels)
        several = pages > 1
    else:
        with opened(path, max_pixels) as file:
            several = getattr(file, "is_animated", False) and file.format != "MPO"
            pixels = file.width * file.height
    return (f"{path} holds several pages or frames; the first is predicted." if several else ""), pixels


def _digest(header: list[str]) -> str:
    return hashlib.sha256(repr(header).encode(errors="surrogatepass")).hexdigest()
