"""Data sets of a few generated images in the layout of each kind, for tests of recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from scenescope.config import DataSettings

SIZE = (40, 56)


@dataclass(frozen=True)
class Layout:
    """Where a data set keeps things: paths with places for split and stem, and the values that its masks hold."""

    image: str
    mask: str
    values: tuple[int, ...]
    stems: Mapping[str, str] = field(default_factory=lambda: {"train": "ab", "val": "cd"})
    lists: str | None = None

    def write(self, root: Path) -> None:
        """Write images of noise, masks of stripes, and the list of each split."""
        generator = np.random.default_rng(0)
        stripes = np.array(self.values, dtype=np.uint8)[np.arange(SIZE[1]) * len(self.values) // SIZE[1]]
        for split, stems in self.stems.items():
            for stem in stems:
                image, mask = (root / each.format(split=split, stem=stem) for each in (self.image, self.mask))
                for path in (image, mask):
                    path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(generator.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(image)
                if mask.suffix == ".mat":
                    savemat(mask, {"S": np.tile(stripes, (SIZE[0], 1))})
                else:
                    Image.fromarray(np.tile(stripes, (SIZE[0], 1))).save(mask)
            if self.lists is not None:
                path = root / self.lists.format(split=split)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("\n".join(stems))


VOC, CONTEXT, ADE = "VOCdevkit/VOC2012", "VOCdevkit/VOC2010", "ADEChallengeData2016"
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "scenes": (),
    "cityscapes": (
        Layout(
            "leftImg8bit/{split}/ulm/ulm_{stem}_leftImg8bit.png",
            "gtFine/{split}/ulm/ulm_{stem}_gtFine_labelIds.png",
            (0, 7, 26),
        ),
    ),
    "voc2012": (
        Layout(
            f"{VOC}/JPEGImages/{{stem}}.jpg",
            f"{VOC}/SegmentationClass/{{stem}}.png",
            (0, 15, 255),
            {"train": "ab", "val": "cd", "trainval": "abcd"},
            f"{VOC}/ImageSets/Segmentation/{{split}}.txt",
        ),
        Layout(f"{VOC}/JPEGImages/{{stem}}.jpg", f"{VOC}/SegmentationClassAug/{{stem}}.png", (0, 15), {"sbd": "ef"}),
    ),
    "pascal_context": (
        Layout(
            f"{CONTEXT}/JPEGImages/{{stem}}.jpg",
            f"{CONTEXT}/SegmentationClassContext/{{stem}}.png",
            (0, 1, 59),
            lists=f"{CONTEXT}/ImageSets/SegmentationContext/{{split}}.txt",
        ),
    ),
    "coco_stuff 10k": (
        Layout(
            "images/{stem}.jpg",
            "annotations/{stem}.mat",
            (0, 1, 182),
            {"train": "ab", "test": "cd"},
            "imageLists/{split}.txt",
        ),
    ),
    "coco_stuff 164k": (Layout("images/{split}2017/{stem}.jpg", "annotations/{split}2017/{stem}.png", (0, 181, 255)),),
    "ade20k": (
        Layout(
            f"{ADE}/images/{{split}}/{{stem}}.jpg",
            f"{ADE}/annotations/{{split}}/{{stem}}.png",
            (0, 1, 150),
            {"training": "ab", "validation": "cd"},
        ),
    ),
    "camvid": (Layout("{split}/{stem}.png", "{split}annot/{stem}.png", (0, 3, 11)),),
    "folder": (Layout("images/{split}/{stem}.png", "masks/{split}/{stem}.png", (0, 1)),),
}
"""The layouts by kind; COCO-Stuff has one for each edition."""


def write_tree(data: DataSettings, root: Path) -> None:
    """Write a data set of the kind, and of the edition, that the settings ask for."""
    edition = {"test": " 10k", "val": " 164k"}[data.val_split] if data.kind == "coco_stuff" else ""
    for layout in LAYOUTS[data.kind + edition]:
        layout.write(root)
    if data.kind == "folder":
        (root / "classes.yaml").write_text("names: [ground, sky]\n")
