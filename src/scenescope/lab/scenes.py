"""Generated street scenes, so that everything runs with no download.

400 images to train on, 100 to validate, 100 to test; 128 x 192 pixels; 8 classes, every pixel labeled. An image is
a pure function of seed, split and index, the same in every process. Named ``scenes:`` or, with a seed, ``scenes:7``.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from scenescope.data.dataset import LabeledImage
from scenescope.errors import DataError, SplitError, nearest
from scenescope.lab.street import draw_street
from scenescope.labels import Classes

CLASSES = Classes.named(
    ("road", "pavement", "building", "sky", "tree", "car", "person", "pole"),
    (
        (128, 96, 160),
        (224, 160, 205),
        (205, 130, 95),
        (130, 190, 240),
        (95, 170, 75),
        (45, 85, 215),
        (235, 45, 75),
        (250, 205, 60),
    ),
)

SPLITS = {"train": 400, "val": 100, "test": 100}
"""Number of images in each split."""


@lru_cache(maxsize=sum(SPLITS.values()))
def _draw(seed: int, split: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene once per process: 600 of them take 60 MB, and drawing costs more than a training step's share."""
    return draw_street(np.random.default_rng([seed, split, index]))


class ScenesDataset:
    """Street scenes drawn from a seed.

    Args:
        root: the seed, a whole number from 0 on as text; empty for 0.
        split: ``train``, ``val`` or ``test``; no image is in two of them.

    Raises:
        DataError: the root is not a seed.
        SplitError: there is no such split.
    """

    classes = CLASSES

    def __init__(self, root: str = "", split: str = "train") -> None:
        text = root.strip() or "0"
        if not (text.isascii() and text.isdigit()):
            raise DataError(f"scenes:{root} is not a seed; write scenes: or scenes:7 (a whole number, no folder).")
        if split not in SPLITS:
            raise SplitError(f"scenes: has no split {split!r}; choose {', '.join(SPLITS)}.{nearest(split, SPLITS)}")
        self.root = root
        self.split = split
        self._key = (int(text), tuple(SPLITS).index(split))

    def __len__(self) -> int:
        return SPLITS[self.split]

    def name(self, index: int) -> str:
        """Return a name that is unique within the split, like ``val-007``."""
        return f"{self.split}-{self._checked(index):03d}"

    def files(self, index: int) -> tuple[Path, ...]:
        """Return no files: the scene is drawn, not read."""
        self._checked(index)
        return ()

    def __getitem__(self, index: int) -> LabeledImage:
        """Draw a scene: image 128 x 192 x 3 uint8 and labels 128 x 192 uint8."""
        image, labels = _draw(*self._key, self._checked(index))
        return LabeledImage(image, labels, self.name(index))

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"Scene {index} of {len(self)} in split {self.split!r}.")
        return index
