"""One scene looked at for the sake of its faults: all that is wrong with it, not only the first."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from scenescope.bands import as_shown
from scenescope.data.band_facts import BandFacts, band_facts
from scenescope.data.band_files import apply_rule, read_stored_bands
from scenescope.data.dataset import FileDataset, SegmentationDataset, size_error
from scenescope.data.decoding import stored
from scenescope.data.depth import Stored
from scenescope.data.images import opened
from scenescope.data.masks import LabelTable, count_raw_values, read_raw
from scenescope.data.oddities import Oddities, find_oddities, mask_facts
from scenescope.drawing.overlay import blend
from scenescope.errors import DataError, ImageError, LabelError
from scenescope.labels import IGNORE

FaultKind = Literal[
    "image unreadable", "mask unreadable", "mask of another size", "mask of another kind", "unknown label"
]
"""What can be wrong with a scene; "another kind" is colors where numbers are expected, and the like."""

THUMBNAIL_SIDE = 240
"""The longer side of an overlay for the contact sheet, in pixels."""

MAX_UNKNOWN = 64
"""As many unknown labels of one scene are kept, the most frequent: blurred colors have thousands."""


@dataclass(frozen=True)
class Inspection:
    """What was found in one scene.

    Attributes:
        name: that of the scene.
        size: (width, height) of the image as displayed; None when it cannot be read.
        digest: the same for images of the same pixels; empty when it cannot be read.
        counts: number of pixels of each train id and of IGNORE, 256 in all.
        codes: each raw value of the mask, or packed color, with its number of pixels.
        lone: how many of these pixels differ from the one above and from the one to the left, as at smooth edges;
            empty where every code is known.
        colors: whether the codes are colors.
        faults: kind and sentence of each.
        oddities: what is odd, but no fault for sure.
        bands: what the image holds where that is not plain 8 bit, as far as it can be read.
        thumbnail: image and labels as a small RGB image, if asked for and possible.
    """

    name: str
    size: tuple[int, int] | None
    digest: str
    counts: np.ndarray
    codes: dict[int, int]
    lone: dict[int, int]
    colors: bool
    faults: tuple[tuple[FaultKind, str], ...]
    oddities: Oddities
    bands: BandFacts | None
    thumbnail: np.ndarray | None


def inspect_scene(dataset: SegmentationDataset, index: int, *, thumbnail: bool = False) -> Inspection:
    """Read a scene and tell everything that is wrong with it."""
    faults: list[tuple[FaultKind, str]] = []
    stored_image, facts, bands = None, None, None
    if isinstance(dataset, FileDataset):
        stored_image, image, bands = _read_image(dataset, index, faults)
        mask_path, table = dataset.pairs[index][1], dataset.table
        raw = None if mask_path is None else _read_mask(mask_path, dataset, faults)
        if image is not None and raw is not None and mask_path is not None and raw.shape[:2] != image.shape[:2]:
            faults.append(("mask of another size", str(size_error(dataset.pairs[index][0], mask_path, image, raw))))
        if raw is not None and mask_path is not None:
            with contextlib.suppress(ImageError):  # of 64 bit, which says nothing else
                facts = mask_facts(mask_path, dataset.max_pixels)
    else:
        scene = dataset[index]
        image, raw = as_shown(scene.image), scene.labels
        table = LabelTable.of_values([[number] for number in range(len(dataset.classes))], [IGNORE])
    # A mask of another kind is counted, so that its meaning can be guessed, but has no labels.
    readable = raw is not None and (raw.ndim == 3) == table.colors
    meanings = table.train_ids if readable else {}
    codes = {} if raw is None else _shortened(count_raw_values(raw), meanings)
    counts = np.zeros(256, dtype=np.int64)
    for code, pixels in codes.items() if readable else ():
        counts[meanings.get(code, IGNORE)] += pixels
    if readable and raw is not None and image is not None and image.dtype != np.uint8:
        _ignore_without_data(counts, image, table.to_known_labels(raw))
    overlay = None
    if thumbnail and image is not None:
        labels = table.to_known_labels(raw) if readable and raw is not None else None
        overlay = _thumbnail(image, labels, dataset)
    return Inspection(
        name=dataset.name(index),
        size=None if image is None else (image.shape[1], image.shape[0]),
        digest="" if image is None else _digest(image),
        counts=counts,
        codes=codes,
        lone={} if raw is None or codes.keys() <= meanings.keys() else _lone(raw, codes),
        colors=raw is not None and raw.ndim == 3,
        faults=tuple(faults),
        oddities=find_oddities(stored_image, image, facts, () if table.colors else codes),
        bands=bands,
        thumbnail=overlay,
    )


def _read_image(
    dataset: FileDataset, index: int, faults: list[tuple[FaultKind, str]]
) -> tuple[Stored | None, np.ndarray | None, BandFacts | None]:
    """The image as it is stored and as it is seen, as far as it can be read, and what it holds beyond 8 bit."""
    path, rule, found = dataset.pairs[index][0], dataset.rule, None
    try:
        if rule is None:
            with opened(path, dataset.max_pixels) as image:
                found = stored(image)
                seen = found.rgb()
            return found, seen, None if found.numbers is None else _band_facts(dataset, path)
        bands = read_stored_bands(path, dataset.max_pixels)
        facts = band_facts(bands, rule)
        try:
            return None, apply_rule(bands, rule, path), facts
        except ImageError as error:
            faults.append(("image unreadable", str(error)))
            return None, None, facts
    except ImageError as error:
        faults.append(("image unreadable", str(error)))
        return found, None, _band_facts(dataset, path)


def _band_facts(dataset: FileDataset, path: Path) -> BandFacts | None:
    """What an image holds that is not, or not wholly, read as 8-bit RGB; None if that cannot be read either."""
    try:
        found = band_facts(read_stored_bands(path, dataset.max_pixels), dataset.rule)
    except ImageError:
        return None
    return None if found.type == "uint8" and found.count in (1, 3) else found


def _ignore_without_data(counts: np.ndarray, image: np.ndarray, labels: np.ndarray) -> None:
    """Count the labels of pixels without data as ignored."""
    missing = np.isnan(image).any(axis=2)
    if labels.shape == missing.shape:
        counts -= np.bincount(labels[missing], minlength=256)
        counts[IGNORE] += np.count_nonzero(missing)


def _read_mask(path: Path, dataset: FileDataset, faults: list[tuple[FaultKind, str]]) -> np.ndarray | None:
    """The raw mask, also when it is of the other kind than the table's."""
    table = dataset.table
    try:
        raw = read_raw(path, table.colors, dataset.max_pixels, table)
        table.to_labels(raw, path)
    except ImageError as error:
        faults.append(("mask unreadable", str(error)))
        return None
    except LabelError as error:
        faults.append(("unknown label", str(error)))
    except DataError as error:
        faults.append(("mask of another kind", str(error)))
        try:
            return read_raw(path, not table.colors, dataset.max_pixels)
        except DataError:
            return None
    return raw


