"""A folder of the user's own images and masks, with the meaning of the masks in ``classes.yaml``.

A mask has the stem of its image, and lies in the same folders below ``masks`` as its image below ``images``:

    ROOT/images/train/a.jpg, ROOT/masks/train/a.png, ...    one directory per split, with any folders below
    ROOT/images/a.jpg, ROOT/masks/a.png, ROOT/train.txt, ROOT/val.txt    one list per split (any SPLIT.txt)
    ROOT/images/a.jpg, ROOT/masks/a.png    and ``val_fraction``: a seeded draw makes train and val

``masks`` may also be called ``labels``; ``img_dir`` and ``ann_dir`` are read likewise, and so is
ROOT/train/images/a.jpg with ROOT/train/masks/a.png.

A line of a list is a stem (``a``), a file name (``a.jpg``), a path below the root (``images/a.jpg``), or an image
and its mask (``images/a.jpg masks/a.png``), which lie anywhere, apart by a space, a tab, a comma or a semicolon.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from scenescope.data.classes_yaml import read_band_rule, read_class_file
from scenescope.data.copies import frame_of
from scenescope.data.dataset import FileDataset, Pair
from scenescope.data.file_pairs import (
    format_names,
    images_by_stem,
    images_in,
    is_hidden,
    missing_partner,
    pair_stems,
    require_directory,
)
from scenescope.errors import DataError, SplitError
from scenescope.lab_names import from_lab

LAYOUTS = (
    ("images/{}", "masks/{}"),
    ("images/{}", "labels/{}"),
    ("img_dir/{}", "ann_dir/{}"),
    ("{}/images", "{}/masks"),
    ("{}/images", "{}/labels"),
)
"""Where the images and the masks of a split may be."""

_SPLIT = re.compile(r"(^|/)(train(ing)?|val(id(ation)?)?|test(ing)?)(/|$)", re.IGNORECASE)


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
    list_file = folder / f"{split}.txt"
    remarks: tuple[str, ...] = ()
    if val_fraction is not None:
        _refuse_splits(folder, split)
        pairs = _draw(_pairs(folder, "", split), folder, split, val_fraction, val_seed)
    elif list_file.is_file():
        pairs = _ListedPairs(folder, *_directories(folder, "")).read(list_file)
    else:
        pairs = _pairs(folder, split, split)
        remarks = _left_out(folder, split)
    classes, table = read_class_file(folder / "classes.yaml")
    rule = read_band_rule(folder / "classes.yaml")
    return FileDataset(classes, split, root, pairs, table, remarks=remarks, rule=rule)


def _directories(folder: Path, split: str) -> tuple[Path, Path]:
    """Where the images and the masks of a split are, of all if it is empty; they may not exist."""
    places = [tuple(folder / place.format(split).strip("/") for place in layout) for layout in LAYOUTS]
    images, masks = max(places, key=lambda place: place[0].is_dir() + (place[0].is_dir() and place[1].is_dir()))
    return images, masks


def _pairs(folder: Path, place: str, split: str) -> tuple[Pair, ...]:
    """The pairs of a place, which is the split or, where that is drawn, empty.

    Raises:
        DataError: there is nothing that can be paired.
        SplitError: there are images, but no such split.
    """
    images, masks = _directories(folder, place)
    found = _splits(folder)
    if not images.is_dir() and (found or _directories(folder, "")[0].is_dir()):
        there = f"there are {format_names(found)}" if found else "there are no splits"
        raise SplitError(
            f"{folder} has no split {split!r}: {there}; put the images into images/{split} and masks/{split}, list "
            f"them in {split}.txt, draw train and val with data.val_fraction=0.2 (evaluate: --val-fraction 0.2), or "
            "name the split that is meant (data.train_split, data.val_split, --split)."
        )
    for directory in (images, masks):
        if not directory.is_dir():
            if seen := from_lab("explain_folder")(folder, split):
                raise DataError(seen)
            require_directory(directory.parent)
            require_directory(directory)
    image_of, mask_of = images_by_stem(images, deep=True), images_by_stem(masks, deep=True)
    unpaired = image_of.keys() != mask_of.keys()
    if unpaired and (seen := from_lab("explain_unpaired")(folder, split, image_of, mask_of)):
        raise DataError(seen)
    return pair_stems(image_of, mask_of, images, masks)


def _splits(folder: Path) -> list[str]:
    """What may be the splits of a folder, as a user sees it there: directories and lists."""
    found = [path for images, _ in LAYOUTS for path in folder.glob(images.format("*")) if path.is_dir()]
    names = {path.relative_to(folder).as_posix() for path in found if not is_hidden(path.name)}
    return sorted(names) + sorted(path.name for path in folder.glob("*.txt"))


def _refuse_splits(folder: Path, split: str) -> None:
    """Refuse to draw where splits are there; folders of other names just hold images."""
    found = _splits(folder)
    if any(_SPLIT.search(name) for name in found) or f"{split}.txt" in found:
        raise DataError(
            f"{folder} has splits of its own ({format_names(found)}) and val_fraction is given too;"
            " remove one of the two."
        )


def _left_out(folder: Path, split: str) -> tuple[str, ...]:
    """Tell of images that lie beside the directories of splits."""
    above = _directories(folder, split)[0].parent
    left = sum(1 for _ in images_in(above, deep=False)) if above != folder and above.name != split else 0
    return (f"{left} images directly in {above} belong to no split.",) if left else ()


def _draw(pairs: tuple[Pair, ...], folder: Path, split: str, fraction: float, seed: int) -> tuple[Pair, ...]:
    """The pairs of ``train`` or ``val``; the val_fraction of lowest hash are val, copies of a frame together.

    A hash and not a generator: a file more or less moves hardly any other, and no release of numpy changes the draw.
    """
    if split not in ("train", "val"):
        raise SplitError(f"{folder} has no split {split!r}: val_fraction makes train and val.")
    if not 0 < fraction < 1:
        raise DataError(f"val_fraction is {fraction}, but must lie between 0 and 1, such as 0.2.")
    frames: dict[str, list[Pair]] = {}
    for pair in pairs:
        frames.setdefault(frame_of(pair[0].stem), []).append(pair)
    if len(frames) < 2:
        copies = f", all copies of {next(iter(frames))}" if len(pairs) > 1 else ""
        raise DataError(
            f"{folder} holds {len(pairs)} pairs of image and mask{copies}; a draw of train and val needs 2."
        )
    wanted = max(round(fraction * len(pairs)), 1)
    chosen: set[Pair] = set()
    ranked = sorted(frames, key=lambda frame: hashlib.sha256(f"{seed}:{frame}".encode()).digest())
    for frame in ranked[:-1]:
        if len(chosen) < wanted:
            chosen.update(frames[frame])
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
        if image is None:
            return self._both(entry)
        # images/a/b.jpg belongs to masks/a/b.png.
        below = image.parent.relative_to(self.images) if image.is_relative_to(self.images) else Path()
        directory = require_directory(self.masks / below)
        masks = self._images(directory)
        return (image, masks[image.stem]) if image.stem in masks else missing_partner(image, masks, directory, "mask")

    def _both(self, entry: str) -> Pair | str:
        """The image and the mask of a line that names both, apart by what lets both be found."""
        fault = f"no image {entry!r} in {self.images}; correct the line or add the file"
        for apart in re.finditer(r"\s*[,;]\s*|\s+", entry):
            image = self._find(entry[: apart.start()], self.images)
            if image is not None:
                mask = self._find(entry[apart.end() :], self.masks)
                if mask is not None:
                    return image, mask
                fault = f"no mask {entry[apart.end() :]!r} in {self.masks}"
        return fault

    def _find(self, entry: str, directory: Path) -> Path | None:
        """The file of a name, a stem or a path below the root or ``directory``."""
        entry = entry.strip("\"'")
        for path in (self.folder / entry, self.folder / entry.lstrip("/"), directory / entry):
            # pathlib's own raises for a name that is too long for any file.
            if os.path.isfile(path):
                return path
        by_stem = directory / entry
        return self._images(by_stem.parent).get(by_stem.name) if os.path.isdir(by_stem.parent) else None

    def _images(self, directory: Path) -> dict[str, Path]:
        if directory not in self._directories:
            self._directories[directory] = images_by_stem(directory)
        return self._directories[directory]
