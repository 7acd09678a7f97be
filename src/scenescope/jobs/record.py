"""What a folder of predictions holds and how each was made: the list of ``OwnFiles`` with more to each line."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from scenescope.errors import StorageError
from scenescope.files import sha256, storage_errors
from scenescope.own_files import OwnFiles, file_name

if TYPE_CHECKING:
    from scenescope.inference.segmenter import Segmenter
    from scenescope.jobs.inputs import ImageFile

RECORD = ".fingerprint"


@dataclass(frozen=True)
class Entry:
    """An image that was predicted.

    Attributes:
        name: of the image in the folder, without ending.
        subject: the absolute path of the image.
        content: SHA-256 of its file.
        made_by: ``fingerprint`` of model and settings.
        header: SHA-256 of the header of the summary.
        row: its row of the summary.
        files: SHA-256 of what was written about it by ending.
    """

    name: str
    subject: str
    content: str
    made_by: str
    header: str
    row: list[str]
    files: dict[str, str]


class Record(OwnFiles):
    """The entries of a folder, the newest of each image, by its name."""

    def __init__(self, folder: Path) -> None:
        self.entries: dict[str, Entry] = {}
        super().__init__(folder, "predict", RECORD)

    def add(self, entry: Entry) -> None:
        """Append an entry.

        Raises:
            StorageError: the folder cannot be written.
        """
        self.append(dataclasses.asdict(entry))

    def find_done(self, image: ImageFile, made_by: str, endings: tuple[str, ...]) -> Entry | None:
        """Return the entry of an image that is unchanged, was predicted in this way, and whose files are all there."""
        entry = self.entries.get(image.name)
        if entry is None or entry.made_by != made_by or entry.content != content_of(image.path):
            return None
        files = {ending: self.folder / file_name(image.name, ending) for ending in endings}
        whole = all(file.is_file() and sha256(file) == entry.files.get(ending) for ending, file in files.items())
        return entry if whole else None

    def require_ours(self, image: ImageFile, endings: tuple[str, ...]) -> None:
        """Refuse to replace files that were not written about this very image.

        Raises:
            StorageError: such a file is in the place of what is to be written.
        """
        for ending in endings:
            target = self.folder / file_name(image.name, ending)
            if not os.path.lexists(target):
                continue
            if not self.subjects(target):
                raise StorageError(
                    f"{target} is in the way of what is written about {image.path}: it is not, or no longer, a file"
                    " that predict has written; move it or choose another --output."
                )
            entry = self.entries[image.name]
            if entry.subject != os.path.abspath(image.path) and entry.content != content_of(image.path):
                raise StorageError(
                    f"{target} tells of another image, {entry.subject}, and would be replaced by what is written"
                    f" about {image.path}; choose another --output."
                )

    def remove_others(self, entry: Entry, endings: tuple[str, ...]) -> None:
        """Remove those of our files about an image that its newest entry does not know: they are of an older one."""
        for ending in endings:
            stale = self.folder / file_name(entry.name, ending)
            if ending not in entry.files and self.subjects(stale):
                with storage_errors(stale):
                    stale.unlink()

    def _keep(self, line: dict[str, Any]) -> None:
        super()._keep(line)  # of what tells of all images there are lines that are no entries
        if line.keys() == {field.name for field in dataclasses.fields(Entry)} and isinstance(line["row"], list):
            self.entries[line["name"]] = Entry(**line)


def fingerprint(segmenter: Segmenter) -> str:
    """Return what is the same only for the same weights, settings of the network, classes and test procedure."""
    told: list[Any] = [version("scenescope"), segmenter.digest, segmenter.precision, segmenter.settings]
    told += [segmenter.classes, getattr(segmenter.form, "config", None)]
    # What a module does depends on numbers that are no weights: align_corners, input_scale, strides, forms of
    # attention.
    if isinstance(segmenter.form, nn.Module):
        told += [
            (name, type(module).__name__, [(key, each) for key, each in vars(module).items() if _is_setting(key, each)])
            for name, module in segmenter.network.named_modules()
        ]
    return hashlib.sha256(repr(told).encode(errors="surrogatepass")).hexdigest()


def content_of(path: Path) -> str:
    """Return the SHA-256 of an image's file, or an empty string if it cannot be read; why, its reader will say."""
    try:
        return sha256(path) if path.is_file() else ""
    except OSError:
        return ""


def _is_setting(key: str, value: object) -> bool:
    plain = (str, int, float, bool, type(None))
    parts = value if isinstance(value, tuple) else (value,)
    return not key.startswith("_") and key != "training" and all(isinstance(part, plain) for part in parts)
