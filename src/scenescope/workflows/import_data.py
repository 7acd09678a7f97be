"""Annotations of another tool become a ``folder:`` data set: images, masks, classes.yaml, lists of splits.

Everything is written into a hidden folder beside the output and moved there when it is whole. So an output is whole or
not there, and an import that was killed starts over and writes the same bytes.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scenescope.data.band_files import measure_tiff
from scenescope.data.decoding import orientation
from scenescope.data.formats.annotations import (
    UNLABELED,
    AnnotatedImage,
    Annotations,
    Fault,
    Labels,
    Overlap,
    Unlabeled,
    is_background,
)
from scenescope.data.formats.catalog import open_annotations
from scenescope.data.formats.image_finder import IMPORT_MARK
from scenescope.data.formats.import_names import ImportNames
from scenescope.data.formats.painting import COVERED, Painted, frame, paint, turn
from scenescope.data.images import MAX_PIXELS, Header, opened
from scenescope.drawing.overlay import label_image
from scenescope.errors import DataError, ScenescopeError, StorageError
from scenescope.files import csv_cell, held_directory, make_directory, sha256, storage_errors, write_text
from scenescope.labels import IGNORE, Classes
from scenescope.yaml_reader import write_yaml

Faults = Literal["error", "skip"]
Link = Literal["hardlink", "symlink", "copy"]
BACKGROUND = "background"


@dataclass
class ImportSummary:
    """What an import has found and written.

    Attributes:
        empty: images without any label.
        regions_found: annotated areas in the files: those written and those dropped.
        regions_of: areas that are drawn, by class.
        pixels_of: pixels, by class.
        dropped: all that is not in the data set, with the reason: first what is at fault.
        num_faults: how many of these are faults.
    """

    format: str
    source: str
    overlap: Overlap
    unlabeled: Unlabeled
    images: int = 0
    empty: int = 0
    regions_found: int = 0
    regions_of: Counter[str] = field(default_factory=Counter)
    pixels_of: Counter[str] = field(default_factory=Counter)
    unlabeled_pixels: int = 0
    ignored_pixels: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    dropped: list[Fault] = field(default_factory=list)
    num_faults: int = 0
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return what ``import.json`` holds."""
        kept = {name: value for name, value in vars(self).items() if name != "dropped"}
        return kept | {"dropped": len(self.dropped)}


def import_data(
    source: str,
    output: Path,
    *,
    image_dir: Path | None = None,
    overlap: Overlap | None = None,
    unlabeled: Unlabeled | None = None,
    faults: Faults = "error",
    link: Link = "hardlink",
    progress: Callable[[str, int, int], None] | None = None,
) -> ImportSummary:
    """Write a ``folder:`` data set from the annotations of another tool.

    Args:
        source: a folder, or the file that holds the annotations; see ``open_annotations``.
        output: a folder that is not there, empty, or an earlier import in which nothing was changed.
        image_dir: where the images are, if not in the folder of the source.
        overlap: which of two regions is on top; by default the rule of the tool.
        unlabeled: what pixels without label become; by default as the tool means them.
        faults: with "skip", what is at fault is left out and listed in ``dropped.csv``.
        link: how images get into the output; a hard link becomes a copy on another file system.
        progress: called with (what, done, total).

    Raises:
        DataError: the source cannot be read, has nothing to draw, or, unless faults are skipped, has faults.
        StorageError: the output cannot be written or holds what is no import's.
    """
    output = Path(os.path.realpath(output))
    _require_own(output)
    annotations = open_annotations(source, image_dir)
    writer = _Writer(annotations, source, overlap, unlabeled, faults, link)
    with _staging(output) as staging:
        for done, image in enumerate(annotations.images, start=1):
            writer.add(image, staging)
            if progress is not None:
                progress("importing", done, len(annotations.images))
        writer.finish(staging)
    return writer.summary


