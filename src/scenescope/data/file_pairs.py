"""Which mask belongs to which image: the same stem in two directories, or the stems of a list."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from scenescope.data.dataset import Pair
from scenescope.data.images import SUFFIXES
from scenescope.errors import DataError, SplitError

OUTLINES_REMEDY = (
    "scenescope import FOLDER OUT makes masks of what most tools write (docs/data.md); else export masks from the tool"
)

_OF_SYSTEMS = frozenset(("@eaDir", "#recycle", "#snapshot", "__MACOSX", "$RECYCLE.BIN", "System Volume Information"))
"""Folders that network drives, archives of macOS and Windows add to those of their users."""


def pair_directories(images: Path, masks: Path) -> tuple[Pair, ...]:
    """Pair every image with the mask of the same stem, sorted by stem.

    Raises:
        DataError: a missing directory, an image without mask or the other way round, two files of one stem.
    """
    image_of, mask_of = images_by_stem(images), images_by_stem(masks)
    return pair_stems(image_of, mask_of, images, masks)


def pair_stems(
    image_of: Mapping[str, Path], mask_of: Mapping[str, Path], images: Path, masks: Path
) -> tuple[Pair, ...]:
    """Pair the images with the masks that were found in two directories, sorted by stem.

    Raises:
        DataError: an image without mask or the other way round.
    """
    _require_partners(image_of, mask_of, masks, "image", "mask")
    _require_partners(mask_of, image_of, images, "mask", "image")
    return tuple((image_of[stem], mask_of[stem]) for stem in sorted(image_of))


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder of this name is none of the user's: hidden, or put there by a system."""
    return name.startswith(".") or name in _OF_SYSTEMS


def images_by_stem(directory: Path, *, deep: bool = False) -> dict[str, Path]:
    """Return the images in a directory by their stem; hidden and other files are passed over.

    Args:
        directory: where to search.
        deep: search the folders below as well; their images are named as ``folder/stem``.

    Raises:
        DataError: no such directory, one that cannot be searched, two images of one stem, or stems that differ only
            in case.
    """
    require_directory(directory)
    found: dict[str, Path] = {}
    folded: dict[str, str] = {}
    for path in images_in(directory, deep):
        stem = path.relative_to(directory).with_suffix("").as_posix()
        if stem in found:
            raise DataError(
                f"{path.parent} holds both {found[stem].name} and {path.name}; keep one file for each stem."
            )
        other = folded.setdefault(stem.casefold(), stem)
        if other != stem:
            raise DataError(
                f"{directory} holds {found[other].relative_to(directory)} and {path.relative_to(directory)}, whose "
                "names differ only in upper and lower case; rename one: many file systems cannot tell them apart."
            )
        found[stem] = path
    return found


