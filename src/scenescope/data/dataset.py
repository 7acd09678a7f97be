"""What a data set is to the rest of the library, and the one that reads pairs of files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from scenescope.data.images import MAX_PIXELS, read_header, read_image
from scenescope.data.masks import LabelTable, decode
from scenescope.errors import DataError
from scenescope.labels import Classes

Pair = tuple[Path, Path]
"""An image file and its mask file."""


@dataclass(frozen=True)
class Scene:
    """One sample: a picture and what it shows.

    Attributes:
        image: H x W x 3 uint8 RGB, as displayed.
        labels: H x W uint8, train ids 0..K-1 and IGNORE.
        name: unique within the split; for messages and output files.
    """

    image: np.ndarray
    labels: np.ndarray
    name: str


class SceneDataset(Protocol):
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

    def __getitem__(self, index: int, /) -> Scene: ...

    def name(self, index: int, /) -> str:
        """Return the name of a scene without reading it."""

    def files(self, index: int, /) -> tuple[Path, ...]:
        """Return the files a scene is read from; none when it is generated."""


@dataclass(frozen=True)
class FileDataset:
    """Scenes read from pairs of an image file and a mask file.

    Attributes:
        pairs: the files, in the order of the scenes.
        table: what the values of the masks mean.
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        DataError: no pair at all.
    """

    classes: Classes
    split: str
    root: str
    pairs: tuple[Pair, ...]
    table: LabelTable
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if not self.pairs:
            raise DataError(f"Split {self.split!r} of {self.root} is empty; it needs at least one image with its mask.")

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        """Return the stem of the image file."""
        return self.pairs[index][0].stem

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the image file and the mask file."""
        return self.pairs[index]

    def __getitem__(self, index: int) -> Scene:
        """Read a scene.

        Raises:
            ImageError: the image or the mask cannot be read.
            DataError: the mask has another size than the image, or is of a wrong kind.
            LabelError: the mask holds a value that is neither a class nor ignored.
        """
        image_path, mask_path = self.pairs[index]
        image = read_image(image_path, self.max_pixels)
        labels = decode(mask_path, self.table, self.max_pixels)
        if labels.shape != image.shape[:2]:
            stored = read_header(image_path, self.max_pixels).stored_size
            raise _size_error(image_path, mask_path, _size(image), f"{stored[0]} x {stored[1]}", _size(labels))
        return Scene(image, labels, self.name(index))


def _size_error(image_path: Path, mask_path: Path, image_size: str, stored_size: str, mask_size: str) -> DataError:
    if stored_size == mask_size:
        return DataError(
            f"{mask_path} fits only the unrotated picture: mask and stored pixels of {image_path} are {mask_size}, but "
            f"its EXIF rotation displays it as {image_size}; turn the mask likewise, or remove the picture's EXIF tag."
        )
    return DataError(
        f"{mask_path} is {mask_size} pixels, but its image {image_path} is {image_size}; "
        "masks are never resized: export the mask at the size of the image."
    )


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