class _Writer:
    """Writes one image after the other, and counts."""

    def __init__(
        self,
        annotations: Annotations,
        source: str,
        overlap: Overlap | None,
        unlabeled: Unlabeled | None,
        faults: Faults,
        link: Link,
    ) -> None:
        self.annotations, self.policy, self.link = annotations, faults, link
        self.summary = ImportSummary(
            annotations.format, source, overlap or annotations.overlap, unlabeled or annotations.unlabeled
        )
        self.summary.notes += annotations.notes
        self.faults, self.left_out = list(annotations.faults), list(annotations.dropped)
        self.names = ImportNames()
        self.annotated: dict[str, str] = {}
        self.listed: dict[str, list[str]] = {}
        self.digests: dict[str, str] = {}
        names, colors = list(annotations.classes), list(annotations.colors)
        own = next((i for i, name in enumerate(names) if is_background(name)), None)
        self.shift = 0
        if self.summary.unlabeled == "background" and own is None:
            names.insert(0, BACKGROUND)
            colors = [(0, 0, 0), *colors] if colors else []
            self.shift, own = 1, 0
        self.background = own if self.summary.unlabeled == "background" else IGNORE
        self.classes = Classes.named(names, colors or None)
        # From -2 (ignored) and -1 (unlabeled) on.
        self.table = np.array([IGNORE, self.background, *(np.arange(len(annotations.classes)) + self.shift)], np.uint8)

    def add(self, image: AnnotatedImage, folder: Path) -> None:
        """Write an image and its mask into a folder, unless something is at fault that concerns all of it."""
        labels = Labels()
        try:
            labels = image.labels()
            self._require_new(image)
            name = self.names.take(image.name)
            header, turned = _measure(image)
            height, width, turn_by = frame(image, header, turned, labels.pixels)
            painted = paint(labels, height, width, self.summary.overlap, image.file)
        except StorageError:
            raise
        except ScenescopeError as error:
            lost = len(labels.regions)
            self.faults.append(Fault(image.file, image.name, str(error).rstrip("."), lost))
            self.faults += labels.faults
            self.left_out += labels.dropped
            return
        self.faults += [*labels.faults, *painted.faults]
        self.left_out += [*labels.dropped, *painted.dropped]
        if self.faults and self.policy == "error":
            return  # nothing will be written; what else is at fault is still counted
        self._count(labels, painted)
        mask = self.table[turn(painted.labels, turn_by) + 2]
        self._write(image, name, mask, folder)

    def _require_new(self, image: AnnotatedImage) -> None:
        """Refuse an image that came already: which of two masks is right?"""
        if isinstance(image.image, Path):
            path = os.path.realpath(image.image)
            if path in self.annotated:
                raise DataError(f"{image.image} is annotated twice, in {self.annotated[path]} before; remove one")
            self.annotated[path] = image.file

    def finish(self, folder: Path) -> None:
        """Write what concerns the whole data set.

        Raises:
            DataError: something is at fault, or nothing is there.
        """
        summary = self.summary
        summary.num_faults = len(self.faults)
        summary.dropped = self.faults + self.left_out
        for counts in (summary.pixels_of, summary.regions_of):
            ordered = {name: counts.pop(name) for name in self.annotations.classes if name in counts}
            counts.update(ordered)
        summary.regions_found = summary.regions_of.total() + sum(fault.regions for fault in summary.dropped)
        if self.faults and self.policy == "error":
            more = f" ({len(self.faults)} such faults)" if len(self.faults) > 1 else ""
            raise DataError(
                f"{self.faults[0]}{more}; repair it, or leave out what is at fault with --faults skip, which lists it."
            )
        if not summary.images:
            raise DataError(f"{summary.source} ({summary.format}) has no image that can be imported{self._why()}.")
        if not summary.pixels_of:
            raise DataError(
                f"None of {summary.regions_found:,} annotations in {summary.source} can be drawn{self._why()}."
            )
        if summary.empty:
            become = "background" if summary.unlabeled == "background" else "ignored"
            summary.notes.append(f"{summary.empty:,} images have no label: all of their pixels are {become}.")
        hidden = [fault for fault in summary.dropped if fault.reason == COVERED]
        if hidden and summary.overlap == "file":
            summary.notes.append(
                f"{len(hidden):,} regions have no pixel of their own; --overlap area puts smaller ones on top."
            )
        if not self._split_by_folders():
            for split, lines in self.listed.items():
                self._text(folder / f"{split}.txt", "".join(f"{line}\n" for line in lines))
        told: dict[str, object] = {"names": list(self.classes.names), "ignore": IGNORE}
        self._text(folder / "classes.yaml", write_yaml(told))
        self._text(folder / "dropped.csv", _table(summary.dropped))
        self._text(folder / "import.json", json.dumps(summary.to_json(), indent=2) + "\n")
        lines = [f"{digest}  {name}\n" for name, digest in sorted(self.digests.items())]
        write_text(folder / IMPORT_MARK, "".join(lines))

    def _why(self) -> str:
        first = self.summary.dropped[0] if self.summary.dropped else None
        return f"; the first: {first}" if first else ""

    def _count(self, labels: Labels, painted: Painted) -> None:
        summary, names = self.summary, self.annotations.classes
        for place in painted.visible:
            label = labels.regions[place].label
            summary.regions_of[names[label] if label >= 0 else "(ignored)" if label == -2 else "(unlabeled)"] += 1
        summary.empty += bool((painted.labels == UNLABELED).all())
        counts = np.bincount(painted.labels.ravel() + 2, minlength=len(names) + 2).tolist()
        summary.ignored_pixels += counts[0]
        summary.unlabeled_pixels += counts[1]
        summary.pixels_of.update({name: count for name, count in zip(names, counts[2:], strict=True) if count})

    def _write(self, image: AnnotatedImage, name: str, mask: np.ndarray, folder: Path) -> None:
        mask_name = f"masks/{os.path.splitext(name)[0]}.png"
        place, mask_place = folder / "images" / name, folder / mask_name
        with storage_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            mask_place.parent.mkdir(parents=True, exist_ok=True)
            label_image(mask, self.classes.palette).save(mask_place, format="PNG")
            self._bring(image.image, place)
        self.digests[mask_name] = sha256(mask_place)
        self.digests[f"images/{name}"] = f"{place.stat().st_size:x}"
        self.summary.images += 1
        for split in image.splits:
            self.summary.splits[split] += 1
            self.listed.setdefault(split, []).append(f"images/{name}")

    def _bring(self, image: Path | bytes, place: Path) -> None:
        if isinstance(image, bytes):
            place.write_bytes(image)
            return
        original = os.path.realpath(image)
        if self.link == "symlink":
            place.symlink_to(original)
            return
        if self.link == "hardlink":
            with contextlib.suppress(OSError):  # another file system, or one without links
                os.link(original, place)
                return
            note = "Images are copied: they lie on another file system, where no hard link leads."
            self.summary.notes += [note] if note not in self.summary.notes else []
        shutil.copyfile(original, place)

    def _split_by_folders(self) -> bool:
        """Whether folders say the splits of all images, so that lists would only repeat them."""
        lines = [(line.split("/")[1], split) for split, lines in self.listed.items() for line in lines]
        return all(first == split for first, split in lines) and len(lines) == self.summary.images

    def _text(self, path: Path, text: str) -> None:
        write_text(path, text)
        self.digests[path.name] = sha256(path)


