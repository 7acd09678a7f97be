from __future__ import annotations

from pathlib import Path

import pytest

from scenescope.data.file_pairs import (
    find_directory,
    format_names,
    images_by_stem,
    pair_directories,
    pair_listed,
    require_directory,
    require_files,
    require_list,
)
from scenescope.errors import DataError, SplitError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    return tmp_path


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).touch()


def pair(folder: Path) -> list[tuple[str, str]]:
    return [(image.name, mask.name) for image, mask in pair_directories(folder / "images", folder / "masks")]


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        pair(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pairs_have_one_stem_and_are_sorted(folder: Path) -> None:
    touch(folder / "images", "b.JPG", "a.x.png", "c.tif", ".hidden.jpg", "notes.txt", "Thumbs.db")
    touch(folder / "masks", "c.png", "b.png", "a.x.png")
    assert pair(folder) == [("a.x.png", "a.x.png"), ("b.JPG", "b.png"), ("c.tif", "c.png")]


def test_a_missing_partner_is_named_with_the_counts(folder: Path) -> None:
    touch(folder / "images", "a.jpg", "b.jpg", "c.jpg")
    touch(folder / "masks", "b.png")
    message = refusal(folder)
    assert f"{folder}/images/a.jpg has no mask in {folder}/masks; add a.png there" in message
    assert "(3 images, 1 masks, 2 images without mask)" in message
    touch(folder / "masks", "a.png", "c.png", "d.png")
    assert f"{folder}/masks/d.png has no image in" in refusal(folder)


def test_a_partner_in_another_case_or_kind_of_file_is_pointed_out(folder: Path) -> None:
    touch(folder / "images", "Photo.jpg")
    touch(folder / "masks", "photo.png")
    assert "photo.png there differs in upper and lower case" in refusal(folder)
    (folder / "masks" / "photo.png").rename(folder / "masks" / "Photo.npy")
    assert "Photo.npy there is not a kind of file that is read" in refusal(folder)


def test_two_files_of_one_stem_are_refused(folder: Path) -> None:
    touch(folder / "images", "a.jpg", "a.png")
    assert "images holds both a.jpg and a.png; keep one" in refusal(folder)


def test_stems_that_differ_only_in_case_are_refused(folder: Path) -> None:
    touch(folder / "images", "a.jpg", "A.jpg")
    if len(list((folder / "images").iterdir())) == 2:
        assert "A.jpg and a.jpg, whose names differ only in upper and lower case" in refusal(folder)


def test_missing_directories_say_what_is_there(folder: Path) -> None:
    with pytest.raises(DataError, match=r"image does not exist; .* holds images, masks"):
        require_directory(folder / "image")
    with pytest.raises(DataError, match="far/away does not exist; check the path"):
        require_directory(folder / "far" / "away")
    touch(folder, "file")
    with pytest.raises(DataError, match="is a file, but a directory is expected"):
        images_by_stem(folder / "file")


def test_long_lists_are_shortened() -> None:
    assert format_names("edcba") == "a, b, c, d, e"
    assert format_names("edcba", most=2) == "a, b and 3 more"
    assert format_names([]) == "nothing"


def test_a_list_gives_the_order_and_names_what_is_missing(folder: Path) -> None:
    touch(folder / "images", "a.jpg", "b.jpg")
    touch(folder / "masks", "a.png", "b.png")
    (folder / "train.txt").write_text("b\na\n\n")

    def listed_pairs() -> tuple[object, ...]:
        list_file = require_list(folder, "train", "Set")
        return pair_listed(
            list_file, lambda stem: folder / f"images/{stem}.jpg", lambda stem: folder / f"masks/{stem}.png"
        )

    assert [image.name for image, _ in listed_pairs()] == ["b.jpg", "a.jpg"]
    (folder / "masks" / "b.png").unlink()
    (folder / "images" / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"aa does not exist, but .*train.txt lists it \(1 files missing\)"):
        require_files([(folder / ("a" * 5000), None)], folder / "train.txt")
    with pytest.raises(DataError, match=r"masks/b.png does not exist, but .*train.txt lists it \(2 files missing\)"):
        listed_pairs()
    with pytest.raises(SplitError, match=r"No split 'val' of Set: .*val.txt does not exist; splits there: train"):
        require_list(folder, "val", "Set")


def test_a_root_may_lie_above_the_place(folder: Path) -> None:
    places = ("", "Set", "kit/Set")
    (folder / "kit" / "Set" / "Images").mkdir(parents=True)
    for root in ("", "kit", "kit/Set"):
        assert find_directory(str(folder / root), places, "Images", "Set") == folder / "kit" / "Set"
    with pytest.raises(DataError, match=r"No Set in .*; give the folder that holds kit/Set/Images"):
        find_directory(str(folder / "images"), places, "Images", "Set")
