"""From files, folders and patterns to images, each with a name of its own for what is written about it."""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scenescope.data.file_pairs import is_hidden
from scenescope.data.formats.writers import KINDS
from scenescope.data.images import SUFFIXES, UNREAD_SUFFIXES
from scenescope.errors import ImageError, StorageError
from scenescope.inference.guards import refuse_address
from scenescope.inference.prediction import ENDINGS
from scenescope.jobs.record import Record
from scenescope.own_files import file_name

ALL_ENDINGS = (*ENDINGS, *(kind.ending for kind in KINDS.values()))
"""Those, and of what is written about its areas."""

MAX_STEM = 255 - max(len(ending.rpartition("/")[2]) for ending in ALL_ENDINGS)
"""So many bytes of a name leave room for every ending within the 255 that file systems take."""


VIDEOS = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".mpg", ".mpeg", ".mts", ".3gp", ".ogv"))
"""Endings, in lower case, of videos."""


@dataclass(frozen=True)
class ImageFile:
    """An image to read, and the name without ending, relative to the output, of what is written about it.

    Attributes:
        problem: why it cannot be read, where that is known already.
        file_name: the path of the image below the folder that was given, with "/", by which tools find it; where two
            images share that, an absolute path.
    """

    path: Path
    name: str
    problem: str | None = None
    file_name: str = ""


def find_images(inputs: Sequence[str], output: Path) -> list[ImageFile]:
    """Return every image of some files, folders and patterns once, in order, no two with one name.

    Folders are searched with their subfolders, which the names keep; what lies in ``output`` is left out, and so is
    what is hidden or was written by predictions into another folder. Images in formats that are not read and folders
    that cannot be searched are among what is returned, with their problem. Images that would share a name get their
    ending (photo_jpg, photo_png) and if need be a number added. A name too long for what is added to it is cut, with a
    hash of the whole at its end.

    Raises:
        ImageError: an input that does not exist, or a folder or pattern without an image.
        StorageError: the output is one of the folders to search, or what is written would replace an input.
    """
    found: dict[str, ImageFile] = {}
    for text in inputs:
        for image in _images_of(text, output):
            found.setdefault(os.path.abspath(image.path), image)
    images = _with_unique_names(list(found.values()))
    _refuse_overwriting(images, Path(output))
    return images


def _images_of(text: str, output: Path) -> list[ImageFile]:
    if not text.strip():
        raise ImageError("An image without a name is given; give files, folders or patterns such as 'photos/*.jpg'.")
    refuse_address(text)
    path = Path(text)
    if path.is_dir():
        images = _in_folder(path, output)
        if not images:
            raise ImageError(f"There is no image in {path}; images end in {', '.join(sorted(SUFFIXES))}.")
        return images
    if path.exists():
        return [_named(path, path.stem)]
    if not glob.has_magic(text):
        raise ImageError(f"There is no image {path}; give files, folders or patterns such as 'photos/*.jpg'.")
    images = []
    for match in map(Path, sorted(glob.glob(text, recursive=True))):
        if match.is_dir():
            images += [] if is_hidden(match.name) else _in_folder(match, output)
        elif _is_image(match.name):
            images.append(_named(match, match.stem))
    if not images:
        raise ImageError(f"No image matches {text!r}; give files, folders or patterns such as 'photos/*.jpg'.")
    return images


def _in_folder(folder: Path, output: Path) -> list[ImageFile]:
    # Absolute without following links: a linked folder is named as the user sees it.
    excluded = os.path.realpath(output)
    if os.path.realpath(folder) == excluded:
        raise StorageError(f"{output} is also a folder to read images from; choose another --output.")
    images = []
    written: set[Path] = set()

    def unsearched(error: OSError) -> None:
        place = Path(error.filename)
        why = f"Cannot search {place}: {error.strerror}; check its permissions."
        images.append(ImageFile(place, place.relative_to(folder).as_posix(), why))

    for directory, subfolders, files in os.walk(folder, onerror=unsearched):
        subfolders[:] = sorted(
            name for name in subfolders if not is_hidden(name) and os.path.realpath(Path(directory, name)) != excluded
        )
        written |= Record(Path(directory)).files()
        for path in sorted({Path(directory, name) for name in files if _is_image(name)} - written):
            images.append(_named(path, path.relative_to(folder).with_suffix("").as_posix()))
    return images


def _is_image(name: str) -> bool:
    return not is_hidden(name) and Path(name).suffix.lower() in SUFFIXES | UNREAD_SUFFIXES


def _named(path: Path, name: str) -> ImageFile:
    """Return an image by its name, with its problem if its ending tells that it cannot be read."""
    suffix, problem = path.suffix.lower(), None
    if suffix in UNREAD_SUFFIXES:
        problem = f"Cannot read {path}: {suffix.removeprefix('.').upper()} is not read; save it as JPEG or PNG."
    elif suffix in VIDEOS:
        problem = f"Cannot read {path}: it is a video; segment it by scenescope video {path.name} --output out."
    return ImageFile(path, name, problem)


def _refuse_overwriting(images: list[ImageFile], output: Path) -> None:
    inputs = {os.path.realpath(image.path) for image in images}
    for image in images:
        for ending in ALL_ENDINGS:
            target = output / file_name(image.name, ending)
            if os.path.realpath(target) in inputs:
                raise StorageError(
                    f"What is written about {image.path} would replace the input {target}; choose another --output."
                )


def _with_unique_names(images: list[ImageFile]) -> list[ImageFile]:
    # Names differing only in case are one file on some systems. About what cannot be read nothing is written.
    count = Counter(image.name.casefold() for image in images if image.problem is None)
    taken = set(count)
    shared = Counter(map(_below_folder, images))
    named = []
    for image in images:
        chosen = image.name
        if image.problem is None and count[chosen.casefold()] > 1:
            chosen = _free_name(f"{chosen}_{image.path.suffix.removeprefix('.')}", taken)
            taken.add(chosen.casefold())
        told = _below_folder(image)
        told = told if shared[told] == 1 else Path(os.path.abspath(image.path)).as_posix()
        named.append(replace(image, name=fitting_name(chosen), file_name=told))
    return named


def _below_folder(image: ImageFile) -> str:
    return f"{image.name.rpartition('/')[0]}/{image.path.name}".removeprefix("/")


def _free_name(name: str, taken: set[str]) -> str:
    number, chosen = 1, name
    while chosen.casefold() in taken:
        number += 1
        chosen = f"{name}_{number}"
    return chosen


def fitting_name(name: str) -> str:
    """Return the name of an image, cut if need be so that every ending fits, with a hash of the whole at its end."""
    folder, _, stem = name.rpartition("/")
    stored = stem.encode(errors="surrogateescape")
    if len(stored) <= MAX_STEM:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    # "ignore": the cut may go through a character.
    stem = f"{stored[: MAX_STEM - 9].decode(errors='ignore')}-{digest}"
    return f"{folder}/{stem}" if folder else stem