def _measure(image: AnnotatedImage) -> tuple[Header, int]:
    """Read an image to its end, and return its sizes and its EXIF orientation."""
    given = image.image
    path, content = (given, None) if isinstance(given, Path) else (Path(image.name), given)
    if (found := measure_tiff(path, content=content)) is not None:
        return found
    with opened(path, MAX_PIXELS, content) as file:
        is_tiff, size = file.format == "TIFF", file.size
        if not is_tiff:
            file.load()
        turned = orientation(file)
        other = (size[1], size[0]) if turned in (5, 6, 7, 8) else size
        # Pillow reports a rotated TIFF, and only a TIFF, by its size as displayed.
        return (Header(size, other) if is_tiff else Header(other, size)), turned


def _table(dropped: list[Fault]) -> str:
    text = io.StringIO()
    rows = [("file", "id", "reason", "regions"), *((f.file, f.id, f.reason, str(f.regions)) for f in dropped)]
    cells = [[csv_cell(cell) for cell in row] for row in rows]
    csv.writer(text, lineterminator="\n").writerows(cells)
    return text.getvalue()


@contextlib.contextmanager
def _staging(output: Path) -> Iterator[Path]:
    """Give an empty hidden folder beside the output; what is in it in the end becomes the output, or nothing."""
    staging = make_directory(output.parent) / f".{output.name}.importing"
    old = output.parent / f".{output.name}.replaced"
    if staging.exists() and any(staging.iterdir()) and not (staging / IMPORT_MARK).exists():
        raise StorageError(f"{staging} is in the way and none of import's; move it.")
    with held_directory(make_directory(staging)), storage_errors(staging):
        _clear(staging)
        (staging / IMPORT_MARK).touch()
        try:
            yield staging
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    with storage_errors(output):
        if output.exists():
            shutil.rmtree(old, ignore_errors=True)
            output.rename(old)
        staging.rename(output)
        shutil.rmtree(old, ignore_errors=True)


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == ".lock":
            continue
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _require_own(output: Path) -> None:
    """Refuse an output that holds anything but an earlier import, as it was written."""
    if not os.path.lexists(output) or (output.is_dir() and not any(output.iterdir())):
        return
    mark = output / IMPORT_MARK
    if not mark.is_file():
        raise StorageError(f"{output} is in the way: it is no folder that import has written; choose another OUT.")
    with storage_errors(output):
        lines = (line.partition("  ") for line in mark.read_text(encoding="utf-8", errors="replace").splitlines())
        known = {name: digest for digest, _, name in lines}
        for directory, _, names in os.walk(output):
            for path in (Path(directory, name) for name in sorted(names)):
                name = path.relative_to(output).as_posix()
                if name not in (IMPORT_MARK, ".lock") and not _is_written(path, name, known.get(name)):
                    raise StorageError(
                        f"{path} is not, or no longer, what import has written; move {output} or choose another OUT."
                    )


def _is_written(path: Path, name: str, known: str | None) -> bool:
    """Whether a file is as the list of an import knows it: None for one that it does not."""
    if known is None or not name.startswith("images/"):
        return known is not None and known == sha256(path)
    # With a link nothing is lost, wherever it leads by now.
    return path.is_symlink() or known == f"{path.stat().st_size:x}"
