import os
import re

import pytest

from scenescope.errors import ImageError, StorageError
from scenescope.jobs.inputs import find_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a maker of empty files in a temporary working directory."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def found(*inputs, output="out"):
    return [(str(image.path), image.name) for image in find_images(inputs, output)]


def test_a_folder_is_searched_with_its_subfolders_in_order(folder):
    folder("in/b.jpg", "in/a.PNG", "in/notes.txt", "in/sub/deep/c.webp")
    assert found("in") == [("in/a.PNG", "a"), ("in/b.jpg", "b"), ("in/sub/deep/c.webp", "sub/deep/c")]


def test_what_is_hidden_or_of_a_system_is_passed_over(folder):
    folder("in/a.jpg", "in/._a.jpg", "in/.partial/d.jpg", "in/@eaDir/a.jpg", "in/sub/__MACOSX/b.jpg")
    assert found("in") == found("in/*") == [("in/a.jpg", "a")]
    assert found("in/@eaDir", "in/._a.jpg") == [("in/@eaDir/a.jpg", "a"), ("in/._a.jpg", "._a")]


def test_what_is_not_read_has_a_problem_and_takes_no_name(folder):
    folder("in/a.jpg", "in/a.HEIC", "in/b.cr2", "clip.mov")
    images = find_images(["in", "clip.mov"], "out")
    assert [(image.name, image.problem) for image in images] == [
        ("a", "Cannot read in/a.HEIC: HEIC is not read; save it as JPEG or PNG."),
        ("a", None),
        ("b", "Cannot read in/b.cr2: CR2 is not read; save it as JPEG or PNG."),
        (
            "clip",
            "Cannot read clip.mov: it is a video; segment it by scenescope video clip.mov --output out.",
        ),
    ]


def test_a_folder_that_cannot_be_searched_is_told(folder, monkeypatch):
    folder("in/a.jpg", "in/locked/b.jpg")
    scan = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    images = find_images(["in"], "out")
    assert [(str(image.path), image.problem) for image in images] == [
        ("in/a.jpg", None),
        ("in/locked", "Cannot search in/locked: Permission denied; check its permissions."),
    ]


def test_an_address_is_no_path(folder):
    with pytest.raises(ImageError, match=r"https://example.org/a.png is an address, and only files are read"):
        find_images(["https://example.org/a.png"], "out")


def test_files_keep_their_order_and_come_once(folder):
    folder("in/b.jpg", "in/a.jpg")
    assert found("in/b.jpg", "in", "./in/a.jpg") == [("in/b.jpg", "b"), ("in/a.jpg", "a")]


def test_a_file_is_tried_whatever_its_ending(folder):
    folder("in/image.dat")
    assert found("in/image.dat") == [("in/image.dat", "image")]


def test_patterns_are_expanded_where_the_shell_did_not(folder):
    folder("in/b.jpg", "in/a.jpg", "in/c.txt", "in/sub/d.jpg")
    assert found("in/*.jpg") == [("in/a.jpg", "a"), ("in/b.jpg", "b")]
    assert [name for _, name in found("in/**/*.jpg")] == ["a", "b", "d"]
    assert [name for _, name in found("in/*")] == ["a", "b", "d"]


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(folder):
    folder("photo[1].jpg", "photo1.jpg")
    assert found("photo[1].jpg") == [("photo[1].jpg", "photo[1]")]


def test_images_of_one_name_are_told_apart(folder):
    folder("a/photo.jpg", "a/photo.png", "a/other.jpg", "b/photo.jpg", "b/photo_png.jpg")
    names = dict(found("a", "b"))
    assert names == {
        "a/other.jpg": "other",
        "a/photo.jpg": "photo_jpg",
        "a/photo.png": "photo_png_2",  # photo_png is the name of another image
        "b/photo.jpg": "photo_jpg_2",
        "b/photo_png.jpg": "photo_png",
    }


def test_names_that_differ_in_case_only_are_told_apart(folder):
    folder("a/Photo.jpg", "a/photo.png")
    names = [name.casefold() for _, name in found("a")]
    assert len(set(names)) == 2


def test_a_long_name_is_cut_so_that_every_ending_fits(folder):
    stem = "ü" * 125
    place = folder(f"in/{stem}.jpg", f"in/{stem}.png", f"in/sub/x{stem}.jpg", f"in/{'y' * 237}.jpg")
    names = dict(found("in"))
    assert names[f"in/{'y' * 237}.jpg"] == "y" * 237  # and _probabilities.npz are 255
    assert len(set(names.values())) == 4
    for name in names.values():
        (place / f"{name}_probabilities.npz").parent.mkdir(exist_ok=True)
        (place / f"{name}_probabilities.npz").touch()
    assert re.fullmatch("x" + "ü" * 113 + "-[0-9a-f]{8}", names[f"in/sub/x{stem}.jpg"].removeprefix("sub/"))
    assert dict(found("in")) == names


def test_no_name_leads_out_of_the_output(folder):
    place = folder("up.jpg", "in/...jpg", "in/..jpg", "in/sub/a.jpg")
    os.chdir(place / "in" / "sub")
    for _, name in found("../../up.jpg", str(place / "up.jpg"), "..", "../sub/../sub"):
        written = os.path.normpath(os.path.join("/out", f"{name}_labels.png"))
        assert written.startswith("/out/"), name
        assert not os.path.isabs(name)


def test_earlier_results_inside_the_folder_are_left_out(folder):
    folder("in/a.jpg", "in/out/a_labels.png", "in/out/deep/b_labels.png")
    assert found("in", output="in/out") == [("in/a.jpg", "a")]


def test_a_folder_below_the_output_is_searched(folder):
    folder("in/a.jpg")
    assert found("in", output=".") == [("in/a.jpg", "a")]


def test_the_output_may_not_be_the_folder_itself(folder):
    folder("in/a.jpg")
    with pytest.raises(StorageError, match="also a folder to read images from; choose another --output"):
        find_images(["in"], "./in")


def test_a_link_to_a_folder_above_does_not_lead_round_in_circles(folder):
    place = folder("in/a.jpg")
    (place / "in" / "loop").symlink_to(place / "in")
    assert found("in") == [("in/a.jpg", "a")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing.jpg", "no image missing.jpg"),
        ("*.jpg", r"No image matches '\*.jpg'"),
        ("in", "no image in in; images end in .*jpg"),
    ],
)
def test_what_matches_nothing_is_an_error(folder, given, message):
    folder("in/notes.txt")
    with pytest.raises(ImageError, match=message):
        find_images([given], "out")


def test_an_input_is_never_overwritten(folder):
    folder("in/a.png", "in/a_labels.png")
    with pytest.raises(StorageError, match=r"about in/a.png would replace the input in/a_labels.png; choose another"):
        found("in/a.png", "in/a_labels.png", output="in")
    with pytest.raises(ImageError, match="without a name"):
        found("")
