"""Finds the image that an annotation names, whose path often is that of another machine."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from scenescope.data.file_pairs import is_hidden
from scenescope.data.images import SUFFIXES
from scenescope.errors import DataError

MAX_FILES = 5_000_000
"""Files below a source that are looked at, which may be the root of a disk."""


IMPORT_MARK = ".import"
"""The file by which a folder that an import has written is known."""


MAX_GLANCED = 200_000
"""Files and folders that are looked at to tell a format."""


class ImageFinder:
    """The images below a folder, found by what is left of their names.

    Args:
        root: the folder of the source.
        image_dir: where the images are besides, if the user says so.
    """

    def __init__(self, root: Path, image_dir: Path | None = None) -> None:
        self.root = root
        if image_dir is not None and not image_dir.is_dir():
            raise DataError(f"{image_dir} is not a directory; give the folder that holds the images.")
        self.roots = (root,) if image_dir is None else (image_dir, root)

    def find(self, name: str, near: Path | None = None, split: str = "") -> Path:
        r"""Return the image of a name, which may be a path of another machine.

        Of those that end alike, the one that shares most folders at its end with the name is meant, then one beside
        ``near``, then one below a folder named as the split. An ending that the name lacks or has otherwise is found
        as well, if there is one such image.

        Args:
            name: as the annotation says it, with / or \.
            near: the folder of the annotation.
            split: that of the annotation, if it has one.

        Raises:
            DataError: there is none, or several are meant equally; says what is there.
        """
        parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", ".", "..")]
        if not parts:
            raise DataError(f"{name!r} names no image")
        found = self._by_name.get(_composed(parts[-1])) or self._by_stem.get(_composed(_stem(parts[-1])), [])
        if not found:
            searched = " or ".join(map(str, self.roots))
            raise DataError(f"the image {name!r} is not there, below {searched}; --image-dir says where images are")

        def rank(path: Path) -> tuple[int, bool, bool]:
            return (
                _shared_end(path.with_suffix(""), [*parts[:-1], _stem(parts[-1])]),
                path.parent == near,
                (bool(split) and split in path.parts),
            )

        best = max(map(rank, found))
        meant = [path for path in found if rank(path) == best]
        if len(meant) > 1:
            raise DataError(f"the image {name!r} may be {meant[0]} or {meant[1]}; give --image-dir or rename one")
        return meant[0]

    def below(self, path: Path) -> str:
        """Return the name of an image below its root, with /."""
        root = next(root for root in self.roots if path.is_relative_to(root))
        return path.relative_to(root).as_posix()

    def files(self, *suffixes: str) -> list[Path]:
        """Return the files below the root that have one of some endings, such as ".json", in order."""
        return [path for path in self._files[self.root] if path.suffix.lower() in suffixes]

    def without(self, excluded: Callable[[Path], bool]) -> ImageFinder:
        """Return a finder that passes over some of the images, such as masks."""
        other = ImageFinder(self.root)
        other.roots = self.roots
        other.__dict__["images"] = [image for image in self.images if not excluded(image)]
        return other

    @cached_property
    def images(self) -> list[Path]:
        """All images below the roots, in order, each once."""
        found: dict[str, Path] = {}
        for path in (path for root in self.roots for path in self._files[root]):
            if path.suffix.lower() in SUFFIXES:
                found.setdefault(os.path.realpath(path), path)
        return list(found.values())

    @cached_property
    def _files(self) -> dict[Path, list[Path]]:
        return {root: list(walk(root)) for root in self.roots}

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        named: dict[str, list[Path]] = {}
        for path in self.images:
            named.setdefault(_composed(path.name), []).append(path)
        return named

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        named: dict[str, list[Path]] = {}
        for path in self.images:
            named.setdefault(_composed(path.stem), []).append(path)
        return named


def walk(root: Path, glance: int | None = None) -> Iterator[Path]:
    """Yield the files below a folder in order, but for hidden ones and those that an import has written.

    Args:
        glance: after so many files and folders the search ends, which otherwise is refused at MAX_FILES.

    Raises:
        DataError: there are far too many.
    """
    searched = 0
    for directory, folders, names in os.walk(root):
        if IMPORT_MARK in names:
            folders[:] = []
            continue
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        searched += len(names) + len(folders)
        if searched > MAX_FILES:
            raise DataError(f"{root} holds more than {MAX_FILES:,} files; give the folder of the data set.")
        yield from (Path(directory, name) for name in sorted(names) if not is_hidden(name))
        if glance is not None and searched > glance:
            return


def _composed(name: str) -> str:
    """A name with letters and their accents as one: archives of macOS hold them as two."""
    return unicodedata.normalize("NFC", name)


def _stem(name: str) -> str:
    """A name without the ending of an image; other dots belong to the name."""
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in SUFFIXES else name


def _shared_end(path: Path, parts: list[str]) -> int:
    """How many folders a path shares with others at its end."""
    count = 0
    for own, other in zip(reversed(path.parts), reversed(parts), strict=False):
        if own != other:
            break
        count += 1
    return count
