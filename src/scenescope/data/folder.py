"""A folder of the user's own images and masks, with the meaning of the masks in ``classes.yaml``.

Three layouts; a mask has the stem of its image, and ``masks`` may also be called ``labels``:

    ROOT/images/train/a.jpg, ROOT/masks/train/a.png, ...    one directory per split
    ROOT/images/a.jpg, ROOT/masks/a.png, ROOT/train.txt, ROOT/val.txt    one list per split (any SPLIT.txt)
    ROOT/images/a.jpg, ROOT/masks/a.png    and ``val_fraction``: a seeded draw makes train and val

A line of a list is a stem (``a``), a file name (``a.jpg``), a path below the root (``images/a.jpg``), or an image
and its mask (``images/a.jpg masks/a.png``).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from scenescope.data.class_file import read_class_file
from scenescope.data.dataset import FileDataset, Pair
from scenescope.data.pairs import listed, missing_partner, pair_directories, pictures_by_stem, require_directory
from scenescope.errors import DataError, SplitError


def open_folder(root: str, split: str, *, val_fraction: float | None = None, val_seed: int = 0) -> FileDataset:
    """Open a split of a folder of images and masks.

    Args:
        root: the folder with ``images``, ``masks`` and ``classes.yaml``.
        split: such as ``train`` or ``val``.
        val_fraction: between 0 and 1, for a folder without splits: the share of pairs that becomes ``val``.
        val_seed: the seed of that draw, which depends on nothing but the stems.

    Raises:
        DataError: something is missing, images and masks do not match, or the split is empty.
        SplitError: there is no such split.
    """
    folder = require_directory(Path(os.path.expanduser(root)))
    images = require_directory(folder / "images")
    masks = folder / "labels" if (folder / "labels").is_dir() and not (folder / "masks").is_dir() else folder / "masks"
    require_directory(masks)
    classes, table = read_class_file(folder / "classes.yaml")
    directories = sorted(entry.name for entry in images.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    lists = sorted(path.name for path in folder.glob("*.txt"))
    if val_fraction is not None:
        if directories or f"{split}.txt" in lists:
            raise DataError(
                f"{folder} has splits of its own ({listed([*directories, *lists])}) and val_fraction is given too; "
                "remove one of the two."
            )
        pairs = _draw(pair_directories(images, masks), folder, split, val_fraction, val_seed)
    elif f"{split}.txt" in lists:
        pairs = _ListedPairs(folder, images, masks).read(folder / f"{split}.txt")
    elif split in directories:
        pairs = pair_directories(images / split, masks / split)
    else:
        found = [*(f"images/{name}" for name in directories), *lists]
        there = f"there are {listed(found)}" if found else "there are no splits"
        raise SplitError(
            f"{folder} has no split {split!r}: {there}; put the images into images/{split} and masks/{split}, list "
            f"them in {split}.txt, or draw train and val with data.val_fraction=0.2 (evaluate: --val-fraction 0.2)."
        )
    return FileDataset(classes, split, root, pairs, table)


def _draw(pairs: tuple[Pair, ...], folder: Path, split: str, fraction: float, seed: int) -> tuple[Pair, ...]:
    """The pairs of ``train`` or ``val``; the val_fraction of lowest hash are val.

    A hash and not a generator: a file more or less moves hardly any other, and no release of numpy changes the draw.
    """
    if split not in ("train", "val"):
        raise SplitError(f"{folder} has no split {split!r}: val_fraction makes train and val.")
    if not 0 < fraction < 1:
        raise DataError(f"val_fraction is {fraction}, but must lie between 0 and 1, such as 0.2.")
    if len(pairs) < 2:
        raise DataError(f"{folder} holds {len(pairs)} pairs of image and mask; a draw of train and val needs 2.")
    num_val = min(max(round(fraction * len(pairs)), 1), len(pairs) - 1)
    ranked = sorted(pairs, key=lambda pair: hashlib.sha256(f"{seed}:{pair[0].stem}".encode()).digest())
    chosen = set(ranked[:num_val])
    return tuple(pair for pair in pairs if (pair in chosen) == (split == "val"))


class _ListedPairs:
    """Finds the files that the lines of a list name; each directory is listed once."""

    def __init__(self, folder: Path, images: Path, masks: Path) -> None:
        self.folder, self.images, self.masks = folder, images, masks
        self._directories: dict[Path, dict[str, Path]] = {}

    def read(self, list_file: Path) -> tuple[Pair, ...]:
        """Return the pair of each line that is not blank; all faulty lines are counted, the first is told."""
        try:
            lines = list_file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"Cannot read {list_file}: {error}; it must be a UTF-8 text file.") from error
        pairs: dict[Path, Pair] = {}
        faults = []
        for number, line in enumerate(lines, start=1):
            entry = line.strip().replace("\\", "/")
            if not entry:
                continue
            pair = self._pair(entry)
            if isinstance(pair, str):
                faults.append(f"{list_file}, line {number}: {pair}")
            elif pair[0] in pairs:
                faults.append(f"{list_file}, line {number}: {pair[0]} is listed twice; remove one of the lines")
            else:
                pairs[pair[0]] = pair
        if faults:
            raise DataError(f"{faults[0]} ({len(faults)} of {len(lines)} lines at fault).")
        return tuple(pairs.values())

    def _pair(self, entry: str) -> Pair | str:
        """The files of a line, or what is wrong with it."""
        image = self._find(entry, self.images)
        if image is None and len(parts := entry.split()) == 2:
            image, mask = self._find(parts[0], self.images), self._find(parts[1], self.masks)
            if image is not None:
                return (image, mask) if mask is not None else f"no mask {parts[1]!r} in {self.masks}"
        if image is None:
            return f"no image {entry!r} in {self.images}; correct the line or add the file"
        # images/a/b.jpg belongs to masks/a/b.png.
        below = image.parent.relative_to(self.images) if image.is_relative_to(self.images) else Path()
        directory = require_directory(self.masks / below)
        masks = self._pictures(directory)
        return (image, masks[image.stem]) if image.stem in masks else missing_partner(image, masks, directory, "mask")

    def _find(self, entry: str, directory: Path) -> Path | None:
        """The file of a name, a stem or a path below the root or ``directory``."""
        for path in (self.folder / entry, directory / entry):
            # pathlib's own raises for a name that is too long for any file.
            if os.path.isfile(path):
                return path
        by_stem = directory / entry
        return self._pictures(by_stem.parent).get(by_stem.name) if os.path.isdir(by_stem.parent) else None

    def _pictures(self, directory: Path) -> dict[str, Path]:
        if directory not in self._directories:
            self._directories[directory] = pictures_by_stem(directory)
        return self._directories[directory]
