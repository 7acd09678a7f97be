"""What a folder of predictions holds and how each was made: a line of JSON for each picture, in the folder itself.

A line is appended before the files it tells of are moved into place. So a file that no line knows by its content was
made by someone else or changed since, whenever a prediction was killed, and is never replaced.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from scenescope.errors import StorageError
from scenescope.files import sha256, storage_errors

if TYPE_CHECKING:
    from scenescope.inference.inputs import PictureFile
    from scenescope.inference.segmenter import Segmenter

RECORD = ".fingerprint"


@dataclass(frozen=True)
class Entry:
    """A picture that was predicted.

    Attributes:
        name: of the picture in the folder, without ending.
        image: its absolute path.
        content: SHA-256 of its file.
        made_by: ``fingerprint`` of model and settings.
        header: SHA-256 of the header of the summary.
        row: its row of the summary.
        files: SHA-256 of what was written about it by ending.
    """

    name: str
    image: str
    content: str
    made_by: str
    header: str
    row: list[str]
    files: dict[str, str]


class Record:
    """The entries of a folder, the newest of each picture, by its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / RECORD
        self.entries: dict[str, Entry] = {}
        self._ours: set[tuple[str, str, str]] = set()
        """Name, ending and SHA-256 of every file that was ever written."""
        self._torn = False
        if os.path.isfile(self.path):  # unlike pathlib's, false where the folder cannot be searched
            content = self.path.read_bytes()
            self._torn = bool(content) and not content.endswith(b"\n")
            for line in content.splitlines():
                if (entry := _parse(line)) is not None:
                    self._keep(entry)

    def files(self) -> set[Path]:
        """Return what was ever written into the folder, whether it is still there or not."""
        return {self.folder / f"{name}{ending}" for name, ending, _ in self._ours}

    def add(self, entry: Entry) -> None:
        """Append an entry.

        Raises:
            StorageError: the folder cannot be written.
        """
        line = json.dumps(dataclasses.asdict(entry)) + "\n"
        with storage_errors(self.path), self.path.open("a", encoding="ascii") as file:
            file.write("\n" * self._torn + line)
            file.flush()
            os.fsync(file.fileno())
        self._torn = False
        self._keep(entry)

    def find_done(self, picture: PictureFile, made_by: str, endings: tuple[str, ...]) -> Entry | None:
        """Return the entry of a picture that is unchanged, was predicted in this way, and whose files are all there."""
        entry = self.entries.get(picture.name)
        if entry is None or entry.made_by != made_by or entry.content != content_of(picture.path):
            return None
        files = {ending: self.folder / f"{picture.name}{ending}" for ending in endings}
        whole = all(file.is_file() and sha256(file) == entry.files.get(ending) for ending, file in files.items())
        return entry if whole else None

    def require_ours(self, picture: PictureFile, endings: tuple[str, ...]) -> None:
        """Refuse to replace files that were not written about this very picture.

        Raises:
            StorageError: such a file is in the place of what is to be written.
        """
        for ending in endings:
            target = self.folder / f"{picture.name}{ending}"
            if not os.path.lexists(target):
                continue
            if not self._wrote(picture.name, ending):
                raise StorageError(
                    f"{target} is in the way of what is written about {picture.path}: it is not, or no longer, a file"
                    " that predict has written; move it or choose another --output."
                )
            entry = self.entries[picture.name]
            if entry.image != os.path.abspath(picture.path) and entry.content != content_of(picture.path):
                raise StorageError(
                    f"{target} tells of another picture, {entry.image}, and would be replaced by what is written about"
                    f" {picture.path}; choose another --output."
                )

    def remove_others(self, entry: Entry, endings: tuple[str, ...]) -> None:
        """Remove those of our files about a picture that its newest entry does not know: they are of an older one."""
        for ending in endings:
            if ending not in entry.files and self._wrote(entry.name, ending):
                stale = self.folder / f"{entry.name}{ending}"
                with storage_errors(stale):
                    stale.unlink()

    def _wrote(self, name: str, ending: str) -> bool:
        file = self.folder / f"{name}{ending}"
        return file.is_file() and (name, ending, sha256(file)) in self._ours

    def _keep(self, entry: Entry) -> None:
        self.entries[entry.name] = entry
        self._ours.update((entry.name, ending, digest) for ending, digest in entry.files.items())


def fingerprint(segmenter: Segmenter) -> str:
    """Return what is the same only for the same weights, settings of the network, classes and test procedure."""
    told: list[Any] = [version("scenescope"), segmenter.digest, segmenter.precision, segmenter.settings]
    told += [segmenter.classes, getattr(segmenter.form, "config", None)]
    # What a module does depends on numbers that are no weights: align_corners, magnify, strides, forms of attention.
    if isinstance(segmenter.form, nn.Module):
        told += [
            (name, type(module).__name__, [(key, each) for key, each in vars(module).items() if _is_setting(key, each)])
            for name, module in segmenter.network.named_modules()
        ]
    return hashlib.sha256(repr(told).encode(errors="surrogatepass")).hexdigest()


def content_of(path: Path) -> str:
    """Return the SHA-256 of a picture's file, or an empty string if it cannot be read; why, its reader will say."""
    try:
        return sha256(path) if path.is_file() else ""
    except OSError:
        return ""


def _is_setting(key: str, value: object) -> bool:
    plain = (str, int, float, bool, type(None))
    parts = value if isinstance(value, tuple) else (value,)
    return not key.startswith("_") and key != "training" and all(isinstance(part, plain) for part in parts)


def _parse(line: bytes) -> Entry | None:
    """Return the entry of a line, or None of one that is torn or no entry."""
    try:
        entry = Entry(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    fitting = isinstance(entry.name, str) and isinstance(entry.row, list) and isinstance(entry.files, dict)
    return entry if fitting else None
