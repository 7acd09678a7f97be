"""What a data set is to the rest of the library, and the one that reads pairs of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from scenescope.bands import BandRule
from scenescope.data.band_files import read_bands
from scenescope.data.images import MAX_PIXELS, read_header, read_image
from scenescope.data.masks import LabelTable, decode
from scenescope.errors import DataError, ImageError
from scenescope.labels import IGNORE, Classes

Pair = tuple[Path, Path | None]
"""An image file and its mask file; None where the labels are not public."""


@dataclass(frozen=True)
class LabeledImage:
    """One sample: an image and what it shows.

    Attributes:
        image: H x W x 3 uint8 RGB, as displayed; H x W x C as ``BandRule.apply`` gives it where the data have a rule.
        labels: H x W uint8, train ids 0..K-1 and IGNORE, which pixels without data have as well.
        name: unique within the split; for messages and output files.
    """

    image: np.ndarray
    labels: np.ndarray
    name: str


class SegmentationDataset(Protocol):
    """One split of a data set; picklable, so that worker processes of any kind can read it."""

    @property
    def classes(self) -> Classes:
        """The K classes."""

    @property
    def split(self) -> str:
        """The name of the split."""

    @property
    def root(self) -> str:
        """The folder (or seed) it was opened with."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> LabeledImage: ...

    def name(self, index: int, /) -> str:
        """Return the name of a scene without reading it."""

    def files(self, index: int, /) -> tuple[Path, ...]:
        """Return the files a scene is read from; none when it is generated."""


@dataclass(frozen=True)
class FileDataset:
    """Scenes read from pairs of an image file and a mask file.

    Attributes:
        pairs: the files, in the order of the scenes. A scene without a mask has all its labels ignored.
        table: what the values of the masks mean.
        max_pixels: larger images are refused before they are decoded.
        published: the numbers of scenes that the whole split is known to have; empty when there is none.
        remarks: what a user should know of this split, one sentence each.
        rule: how images are seen; None for 8-bit RGB.

    Raises:
        DataError: no pair at all.
    """

    classes: Classes
    split: str
    root: str
    pairs: tuple[Pair, ...]
    table: LabelTable
    max_pixels: int = MAX_PIXELS
    published: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()
    rule: BandRule | None = None

    def __post_init__(self) -> None:
        if not self.pairs:
            raise DataError(f"Split {self.split!r} of {self.root} is empty; it needs at least one image with its mask.")

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        """Return the stem of the image file, with the folders above it where that is not unique."""
        return self._names[index]

    @cached_property
    def _names(self) -> list[str]:
        return unique_names([image for image, _ in self.pairs])

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the image file and, where there is one, the mask file."""
        image, mask = self.pairs[index]
        return (image,) if mask is None else (image, mask)

    def __getitem__(self, index: int) -> LabeledImage:
        """Read a scene.

        Raises:
            ImageError: the image or the mask cannot be read.
            DataError: the mask has another size than the image, or is of a wrong kind.
            LabelError: the mask holds a value that is neither a class nor ignored.
        """
        image_path, mask_path = self.pairs[index]
        image = self.read_image(index)
        if mask_path is None:
            return LabeledImage(image, np.full(image.shape[:2], IGNORE, dtype=np.uint8), self.name(index))
        labels = decode(mask_path, self.table, self.max_pixels)
        if labels.shape != image.shape[:2]:
            raise size_error(image_path, mask_path, image, labels)
        if image.dtype != np.uint8:
            labels[np.isnan(image).any(axis=2)] = IGNORE
        return LabeledImage(image, labels, self.name(index))

    def read_image(self, index: int) -> np.ndarray:
        """Read the image of a scene alone.

        Raises:
            ImageError: it cannot be read, or is not what the rule expects.
        """
        path = self.pairs[index][0]
        return read_image(path, self.max_pixels) if self.rule is None else read_bands(path, self.rule, self.max_pixels)


def rule_of_images(dataset: SegmentationDataset) -> BandRule | None:
    """Return how the images of a data set are seen; None for 8-bit RGB."""
    rule: BandRule | None = getattr(dataset, "rule", None)
    return rule


def seen_by(dataset: SegmentationDataset, rule: BandRule | None, who: str) -> SegmentationDataset:
    """Return a data set whose images are read by a rule: that of a model, or of a recipe.

    Args:
        who: whose rule it is, for the message.

    Raises:
        DataError: the data set declares another, or its images are not read from files of the user's.
    """
    own = rule_of_images(dataset)
    if own == rule:
        return dataset
    if own is None and isinstance(dataset, FileDataset):
        return replace(dataset, rule=rule)
    raise DataError(
        f"{dataset.root or dataset.split} gives {own or '8-bit RGB'}, but {who} sees {rule or '8-bit RGB'}; use data"
        " that it is for, or correct bands and range in classes.yaml."
    )


def read_labels(dataset: SegmentationDataset, index: int) -> np.ndarray:
    """Return the labels of a scene, H x W uint8; of one that is read from files, the mask alone is read."""
    if not isinstance(dataset, FileDataset):
        return dataset[index].labels
    mask = dataset.pairs[index][1]
    return np.full((1, 1), IGNORE, dtype=np.uint8) if mask is None else decode(mask, dataset.table, dataset.max_pixels)


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Return the stem of each path, with as many of the folders above as make it unique, whatever the case."""
    names = [path.stem for path in paths]
    for above in range(1, max((len(path.parts) for path in paths), default=1)):
        count = Counter(name.casefold() for name in names)
        if len(count) == len(names):
            return names
        names = [
            name if count[name.casefold()] == 1 else "_".join([*path.parts[-1 - above : -1], path.stem])
            for name, path in zip(names, paths, strict=True)
        ]
    # Files of one folder and stem, or folders whose names join to the same.
    count = Counter(name.casefold() for name in names)
    return [name if count[name.casefold()] == 1 else f"{name}_{index}" for index, name in enumerate(names)]


def notes(dataset: SegmentationDataset) -> list[str]:
    """Return what a user should know of a split, a sentence each: another number of scenes than published, remarks."""
    if not isinstance(dataset, FileDataset):
        return []
    found = list(dataset.remarks)
    if dataset.published and len(dataset) not in dataset.published:
        known = " or ".join(f"{number:,}" for number in dataset.published)
        found.insert(
            0,
            f"Split {dataset.split!r} has {len(dataset):,} scenes, not the published {known}: "
            "scores on it do not compare with published ones.",
        )
    return found


def size_error(image_path: Path, mask_path: Path, image: np.ndarray, mask: np.ndarray) -> DataError:
    """Say that a mask has another size than its image, and whether it fits the image before its EXIF rotation."""
    # The image has been decoded: its size is within the limit.
    try:
        width, height = read_header(image_path, image.size).stored_size
    except ImageError:  # of a kind that only a rule reads
        height, width = image.shape[:2]
    if _size(mask) == f"{width} x {height}":
        return DataError(
            f"{mask_path} fits only the unrotated image: mask and stored pixels of {image_path} are {_size(mask)}, "
            f"but its EXIF rotation displays it as {_size(image)}; turn the mask likewise, or remove the image's "
            "EXIF tag."
        )
    return DataError(
        f"{mask_path} is {_size(mask)} pixels, but its image {image_path} is {_size(image)}; "
        "masks are never resized: export the mask at the size of the image."
    )


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
