"""Data sets of Hugging Face as parquet: in each row the bytes of an image and of its mask.

    data/train-00000-of-00002.parquet, data/validation-00000-of-00001.parquet    the split by the name of the file
    id2label.json    {"0": "road", ...}; without it, classes are called by the values of the masks

The columns are those that hold images; of two, the mask is the one called mask, label, annotation or segmentation. Rows
are read when it is their turn, a few at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, overload

import numpy as np

from scenescope.data.formats.annotations import AnnotatedImage, Annotations, Fault, Labels
from scenescope.data.formats.image_finder import MAX_GLANCED, ImageFinder, walk
from scenescope.data.formats.mask_classes import MaskClasses, classes_in, of_values
from scenescope.data.formats.mask_labels import value_labels
from scenescope.data.formats.splits import split_of_path
from scenescope.data.images import SUFFIXES
from scenescope.data.masks import read_raw
from scenescope.errors import DataError, ScenescopeError, first_line

FORMAT = "Hugging Face parquet"

_MASK_WORDS = ("mask", "label", "annotation", "segmentation")
_ROWS = 8
"""Rows that are in memory at a time."""

_ENDINGS = {
    b"\x89PNG": ".png",
    b"\xff\xd8": ".jpg",
    b"RIFF": ".webp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"BM": ".bmp",
}


def recognize(path: Path) -> str | None:
    """Return the format's name for a parquet file, or a folder that holds some."""
    files = walk(path, MAX_GLANCED) if path.is_dir() else iter([path])
    return FORMAT if any(file.suffix.lower() == ".parquet" for file in files) else None


def open_(path: Path, finder: ImageFinder) -> Annotations:
    """Read the columns, and without names of classes all masks.

    Raises:
        DataError: no column or more than one may hold the masks; or pyarrow is not installed.
    """
    files = [path] if path.is_file() else finder.files(".parquet")
    tables, faults = [], []
    for file in files:
        try:
            tables.append(_open_table(file, split_of_path(file.relative_to(finder.root))))
        except _DamagedError as error:
            faults.append(Fault(str(file), "", str(error), regions=0))
    told = (
        (found, [f"Classes are those of {file.relative_to(finder.root)}."])
        for file in finder.files(".json", ".yaml", ".yml")
        if len(file.relative_to(finder.root).parts) <= 2 and (found := classes_in(file))
    )
    classes, notes = next(told, None) or of_values(_values(tables), ())
    images = _Rows(tables, classes)
    columns = sorted({f"{table.mask!r} for {table.image!r}" for table in tables})
    notes = [f"The masks are those of the column {', '.join(columns)}.", *notes] if columns else notes
    return Annotations(FORMAT, classes.names, images, faults=faults, notes=notes, unlabeled="ignore")


class _DamagedError(DataError):
    """A file, or the rest of it, that is left out where faults are."""


@dataclass(frozen=True)
class _Table:
    """A parquet file: its split, the columns of images and masks, and how many rows it has."""

    file: Path
    split: str
    image: str
    mask: str
    num_rows: int

    def rows(self, *columns: str) -> Iterator[dict[str, Any]]:
        """Read some columns, a few rows at a time."""
        try:
            for batch in _parquet().ParquetFile(self.file).iter_batches(batch_size=_ROWS, columns=list(columns)):
                yield from batch.to_pylist()
        except (OSError, ValueError) as error:  # those of pyarrow are ValueErrors
            raise _DamagedError(f"{self.file} is damaged ({first_line(error)}); download it again.") from error