def _shortened(codes: dict[int, int], meanings: dict[int, int]) -> dict[int, int]:
    """All codes that are known and the most frequent ones that are not."""
    unknown = sorted(codes.keys() - meanings.keys(), key=lambda code: -codes[code])[:MAX_UNKNOWN]
    return {code: codes[code] for code in (*(codes.keys() & meanings.keys()), *unknown)}


def _lone(raw: np.ndarray, codes: dict[int, int]) -> dict[int, int]:
    """Of some codes, the pixels that differ from both neighbors before them; the first row and column are left out."""
    inner = raw[1:, 1:]
    above, left = inner != raw[:-1, 1:], inner != raw[1:, :-1]
    alone = above.any(-1) & left.any(-1) if raw.ndim == 3 else above & left
    return {code: pixels for code, pixels in count_raw_values(inner[alone][None]).items() if code in codes}


def _digest(image: np.ndarray) -> str:
    digest = hashlib.blake2b(str(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def _thumbnail(image: np.ndarray, labels: np.ndarray | None, dataset: SegmentationDataset) -> np.ndarray:
    height, width = image.shape[:2]
    scale = THUMBNAIL_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.array(Image.fromarray(as_shown(image)).resize(size, Image.Resampling.BOX))
    if labels is None:
        return small
    small_labels = np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    return blend(small, small_labels, dataset.classes.palette)
