from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data import label_counts
from scenescope.data.dataset import FileDataset
from scenescope.data.label_counts import count_pixels, require_labels
from scenescope.data.masks import LabelTable
from scenescope.errors import DataError, ImageError
from scenescope.labels import Classes


def dataset(folder: Path, masks: list[np.ndarray]) -> FileDataset:
    """Scenes whose images do not even exist."""
    pairs = []
    for number, mask in enumerate(masks):
        Image.fromarray(mask.astype(np.uint8)).save(folder / f"{number}.png")
        pairs.append((folder / "none.jpg", folder / f"{number}.png"))
    table = LabelTable.of_values([[0], [1], [2]], [255])
    return FileDataset(Classes.named(["a", "b", "c"]), "train", str(folder), tuple(pairs), table)


def test_pixels_are_counted_from_masks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_counts, "AT_ONCE", 3)
    generator = np.random.default_rng(0)
    masks = [generator.choice([0, 1, 2, 255], (5, 4 + number)) for number in range(8)]
    expected = [int(sum((mask == label).sum() for mask in masks)) for label in range(3)]
    assert count_pixels(dataset(tmp_path, masks)).tolist() == expected


def test_a_split_needs_one_scored_pixel_and_no_more_is_read_to_see_it(tmp_path: Path) -> None:
    void, labeled = np.full((3, 3), 255), np.ones((3, 3))
    found = dataset(tmp_path, [void, labeled, void])
    (tmp_path / "2.png").write_bytes(b"no image")
    require_labels(found)
    with pytest.raises(ImageError):
        count_pixels(found)
    with pytest.raises(DataError, match=r"No pixel of the 2 scenes of split 'train' of .* has a class"):
        require_labels(dataset(tmp_path, [void, void]))
