from __future__ import annotations

from pathlib import Path

import pytest

from scenescope.data.formats import image_finder
from scenescope.data.formats.image_finder import IMPORT_MARK, ImageFinder, walk
from scenescope.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.jpg", "train/a.jpg", "val/a.jpg", "val/b.png", "val/c.txt", ".hidden/d.jpg", "e.f.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "near", "split", "expected"),
    [
        ("/mnt/photos/data/val/a.jpg", "", "", "val/a.jpg"),
        ("D:\\data\\val\\a.jpg", "", "", "val/a.jpg"),
        ("../../val/a.jpg", "", "", "val/a.jpg"),
        ("a.jpg", "train", "", "train/a.jpg"),
        ("a.jpg", "none", "val", "val/a.jpg"),
        ("b.jpg", "", "", "val/b.png"),
        ("b", "", "", "val/b.png"),
        ("e.f", "", "", "e.f.jpg"),
    ],
)
def test_an_image_is_found_by_the_end_of_its_path(root: Path, name: str, near: str, split: str, expected: str) -> None:
    assert ImageFinder(root).find(name, root / near, split) == root / expected


@pytest.mark.parametrize("name", ["", "..", "c.txt", "c", "d.jpg", "/etc/passwd"])
def test_what_is_no_image_below_is_not_found(root: Path, name: str) -> None:
    with pytest.raises(DataError):
        ImageFinder(root).find(name)


def test_two_that_are_meant_equally_are_told(root: Path) -> None:
    with pytest.raises(DataError, match="may be"):
        ImageFinder(root).find("a.jpg", root / "none")


def test_images_elsewhere_are_found_first_and_named_from_there(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "x").mkdir()
    (other / "x/z.jpg").touch()
    finder = ImageFinder(root, other)
    assert finder.below(finder.find("z.jpg")) == "x/z.jpg"
    with pytest.raises(DataError, match="is not a directory"):
        ImageFinder(root, other / "none")


def test_imports_and_links_in_a_circle_are_passed_over(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "out/images").mkdir(parents=True)
    (root / "out" / IMPORT_MARK).touch()
    (root / "out/images/a.jpg").touch()
    (root / "val/loop").symlink_to(root)
    assert not [path for path in walk(root) if "out" in path.parts or "loop" in path.parts]
    monkeypatch.setattr(image_finder, "MAX_FILES", 3)
    with pytest.raises(DataError, match="more than 3 files"):
        list(walk(root))


def test_letters_with_accents_are_found_however_they_are_stored(tmp_path: Path) -> None:
    (tmp_path / "u\u0308ber.jpg").touch()
    assert ImageFinder(tmp_path).find("x/\u00fcber.jpg") == tmp_path / "u\u0308ber.jpg"
