"""Which mask belongs to which image: the same stem in two directories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from scenescope.data.dataset import Pair
from scenescope.data.images import SUFFIXES
from scenescope.errors import DataError


def pair_directories(images: Path, masks: Path) -> tuple[Pair, ...]:
    """Pair every image with the mask of the same stem, sorted by stem.

    Raises:
        DataError: a missing directory, an image without mask or the other way round, two files of one stem.
    """
    image_of, mask_of = pictures_by_stem(images), pictures_by_stem(masks)
    _require_partners(image_of, mask_of, masks, "image", "mask")
    _require_partners(mask_of, image_of, images, "mask", "image")
    return tuple((image_of[stem], mask_of[stem]) for stem in sorted(image_of))


def pictures_by_stem(directory: Path) -> dict[str, Path]:
    """Return the pictures directly in a directory by their stem; hidden and other files are passed over.

    Raises:
        DataError: no such directory, two pictures of one stem, or stems that differ only in case.
    """
    require_directory(directory)
    found: dict[str, Path] = {}
    folded: dict[str, Path] = {}
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        if path.stem in found:
            raise DataError(
                f"{directory} holds both {found[path.stem].name} and {path.name}; keep one file for each stem."
            )
        other = folded.setdefault(path.stem.casefold(), path)
        if other != path:
            raise DataError(
                f"{directory} holds {other.name} and {path.name}, whose names differ only in upper and lower case; "
                "rename one: many file systems cannot tell them apart."
            )
        found[path.stem] = path
    return found


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
    raise DataError(f"{path} does not exist; {above} holds {listed(entry.name for entry in above.iterdir())}.")


def listed(names: Iterable[str], most: int = 8) -> str:
    """Return the names that are not hidden as one line, sorted, shortened after ``most``."""
    shown = sorted(name for name in names if not name.startswith("."))
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return (", ".join(shown[:most]) or "nothing") + more


def missing_partner(path: Path, partners: Mapping[str, Path], directory: Path, partner: str) -> str:
    """Say that a file has no partner in a directory, with what comes nearest there."""
    near = [other.name for stem, other in partners.items() if stem.casefold() == path.stem.casefold()]
    if near:
        hint = f"; {near[0]} there differs in upper and lower case: give both the same name"
    elif unread := sorted(other.name for other in directory.glob("*") if other.stem == path.stem):
        hint = f"; {unread[0]} there is not a kind of file that is read: save it as PNG"
    else:
        hint = f"; add {path.stem}.png there or remove the file"
    return f"{path} has no {partner} in {directory}{hint}"


def _require_partners(
    files: dict[str, Path], partners: dict[str, Path], directory: Path, kind: str, other: str
) -> None:
    lonely = sorted(files.keys() - partners.keys())
    if lonely:
        counts = f"{len(files)} {kind}s, {len(partners)} {other}s, {len(lonely)} {kind}s without {other}"
        raise DataError(f"{missing_partner(files[lonely[0]], partners, directory, other)} ({counts}).")
