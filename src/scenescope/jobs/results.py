"""What is made of predictions: other names, no specks, and files about their areas, of each image and of all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from scenescope.data.formats.labeled_image import LabeledImage
from scenescope.data.formats.writers import KINDS
from scenescope.errors import ImageError, nearest
from scenescope.files import storage_errors
from scenescope.inference.prediction import Prediction
from scenescope.inference.renaming import Names, renamed
from scenescope.jobs.inputs import ImageFile
from scenescope.jobs.record import Entry, Record
from scenescope.labels import Classes
from scenescope.own_files import file_name

_ALL = "all images"


@dataclass(frozen=True)
class Results:
    """What is made of each prediction.

    Args:
        write: names of ``KINDS``.
        min_area: connected areas of fewer pixels lose their class.
        fill_holes: holes of fewer pixels are filled.
        names: other names of classes, see ``Prediction.renamed``.

    Raises:
        ImageError: a kind that is not known.
    """

    write: Sequence[str] = ()
    min_area: int = 0
    fill_holes: int = 0
    names: Names = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in self.write:
            if kind not in KINDS:
                raise ImageError(f"{kind!r} cannot be written; known are {', '.join(KINDS)}.{nearest(kind, KINDS)}")

    @property
    def endings(self) -> tuple[str, ...]:
        """What is written about each image."""
        return tuple(KINDS[kind].ending for kind in dict.fromkeys(self.write))

    @property
    def needs_probabilities(self) -> bool:
        """Whether something that is written tells of probabilities."""
        return "regions" in self.write

    def classes(self, classes: Classes) -> Classes:
        """Return the classes of a model as they are called here."""
        return renamed(classes, self.names)[0] if self.names else classes

    def made_by(self, fingerprint: str) -> str:
        """Return what is the same only for the same model and the same that is made of its predictions."""
        told = self.min_area, self.fill_holes, sorted(self.names.items())
        return fingerprint if told == (0, 0, []) else hashlib.sha256(repr((fingerprint, told)).encode()).hexdigest()

    def of(self, prediction: Prediction) -> Prediction:
        """Return what is made of a prediction."""
        if self.names:
            prediction = prediction.renamed(self.names)
        return prediction.tidied(self.min_area, self.fill_holes)

    def files(self, prediction: Prediction, image: ImageFile, folder: Path) -> dict[Path, Callable[[Path], object]]:
        """Return the places of what is written about an image's areas, and what writes each file.

        Raises:
            ImageError: there are more than a million areas.
        """
        if not self.write:
            return {}
        labeled = LabeledImage(image.path, image.file_name, prediction.regions(), prediction.classes)
        places = {folder / file_name(image.name, KINDS[kind].ending): KINDS[kind] for kind in self.write}
        return {place: partial(_write_text, kind.write(labeled, place)) for place, kind in places.items()}

    def require_free(self, record: Record) -> None:
        """Refuse a folder where a file of all images would replace what predict has not written.

        Raises:
            StorageError: such a file is there.
        """
        for kind in self.write:
            for name in KINDS[kind].joined:
                record.require_free(record.folder / name, _ALL)

    def join(self, record: Record, entries: Iterable[Entry], classes: Classes) -> list[str]:
        """Write the files of all images from those about each, one of which is held at a time.

        Files of all images that are not asked for tell of older predictions, and are removed.

        Returns:
            What is to be said: files that are left out since somebody has changed them.

        Raises:
            StorageError: a place cannot be written.
        """
        entries, notes = list(entries), dict[str, None]()
        for name, kind in KINDS.items():
            for joined, join in kind.joined.items():
                place = record.folder / joined
                if name in self.write:
                    text = join(_parts(record, entries, kind.ending, notes), classes)
                    record.write(place, _ALL, partial(_write_text, text))
                elif record.subjects(place):
                    with storage_errors(place):
                        place.unlink()
        return list(notes)


NOTHING_MORE = Results()


def _parts(record: Record, entries: Iterable[Entry], ending: str, notes: dict[str, None]) -> Iterator[str]:
    for entry in entries:
        place = record.folder / file_name(entry.name, ending)
        if ending in entry.files and place.is_file():
            content = place.read_bytes()
            if hashlib.sha256(content).hexdigest() == entry.files[ending]:
                yield content.decode()
            else:
                notes[f"{place} has been changed since, and is left out of the file of all images."] = None


def _write_text(text: Iterable[str], path: Path) -> None:
    # A file name that is no Unicode is written with its odd bytes as \\xNN.
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(text)
