"""From files, folders and patterns to pictures, each with a name of its own for what is written about it."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scenescope.data.images import SUFFIXES, UNREAD_SUFFIXES
from scenescope.data.pairs import is_hidden
from scenescope.errors import ImageError, StorageError
from scenescope.inference.record import Record

ENDINGS = LABELS, OVERLAY, PROBABILITIES = "_labels.png", "_overlay.png", "_probabilities.npz"
"""What is written about a picture: its name with these."""

MAX_STEM = 255 - max(map(len, ENDINGS))
"""So many bytes of a name leave room for every ending within the 255 that file systems take."""


VIDEOS = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".mpg", ".mpeg", ".mts", ".3gp", ".ogv"))
"""Endings, in lower case, of videos."""


@dataclass(frozen=True)
class PictureFile:
    """A picture to read, and the name without ending, relative to the output, of what is written about it.

    Attributes:
        problem: why it cannot be read, where that is known already.
    """

    path: Path
    name: str
    problem: str | None = None


def find_pictures(inputs: Sequence[str], output: Path) -> list[PictureFile]:
    """Return every picture of some files, folders and patterns once, in order, no two with one name.

    Folders are searched with their subfolders, which the names keep; what lies in ``output`` is left out, and so is
    what is hidden or was written by predictions into another folder. Pictures in formats that are not read and folders
    that cannot be searched are among what is returned, with their problem. Pictures that would share a name get their
    ending (photo_jpg, photo_png) and if need be a number added. A name too long for what is added to it is cut, with a
    hash of the whole at its end.

    Raises:
        ImageError: an input that does not exist, or a folder or pattern without a picture.
        StorageError: the output is one of the folders to search, or what is written would replace an input.
    """
    found: dict[str, PictureFile] = {}
    for text in inputs:
        for picture in _pictures_of(text, output):
            found.setdefault(os.path.abspath(picture.path), picture)
    pictures = _with_unique_names(list(found.values()))
    _refuse_overwriting(pictures, Path(output))
    return pictures


def refuse_address(text: str) -> None:
    """Refuse the address of a picture elsewhere in the place of a path.

    Raises:
        ImageError: it is one.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        raise ImageError(f"{text} is an address, and only files are read; download it and give the file's path.")


def _pictures_of(text: str, output: Path) -> list[PictureFile]:
    if not text.strip():
        raise ImageError("A picture without a name is given; give files, folders or patterns such as 'photos/*.jpg'.")
    refuse_address(text)
    path = Path(text)
    if path.is_dir():
        pictures = _in_folder(path, output)
        if not pictures:
            raise ImageError(f"There is no picture in {path}; pictures end in {', '.join(sorted(SUFFIXES))}.")
        return pictures
    if path.exists():
        return [_named(path, path.stem)]
    if not glob.has_magic(text):
        raise ImageError(f"There is no picture {path}; give files, folders or patterns such as 'photos/*.jpg'.")
    pictures = []
    for match in map(Path, sorted(glob.glob(text, recursive=True))):
        if match.is_dir():
            pictures += [] if is_hidden(match.name) else _in_folder(match, output)
        elif _is_picture(match.name):
            pictures.append(_named(match, match.stem))
    if not pictures:
        raise ImageError(f"No picture matches {text!r}; give files, folders or patterns such as 'photos/*.jpg'.")
    return pictures


def _in_folder(folder: Path, output: Path) -> list[PictureFile]:
    # Absolute without following links: a linked folder is named as the user sees it.
    excluded = os.path.realpath(output)
    if os.path.realpath(folder) == excluded:
        raise StorageError(f"{output} is also a folder to read pictures from; choose another --output.")
    pictures = []
    written: set[Path] = set()

    def unsearched(error: OSError) -> None:
        place = Path(error.filename)
        why = f"Cannot search {place}: {error.strerror}; check its permissions."
        pictures.append(PictureFile(place, place.relative_to(folder).as_posix(), why))

    for directory, subfolders, files in os.walk(folder, onerror=unsearched):
        subfolders[:] = sorted(
            name for name in subfolders if not is_hidden(name) and os.path.realpath(Path(directory, name)) != excluded
        )
        written |= Record(Path(directory)).files()
        for path in sorted({Path(directory, name) for name in files if _is_picture(name)} - written):
            pictures.append(_named(path, path.relative_to(folder).with_suffix("").as_posix()))
    return pictures


def _is_picture(name: str) -> bool:
    return not is_hidden(name) and Path(name).suffix.lower() in SUFFIXES | UNREAD_SUFFIXES


def _named(path: Path, name: str) -> PictureFile:
    """Return a picture by its name, with its problem if its ending tells that it cannot be read."""
    suffix, problem = path.suffix.lower(), None
    if suffix in UNREAD_SUFFIXES:
        problem = f"Cannot read {path}: {suffix.removeprefix('.').upper()} is not read; save it as JPEG or PNG."
    elif suffix in VIDEOS:
        problem = (
            f"Cannot read {path}: it is a video; take pictures out of it, such as with"
            f" ffmpeg -i {path.name} frames/%06d.png."
        )
    return PictureFile(path, name, problem)


def _refuse_overwriting(pictures: list[PictureFile], output: Path) -> None:
    inputs = {os.path.realpath(picture.path) for picture in pictures}
    for picture in pictures:
        for ending in ENDINGS:
            target = output / f"{picture.name}{ending}"
            if os.path.realpath(target) in inputs:
                raise StorageError(
                    f"What is written about {picture.path} would replace the input {target}; choose another --output."
                )


def _with_unique_names(pictures: list[PictureFile]) -> list[PictureFile]:
    # Names differing only in case are one file on some systems. About what cannot be read nothing is written.
    count = Counter(picture.name.casefold() for picture in pictures if picture.problem is None)
    taken = set(count)
    named = []
    for picture in pictures:
        chosen = picture.name
        if picture.problem is None and count[chosen.casefold()] > 1:
            chosen = _free_name(f"{chosen}_{picture.path.suffix.removeprefix('.')}", taken)
            taken.add(chosen.casefold())
        named.append(replace(picture, name=_fitting(chosen)))
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