def images_in(directory: Path, deep: bool, searched: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield the images in a directory, and with ``deep`` those below, in order.

    Args:
        searched: where it was searched above; a link that leads back there is not followed.

    Raises:
        DataError: one cannot be searched.
    """
    searched |= {directory.resolve()}
    try:
        entries = sorted(entry for entry in directory.iterdir() if not is_hidden(entry.name))
    except OSError as error:
        raise DataError(f"Cannot search {directory}: {error.strerror or error}; check its permissions.") from error
    for entry in entries:
        if entry.suffix.lower() in SUFFIXES and entry.is_file():
            yield entry
        elif deep and entry.is_dir() and entry.resolve() not in searched:
            yield from images_in(entry, deep, searched)


def pair_listed(list_file: Path, image: Callable[[str], Path], mask: Callable[[str], Path | None]) -> tuple[Pair, ...]:
    """Pair the image and the mask of every stem of a list, in its order.

    Args:
        list_file: one stem a line.
        image: the image file of a stem.
        mask: the mask file of a stem; None where the labels are not public.

    Raises:
        DataError: a file that is listed is missing; tells how many are.
    """
    return require_files([(image(stem), mask(stem)) for stem in listed_stems(list_file)], list_file)


def listed_stems(list_file: Path) -> list[str]:
    """Return the stems of a list, one a line.

    Raises:
        DataError: the list cannot be read.
    """
    try:
        return list_file.read_text(encoding="utf-8", errors="replace").split()
    except OSError as error:
        raise DataError(f"Cannot read {list_file}: {error.strerror or error}; unpack the archive again.") from error


def require_files(pairs: Sequence[Pair], list_file: Path) -> tuple[Pair, ...]:
    """Return the pairs of a list, all of whose files must exist.

    Raises:
        DataError: one does not; tells how many do not.
    """
    # pathlib's own raises for a name that is too long for any file.
    missing = [path for pair in pairs for path in pair if path is not None and not os.path.isfile(path)]
    if missing:
        raise DataError(
            f"{missing[0]} does not exist, but {list_file} lists it ({len(missing)} files missing); "
            "unpack the archive again."
        )
    return tuple(pairs)


def require_list(lists: Path, split: str, name: str) -> Path:
    """Return the list ``SPLIT.txt`` of a data set.

    Raises:
        DataError: no directory of lists.
        SplitError: no such list; tells which there are.
    """
    list_file = require_directory(lists) / f"{split}.txt"
    if not list_file.is_file():
        known = format_names(path.stem for path in lists.glob("*.txt"))
        raise SplitError(f"No split {split!r} of {name}: {list_file} does not exist; splits there: {known}.")
    return list_file


def find_directory(root: str, places: Sequence[str], holding: str, name: str) -> Path:
    """Return the first of some places at or below a root that holds a directory.

    Args:
        root: what the user gave; ``~`` is the home.
        places: paths relative to the root, the longest last.
        holding: the directory that marks the place.
        name: the data set, for the message.

    Raises:
        DataError: none of them does.
    """
    folder = require_directory(Path(os.path.expanduser(root)))
    for place in places:
        if (folder / place / holding).is_dir():
            return folder / place
    raise DataError(f"No {name} in {folder}; give the folder that holds {places[-1]}/{holding}.")


def require_directory(path: Path) -> Path:
    """Return the path of an existing directory.

    Raises:
        DataError: there is none; tells what is there instead.
    """
    if path.is_dir():
        return path
    if path.exists():
        raise DataError(f"{path} is a file, but a directory is expected.")
    above = next((parent for parent in path.parents if parent.is_dir()), None)
    if above is None or above != path.parent:
        raise DataError(f"{path} does not exist; check the path.")
    raise DataError(f"{path} does not exist; {above} holds {format_names(entry.name for entry in above.iterdir())}.")


def format_names(names: Iterable[str], most: int = 8) -> str:
    """Return the names that are not hidden as one line, sorted, shortened after ``most``."""
    shown = sorted(name for name in names if not name.startswith("."))
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return (", ".join(shown[:most]) or "nothing") + more


def missing_partner(path: Path, partners: Mapping[str, Path], directory: Path, partner: str) -> str:
    """Say that a file has no partner in a directory, with what comes nearest there."""
    near = [other for other in partners.values() if other.stem.casefold() == path.stem.casefold()]
    if near and near[0].stem == path.stem:
        hint = f"; {near[0]} lies in another folder: give both the same folders below images and masks"
    elif near:
        hint = f"; {near[0].name} there differs in upper and lower case: give both the same name"
    elif unread := sorted(other.name for other in directory.rglob(f"{glob.escape(path.stem)}.*")):
        hint = f"; {unread[0]} there is {_kind_of(unread[0])}"
    else:
        hint = f"; add {path.stem}.png there or remove the file"
    return f"{path} has no {partner} in {directory}{hint}"


def _kind_of(name: str) -> str:
    """What a file that is not an image is likely to be, and what to do."""
    outlines = {".txt": "YOLO", ".json": "labelme or COCO", ".xml": "VOC or CVAT"}
    tool = outlines.get(Path(name).suffix.lower())
    if tool is None:
        return "not a kind of file that is read: save it as PNG"
    return f"a file of text, in which {tool} keeps outlines or boxes: {OUTLINES_REMEDY}"


def _require_partners(
    files: Mapping[str, Path], partners: Mapping[str, Path], directory: Path, kind: str, other: str
) -> None:
    unpaired = sorted(files.keys() - partners.keys())
    if unpaired:
        counts = f"{len(files)} {kind}s, {len(partners)} {other}s, {len(unpaired)} {kind}s without {other}"
        raise DataError(f"{missing_partner(files[unpaired[0]], partners, directory, other)} ({counts}).")
