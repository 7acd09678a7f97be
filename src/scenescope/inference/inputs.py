"""From files, folders and patterns to pictures, each with a name of its own for what is written about it."""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scenescope.data.images import SUFFIXES
from scenescope.errors import ImageError, StorageError

ENDINGS = ("_labels.png", "_overlay.png", "_probabilities.npz")
"""What is written about a picture: its name with these."""

MAX_STEM = 255 - max(map(len, ENDINGS))
"""So many bytes of a name leave room for every ending within the 255 that file systems take."""


@dataclass(frozen=True)
class PictureFile:
    """A picture to read, and the name without ending, relative to the output, of what is written about it."""

    path: Path
    name: str


def find_pictures(inputs: Sequence[str], output: Path) -> list[PictureFile]:
    """Return every picture of some files, folders and patterns once, in order, no two with one name.

    Folders are searched with their subfolders, which the names keep; what lies in ``output`` is left out. Pictures
    that would share a name get their ending (photo_jpg, photo_png) and if need be a number added. A name too long for
    what is added to it is cut, with a hash of the whole at its end.

    Raises:
        ImageError: an input that does not exist, or a folder or pattern without a picture.
        StorageError: the output is one of the folders to search, or what is written would replace an input.
    """
    found: dict[str, tuple[Path, str]] = {}
    for text in inputs:
        for path, name in _pictures_of(text, output):
            found.setdefault(os.path.abspath(path), (path, name))
    pictures = _with_unique_names(list(found.values()))
    _refuse_overwriting(pictures, Path(output))
    return pictures


def _pictures_of(text: str, output: Path) -> list[tuple[Path, str]]:
    if not text.strip():
        raise ImageError("A picture without a name is given; give files, folders or patterns such as 'photos/*.jpg'.")
    path = Path(text)
    if path.is_dir():
        pictures = _in_folder(path, output)
        if not pictures:
            raise ImageError(f"There is no picture in {path}; pictures end in {', '.join(sorted(SUFFIXES))}.")
        return pictures
    if path.exists():
        return [(path, path.stem)]
    if not glob.has_magic(text):
        raise ImageError(f"There is no picture {path}; give files, folders or patterns such as 'photos/*.jpg'.")
    pictures = []
    for match in map(Path, sorted(glob.glob(text, recursive=True))):
        if match.is_dir():
            pictures += _in_folder(match, output)
        elif match.suffix.lower() in SUFFIXES:
            pictures.append((match, match.stem))
    if not pictures:
        raise ImageError(f"No picture matches {text!r}; give files, folders or patterns such as 'photos/*.jpg'.")
    return pictures


def _in_folder(folder: Path, output: Path) -> list[tuple[Path, str]]:
    # Absolute without following links: a linked folder is named as the user sees it.
    excluded = os.path.realpath(output)
    if os.path.realpath(folder) == excluded:
        raise StorageError(f"{output} is also a folder to read pictures from; choose another --output.")
    pictures = []
    for directory, subfolders, files in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if os.path.realpath(Path(directory, name)) != excluded)
        for file in sorted(files):
            path = Path(directory, file)
            if path.suffix.lower() in SUFFIXES:
                pictures.append((path, path.relative_to(folder).with_suffix("").as_posix()))
    return pictures


def _refuse_overwriting(pictures: list[PictureFile], output: Path) -> None:
    inputs = {os.path.realpath(picture.path) for picture in pictures}
    for picture in pictures:
        for ending in ENDINGS:
            target = output / f"{picture.name}{ending}"
            if os.path.realpath(target) in inputs:
                raise StorageError(
                    f"What is written about {picture.path} would replace the input {target}; choose another --output."
                )


def _with_unique_names(pictures: list[tuple[Path, str]]) -> list[PictureFile]:
    # Names differing only in case are one file on some systems.
    count = Counter(name.casefold() for _, name in pictures)
    taken = set(count)
    named = []
    for path, name in pictures:
        chosen = name
        if count[name.casefold()] > 1:
            chosen = _free_name(f"{name}_{path.suffix.removeprefix('.')}", taken)
            taken.add(chosen.casefold())
        named.append(PictureFile(path, _fitting(chosen)))
    return named


def _free_name(name: str, taken: set[str]) -> str:
    number, chosen = 1, name
    while chosen.casefold() in taken:
        number += 1
        chosen = f"{name}_{number}"
    return chosen


def _fitting(name: str) -> str:
    folder, _, stem = name.rpartition("/")
    stored = stem.encode(errors="surrogateescape")
    if len(stored) <= MAX_STEM:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    # "ignore": the cut may go through a character.
    stem = f"{stored[: MAX_STEM - 9].decode(errors='ignore')}-{digest}"
    return f"{folder}/{stem}" if folder else stem
