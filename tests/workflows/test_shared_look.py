import re

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.errors import ImageError, StorageError
from scenescope.explore import share
from scenescope.inference.segmenter import SeenImage, Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from scenescope.workflows import shared_look
from scenescope.workflows.attention import AttentionInput
from scenescope.workflows.shared_look import require_free_page, require_one, share_look
from tests.explore.test_share import held


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    network = create_model("danet", backbone="test_resnet", num_classes=3, output_stride=16)
    return Segmenter(network, Classes.named(["road", "sky", "car"]), device="cpu")


def subject(height, width, notes=(), files=()):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return AttentionInput("photo", "photo", list(files), lambda: (SeenImage(image), None, list(notes)))


def test_a_large_image_is_reduced_and_its_points_with_it(segmenter, tmp_path):
    place = tmp_path / "new" / "look.html"
    said = share_look(subject(200, 2560, ["turned upright"]), segmenter, place, points=[(2559, 199), (0, 0)])
    note = "looked at and shown at 1280 x 100 pixels, not 2560 x 200"
    assert said[0] == f"note: turned upright, {note}"
    assert re.fullmatch(r"The look is in .*look\.html, \d+ kB; open it in a browser, or send it\.", said[1])
    html = place.read_text(encoding="utf-8")
    assert f"{note[0].upper()}{note[1:]}." in html
    assert "Turned upright." in html
    look = held(html)
    assert (look["width"], look["height"]) == (1280, 100)
    assert look["points"] == [[1279, 99], [0, 0]]


def test_what_does_not_fit_is_reduced_further(segmenter, tmp_path, monkeypatch):
    one = subject(400, 600)
    share_look(one, segmenter, tmp_path / "look.html")
    whole = (tmp_path / "look.html").stat().st_size
    for module in (share, shared_look):
        monkeypatch.setattr(module, "MAX_BYTES", whole // 2)
    monkeypatch.setattr(share, "_REST", 0)
    said = share_look(one, segmenter, tmp_path / "look.html")
    assert (tmp_path / "look.html").stat().st_size <= whole // 2
    assert "pixels, not 600 x 400, so that the file has no more than" in said[0]


def test_what_never_fits_is_refused(segmenter, tmp_path, monkeypatch):
    for module in (share, shared_look):
        monkeypatch.setattr(module, "MAX_BYTES", 100)
    with pytest.raises(ImageError, match="scale the image down"):
        share_look(subject(80, 80), segmenter, tmp_path / "look.html")
    assert list(tmp_path.iterdir()) == []


def test_a_look_of_ours_is_replaced_and_nothing_else(segmenter, tmp_path):
    place = tmp_path / "look.html"
    share_look(subject(40, 40), segmenter, place)
    share_look(subject(50, 40), segmenter, place)
    assert held(place.read_text(encoding="utf-8"))["height"] == 50
    for content in (b"", b"<html>mine</html>", b"\xff\x00"):
        place.write_bytes(content)
        with pytest.raises(StorageError, match=r"it is no look that scenescope has written; .* another --html"):
            share_look(subject(40, 40), segmenter, place)
        assert place.read_bytes() == content


def test_an_input_a_folder_and_a_dead_link_are_in_the_way(tmp_path):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (4, 4)).save(photo)
    (tmp_path / "link.html").symlink_to(photo)
    (tmp_path / "dead.html").symlink_to(tmp_path / "nowhere")
    for place in (photo, tmp_path / "link.html"):
        with pytest.raises(StorageError, match="would replace the input"):
            require_free_page(place, [photo])
    for place in (tmp_path, tmp_path / "dead.html"):
        with pytest.raises(StorageError, match="is in the way"):
            require_free_page(place, [photo])
    require_free_page(tmp_path / "free.html", [photo])


def test_a_place_that_cannot_be_names_the_option(segmenter, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="choose another --html"):
        share_look(subject(40, 40), segmenter, tmp_path / "file" / "look.html")


def test_a_point_outside_leaves_nothing(segmenter, tmp_path):
    with pytest.raises(ImageError, match="Point 40,0 lies outside the image of 40 x 30"):
        share_look(subject(30, 40), segmenter, tmp_path / "new" / "look.html", points=[(40, 0)])
    assert list(tmp_path.iterdir()) == []


def test_one_image_alone():
    one = subject(4, 4)
    assert require_one([one]) is one
    with pytest.raises(ImageError, match="--html is a look at one image and 2 are given"):
        require_one([one, one])