class _Rows(Sequence[AnnotatedImage]):
    """The images of all tables, read one after the other: all together they may be more than the memory."""

    def __init__(self, tables: Sequence[_Table], classes: MaskClasses) -> None:
        self.tables, self.classes = tables, classes

    def __len__(self) -> int:
        return sum(table.num_rows for table in self.tables)

    def __iter__(self) -> Iterator[AnnotatedImage]:
        for table in self.tables:
            number = 0
            try:
                for row in table.rows(table.image, table.mask):
                    yield self._image(table, number, row)
                    number += 1
            except _DamagedError as error:
                yield AnnotatedImage(f"rows from {number} on", b"", partial(_refuse, error), str(table.file))

    @overload
    def __getitem__(self, index: int) -> AnnotatedImage: ...
    @overload
    def __getitem__(self, index: slice) -> list[AnnotatedImage]: ...
    def __getitem__(self, index: int | slice) -> AnnotatedImage | list[AnnotatedImage]:
        if isinstance(index, slice):
            return list(self)[index]
        return next(islice(self, range(len(self))[index], None))

    def _image(self, table: _Table, number: int, row: dict[str, Any]) -> AnnotatedImage:
        image, named = _bytes_of(row[table.image])
        mask, _ = _bytes_of(row[table.mask])
        stem, ending = PurePosixPath(named).stem, PurePosixPath(named).suffix.lower()
        stem = stem if stem.strip(".") else f"{number:06d}"
        if ending not in SUFFIXES:
            ending = next((known for start, known in _ENDINGS.items() if image.startswith(start)), ".png")
        where = f"{table.split}/{stem}{ending}" if table.split else f"{stem}{ending}"
        labels = partial(_labels, f"{table.file}, row {number}", image, mask, self.classes)
        return AnnotatedImage(
            where, image, labels, f"{table.file}, row {number}", (table.split,) if table.split else ()
        )


def _refuse(error: DataError) -> Labels:
    raise error


def _labels(name: str, image: bytes, mask: bytes, classes: MaskClasses) -> Labels:
    if not image or not mask:
        raise DataError(f"the row has no {'mask' if image else 'image'}")
    return value_labels(Path(name), classes.of_values, mask)


def _open_table(file: Path, split: str) -> _Table:
    try:
        content = _parquet().ParquetFile(file)
        fields = list(content.schema_arrow)
        num_rows = content.metadata.num_rows
    except (OSError, ValueError) as error:
        raise _DamagedError(f"it is no parquet file, or cut short ({first_line(error)})") from error
    found = [field.name for field in fields if _holds_images(str(field.type))]
    masks = [name for name in found if any(word in name.lower() for word in _MASK_WORDS)]
    images = [name for name in found if name not in masks]
    if len(masks) != 1 or len(images) != 1:
        raise DataError(
            f"{file} has {len(found)} columns of images ({', '.join(found)}); expected two, one of them called "
            f"{', '.join(_MASK_WORDS[:-1])} or {_MASK_WORDS[-1]}."
        )
    return _Table(file, split, images[0], masks[0], num_rows)


def _holds_images(kind: str) -> bool:
    """Whether a column has bytes: as Hugging Face writes images, with their path, or alone."""
    return kind in ("binary", "large_binary") or (kind.startswith("struct<") and "bytes: binary" in kind)


def _bytes_of(cell: Any) -> tuple[bytes, str]:
    """The bytes of an image and its name, either of which may be missing."""
    if isinstance(cell, dict):
        return cell.get("bytes") or b"", str(cell.get("path") or "").replace("\\", "/")
    return cell or b"", ""


def _values(tables: Sequence[_Table]) -> set[int]:
    """The values of all masks."""
    values: set[int] = set()
    for table, number, cell in _masks(tables):
        content, _ = _bytes_of(cell)
        try:
            raw = read_raw(Path(f"{table.file}, row {number}"), colors=False, content=content)
        except ScenescopeError:
            continue  # it is told when it is its turn
        values.update(np.unique(raw).tolist())
        if len(values) > 256:
            raise DataError(f"{table.file} and those before have masks of more than 256 values, as no labels have.")
    return values


def _masks(tables: Sequence[_Table]) -> Iterator[tuple[_Table, int, Any]]:
    """The mask of each row that can be read, with its table and its number there."""
    for table in tables:
        # What is damaged is told when it is its turn.
        with contextlib.suppress(_DamagedError):
            for number, row in enumerate(table.rows(table.mask)):
                yield table, number, row[table.mask]


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError("Parquet needs pyarrow, which is not installed: pip install 'scenescope[parquet]'.") from error
    return parquet
