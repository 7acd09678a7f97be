from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.dataset import FileDataset
from scenescope.data.depth import Numbers
from scenescope.data.inspection import MAX_UNKNOWN, THUMBNAIL_SIDE, Inspection, inspect_scene
from scenescope.data.masks import LabelTable, pack
from scenescope.data.oddities import Oddities
from scenescope.drawing.overlay import blend
from scenescope.lab.scenes import ScenesDataset
from scenescope.labels import IGNORE, Classes

CLASSES = Classes.named(["low", "high"])
VALUES = LabelTable.of_values([[0], [1]], [9])
COLORS = LabelTable.of_colors([[(255, 0, 0)], [(0, 0, 255)]])


def inspected(
    folder: Path, mask: np.ndarray | bytes | None, table: LabelTable = VALUES, image: bytes | None = None
) -> Inspection:
    """One image of 3 x 2 pixels with a mask."""
    Image.fromarray(np.arange(18, dtype=np.uint8).reshape(2, 3, 3)).save(folder / "a.png")
    if image is not None:
        (folder / "a.png").write_bytes(image)
    if isinstance(mask, bytes):
        (folder / "mask.png").write_bytes(mask)
    elif mask is not None:
        Image.fromarray(mask).save(folder / "mask.png")
    pair = (folder / "a.png", None if mask is None else folder / "mask.png")
    return inspect_scene(FileDataset(CLASSES, "train", str(folder), (pair,), table), 0, thumbnail=True)


def kinds(found: Inspection) -> list[str]:
    return [kind for kind, _ in found.faults]


def counted(found: Inspection) -> dict[int, int]:
    return {int(label): int(found.counts[label]) for label in np.flatnonzero(found.counts)}


def test_a_scene_without_faults(tmp_path: Path) -> None:
    found = inspected(tmp_path, np.array([[0, 1, 1], [9, 1, 0]], dtype=np.uint8))
    assert (found.name, found.size, found.faults, found.colors) == ("a", (3, 2), (), False)
    assert counted(found) == {0: 2, 1: 3, IGNORE: 1}
    assert found.codes == {0: 2, 1: 3, 9: 1}
    assert found.thumbnail is not None
    assert found.thumbnail.shape == (THUMBNAIL_SIDE * 2 // 3, THUMBNAIL_SIDE, 3)


def test_all_faults_of_a_scene_are_told(tmp_path: Path) -> None:
    found = inspected(tmp_path, np.array([[0, 1, 7, 7]], dtype=np.uint8))
    assert kinds(found) == ["unknown label", "mask of another size"]
    assert "value 7 at pixel (x=2, y=0)" in found.faults[0][1]
    assert "mask.png is 4 x 1 pixels, but its image" in found.faults[1][1]
    assert counted(found) == {0: 1, 1: 1, IGNORE: 2}
    found = inspected(tmp_path, b"no mask", image=b"no image")
    assert kinds(found) == ["image unreadable", "mask unreadable"]
    assert (found.size, found.digest, found.codes, found.thumbnail) == (None, "", {}, None)


def test_what_is_odd_is_found_also_in_an_image_that_is_refused(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 3
    Image.fromarray(np.arange(6, dtype=np.uint16).reshape(2, 3) * 700).save(tmp_path / "dark.png", exif=tags)
    found = inspected(tmp_path, np.zeros((2, 3), np.uint8), image=(tmp_path / "dark.png").read_bytes())
    assert kinds(found) == ["image unreadable"]
    assert found.oddities.numbers == Numbers(1, "uint16", 0, 3500)
    assert [kind for kind, _ in found.oddities.kinds] == ["image turned"]
    assert inspected(tmp_path, np.array([[0, 1, 1]] * 2, np.uint8)).oddities == Oddities()


def test_a_mask_of_another_kind_is_counted_but_has_no_labels(tmp_path: Path) -> None:
    colors = np.array([[[255, 0, 0], [0, 0, 255], [0, 0, 255]]] * 2, dtype=np.uint8)
    found = inspected(tmp_path, colors)
    assert kinds(found) == ["mask of another kind"]
    assert found.colors
    assert found.codes == {pack((255, 0, 0)): 2, pack((0, 0, 255)): 4}
    assert counted(found) == {}
    assert counted(inspected(tmp_path, colors, COLORS)) == {0: 2, 1: 4}
    found = inspected(tmp_path, np.array([[0, 1, 1]] * 2, dtype=np.uint8), COLORS)
    assert (kinds(found), found.colors, found.codes) == (["mask of another kind"], False, {0: 2, 1: 4})


def test_a_mask_that_no_reading_helps_is_one_fault(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 3), dtype=np.uint8)).save(tmp_path / "lossy.jpg")
    found = inspected(tmp_path, (tmp_path / "lossy.jpg").read_bytes())
    assert (kinds(found), found.codes) == (["mask of another kind"], {})
    assert "its compression changes label values" in found.faults[0][1]


def test_blurred_colors_are_kept_in_part_and_known_ones_all(tmp_path: Path) -> None:
    mask = np.zeros((1, 400, 3), dtype=np.uint8)
    mask[0, :, 0], mask[0, :, 1] = np.arange(400) % 256, np.arange(400) // 256
    mask[0, 7] = (0, 0, 255)
    found = inspected(tmp_path, mask, COLORS)
    assert len(found.codes) == MAX_UNKNOWN + 2
    assert counted(found)[1] == 1
    assert found.codes[pack((255, 0, 0))] == 1


def test_a_scene_without_mask_has_neither_labels_nor_faults(tmp_path: Path) -> None:
    found = inspected(tmp_path, None)
    assert (found.faults, found.codes, counted(found)) == ((), {}, {})
    assert found.thumbnail is not None


def test_the_digest_is_that_of_the_pixels(tmp_path: Path) -> None:
    mask = np.zeros((2, 3), dtype=np.uint8)
    found = inspected(tmp_path, mask)
    Image.open(tmp_path / "a.png").save(tmp_path / "a.bmp")
    again = inspected(tmp_path, mask, image=(tmp_path / "a.bmp").read_bytes())
    Image.fromarray(np.arange(18, dtype=np.uint8).reshape(3, 2, 3)).save(tmp_path / "a.bmp")
    turned = inspected(tmp_path, mask, image=(tmp_path / "a.bmp").read_bytes())
    assert again.digest == found.digest != turned.digest


@pytest.mark.parametrize("index", [0, 5])
def test_a_scene_that_is_no_file_is_looked_at_too(index: int) -> None:
    scenes = ScenesDataset("", "val")
    found = inspect_scene(scenes, index, thumbnail=True)
    scene = scenes[index]
    assert (found.name, found.size, found.faults) == (f"val-{index:03d}", (192, 128), ())
    assert found.counts.tolist() == np.bincount(scene.labels.ravel(), minlength=256).tolist()
    assert found.thumbnail is not None
    overlay = blend(scene.image, scene.labels, scenes.classes.palette)
    assert abs(found.thumbnail.mean() - overlay.mean()) < 2
