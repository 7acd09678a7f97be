"""Scenes kept decoded are the scenes as read, whatever happens to the files."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenescope.data.cache import HEADER, CachedDataset, cached
from scenescope.data.dataset import FileDataset, Scene
from scenescope.data.masks import LabelTable
from scenescope.data.settings import DataSettings
from scenescope.errors import DataError, ImageError
from scenescope.lab.scenes import ScenesDataset
from scenescope.labels import Classes

CLASSES = Classes.named(["low", "high"])
SIZE = HEADER.size + 4 * 6 * 5  # of a kept scene, in bytes


@pytest.fixture
def scenes(tmp_path: Path) -> FileDataset:
    """Three pictures of 5 x 6 pixels and their masks."""
    random = np.random.default_rng(0)
    pairs = []
    for name in "abc":
        image, mask = tmp_path / f"{name}.png", tmp_path / f"{name}-mask.png"
        Image.fromarray(random.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(image)
        Image.fromarray(random.integers(0, 2, (6, 5), dtype=np.uint8)).save(mask)
        pairs.append((image, mask))
    return FileDataset(CLASSES, "train", str(tmp_path), tuple(pairs), LabelTable.of_values([[0], [1]], [255]))


def equal(one: Scene, other: Scene) -> bool:
    return (
        one.name == other.name
        and np.array_equal(one.image, other.image)
        and np.array_equal(one.labels, other.labels)
        and one.image.dtype == other.image.dtype == one.labels.dtype == np.uint8
    )


def kept(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.scene"))


def never_read(self: FileDataset, index: int) -> Scene:
    raise AssertionError(f"scene {index} is read")


def test_a_scene_is_decoded_once_and_then_mapped(
    scenes: FileDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = CachedDataset(scenes, tmp_path / "cache", 10**6)
    assert len(cache) == 3
    assert (cache.name(1), cache.files(1)) == (scenes.name(1), scenes.files(1))
    expected = [scenes[index] for index in range(3)]
    assert all(equal(cache[index], expected[index]) for index in range(3))
    again = pickle.loads(pickle.dumps(CachedDataset(scenes, tmp_path / "cache", 10**6)))
    monkeypatch.setattr(FileDataset, "__getitem__", never_read)
    for index in range(3):
        scene = again[index]
        assert equal(scene, expected[index])
        # A caller may write into what it is given; the file does not change.
        scene.image[:] = 0
        assert equal(again[index], expected[index])


def test_the_limit_holds_and_scenes_beyond_it_are_read(scenes: FileDataset, tmp_path: Path) -> None:
    cache = CachedDataset(scenes, tmp_path / "cache", 2 * SIZE)
    for _ in range(2):
        assert all(equal(cache[index], scenes[index]) for index in range(3))
    assert sum(path.stat().st_size for path in kept(tmp_path / "cache")) == 2 * SIZE
    smaller = CachedDataset(scenes, tmp_path / "cache", 2 * SIZE - 1)
    assert [smaller[index].name for index in range(3)] == ["a", "b", "c"]
    assert len(kept(tmp_path / "cache")) == 1


@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "header"])
def test_a_damaged_file_is_read_again_and_mended(scenes: FileDataset, tmp_path: Path, damage: str) -> None:
    CachedDataset(scenes, tmp_path / "cache", 10**6)[0]
    (path,) = kept(tmp_path / "cache")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-1 if damage == "bit" else 9] ^= 1
    path.write_bytes({"cut": whole[:-1], "empty": b""}.get(damage, bytes(flipped)))
    assert equal(CachedDataset(scenes, tmp_path / "cache", 10**6)[0], scenes[0])
    assert path.read_bytes() == whole


def test_a_changed_source_or_table_is_decoded_again(scenes: FileDataset, tmp_path: Path) -> None:
    CachedDataset(scenes, tmp_path / "cache", 10**6)[0]
    (before,) = kept(tmp_path / "cache")
    image, _ = scenes.pairs[0]
    Image.fromarray(np.zeros((6, 5, 3), dtype=np.uint8)).save(image)
    os.utime(image, ns=(0, 0))
    cache = CachedDataset(scenes, tmp_path / "cache", 10**6)
    assert not before.exists()
    assert cache[0].image.max() == 0
    swapped = FileDataset(CLASSES, "train", scenes.root, scenes.pairs, LabelTable.of_values([[1], [0]], [255]))
    np.testing.assert_array_equal(
        CachedDataset(swapped, tmp_path / "cache", 10**6)[0].labels, 1 - scenes[0].labels, strict=False
    )


def test_a_mask_replaced_by_one_of_its_size_and_date_is_decoded_again(scenes: FileDataset, tmp_path: Path) -> None:
    """As ``rsync -t`` and ``cp -p`` do."""
    mask = tmp_path / "a-mask.bmp"
    Image.fromarray(np.zeros((6, 5), dtype=np.uint8)).save(mask)
    pair = (scenes.pairs[0][0], mask)
    scenes = FileDataset(CLASSES, "train", scenes.root, (pair,), scenes.table)
    assert CachedDataset(scenes, tmp_path / "cache", 10**6)[0].labels.max() == 0
    state = mask.stat()
    Image.fromarray(np.ones((6, 5), dtype=np.uint8)).save(mask)
    os.utime(mask, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (mask.stat().st_size, mask.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert CachedDataset(scenes, tmp_path / "cache", 10**6)[0].labels.min() == 1


def test_a_full_disk_takes_the_speed_only(scenes: FileDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = CachedDataset(scenes, tmp_path / "cache", 10**6)

    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    told = r"Cannot write .*: No space left on device; .* Scenes that are not kept yet are decoded each time\."
    with pytest.warns(UserWarning, match=told) as warned:
        assert all(equal(cache[index], scenes[index]) for index in range(3))
    assert len(warned) == 1
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_a_picture_that_cannot_be_read_is_told_of_as_without_the_cache(scenes: FileDataset, tmp_path: Path) -> None:
    image, _ = scenes.pairs[1]
    image.write_bytes(b"nothing")
    cache = CachedDataset(scenes, tmp_path / "cache", 10**6)
    assert equal(cache[2], scenes[2])
    with pytest.raises(ImageError, match=r"b\.png"):
        cache[1]


def test_folders_of_something_else_and_generated_scenes_are_refused(scenes: FileDataset, tmp_path: Path) -> None:
    cache = CachedDataset(scenes, tmp_path / "cache", 10**6)
    (cache.directory / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match=r"letter\.txt is not of a cache of decoded scenes; choose another data\.cache"):
        CachedDataset(scenes, tmp_path / "cache", 10**6)
    settings = DataSettings("scenes", cache=str(tmp_path / "other"))
    with pytest.raises(DataError, match=r"data\.kind=scenes has none; leave it out"):
        cached(ScenesDataset(), settings)
    assert cached(scenes, DataSettings("folder")) is scenes


def test_the_home_may_be_written_as_a_tilde(
    scenes: FileDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    cached(scenes, DataSettings("folder", cache="~/cache"))
    assert [path.name[:6] for path in (tmp_path / "home" / "cache").iterdir()] == ["train-"]
