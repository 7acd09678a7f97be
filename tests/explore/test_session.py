import base64
import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.errors import ImageError, ModelError
from scenescope.explore import session as sessions
from scenescope.explore.knife import Cut
from scenescope.explore.own_class import own_class
from scenescope.explore.points import cell_region
from scenescope.explore.session import Session
from scenescope.explore.share import look_html
from scenescope.explore.trace import attend
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

CLASSES = Classes.named(["road", "sky", "car", "tree"])


@pytest.fixture
def session(network, image):
    torch.manual_seed(0)
    others = {
        name: create_model(name, backbone="resnet18", num_classes=4, output_stride=32)
        for name in ("sanet", "dranet", "fcn")
    }
    models = {"danet": network} | others
    return Session({name: Segmenter(each, CLASSES) for name, each in models.items()}, image)


def encoded(number, kind="PNG", **options):
    buffer = io.BytesIO()
    number.save(buffer, kind, **options)
    return buffer.getvalue()


def unpacked(text, dtype=np.uint8):
    return np.frombuffer(base64.b64decode(text), dtype)


def packed(chosen):
    return base64.b64encode(np.packbits(chosen).tobytes()).decode()


def values(answer):
    shape = answer["map"]["rows"], answer["map"]["columns"]
    return unpacked(answer["map"]["values"], "<f4").reshape(shape)


def test_the_page_opens_on_its_example(session, image):
    start = session.start()
    assert list(start["models"]) == ["danet", "sanet", "dranet", "fcn"]
    assert start["models"]["danet"]["classes"] == CLASSES.names
    assert np.shape(start["colors"]) == (256, 3)
    pixels = unpacked(start["image"]["pixels"]).reshape(70, 100, 4)
    assert (pixels[..., :3] == image).all()
    assert (pixels[..., 3] == 255).all()


def test_what_the_page_shows_is_what_the_library_says(session, network, image):
    number = session.start()["image"]["id"]
    view = attend(network, image)
    seen = session.predict(number, "danet")
    assert (unpacked(seen["labels"]).reshape(70, 100) == view.labels).all()
    assert sum(seen["shares"]) == pytest.approx(1)
    assert seen["maps"] == ["attends to", "attended by"]
    assert seen["knife"]["scales"] == ["alpha", "beta"]
    answer = session.query_pixel(number, "danet", (50, 13), "attends to")
    np.testing.assert_array_equal(values(answer), view.position.maps([(50, 13)])[0])
    label = view.labels[13, 50]
    assert answer["label"] == label
    assert answer["probability"] == pytest.approx(view.probabilities((50, 13))[label])
    received = session.query_pixel(number, "danet", (50, 13), "attended by")
    np.testing.assert_array_equal(values(received), view.position.received([(50, 13)])[0])
    np.testing.assert_array_equal(values(session.channel(number, "danet", 5)), view.channel.maps([5])[0])
    order = [channel for channel, _ in answer["channels"]]
    assert sorted(order) == list(range(view.channel.count))
    assert order[:2] == view.channel.responsive(int(label))


def test_a_cut_is_that_of_the_library(session, network, image):
    number = session.start()["image"]["id"]
    view = attend(network, image)
    cells = session.predict(number, "danet")["knife"]["cells"]
    assert (cells["rows"], cells["columns"]) == view.position.features.shape[-2:]
    chosen = np.zeros((5, 7), bool)
    chosen[1:3, 2:6] = True
    label = int(view.labels[0, 0])
    region = cell_region(chosen, view.position.cells, view.labels.shape)
    for keep in (False, True):
        expected = view.cut(Cut(region, keep, [label], alpha=2.0, beta=0.5))
        answer = session.cut(number, "danet", region=packed(chosen), keep=keep, classes=[label], alpha=2.0, beta=0.5)
        assert (unpacked(answer["labels"]).reshape(70, 100) == expected.labels).all()
        assert answer["changed"] == expected.changed.sum() > 0
        counts = [count for _, _, count in answer["moved"]]
        assert counts == sorted(counts, reverse=True)
        assert sum(counts) == answer["changed"]
        before, after, count = answer["moved"][0]
        assert ((view.labels == before) & (expected.labels == after)).sum() == count


def test_cut_cells_are_those_that_nobody_attends_to(session, network, image):
    """Only the position in the lower right corner is cut: the slow way is a mask over that column of S."""
    number = session.start()["image"]["id"]
    view = attend(network, image)
    chosen = np.zeros((5, 7), bool)
    chosen[4, 6] = True
    region = np.zeros((70, 100), bool)
    region[-1, -1] = True
    answer = session.cut(number, "danet", region=packed(chosen), alpha=4)
    assert (unpacked(answer["labels"]).reshape(70, 100) == view.cut(Cut(region, alpha=4)).labels).all()


def test_a_cut_of_nothing_changes_nothing(session, network):
    number = session.start()["image"]["id"]
    answer = session.cut(number, "danet")
    assert answer["labels"] == session.predict(number, "danet")["labels"]
    assert (answer["changed"], answer["moved"]) == (0, [])
    assert network.head.channel.beta.item() == 0.5


def test_keys_and_values_may_come_from_another_image(session, network, image):
    first = session.start()["image"]["id"]
    second = session.open(encoded(Image.fromarray(image[::-1, ::-1])), "turned.png")["id"]
    own, other = attend(network, image), attend(network, image[::-1, ::-1].copy())
    answer = session.cut(first, "danet", source=second, alpha=4)
    assert (unpacked(answer["labels"]).reshape(70, 100) == own.cut(Cut(source=other, alpha=4)).labels).all()


@pytest.mark.parametrize(
    ("model", "cut", "message"),
    [
        ("danet", {"region": "AAAA"}, r"24 bits does not fit; this image has 5 x 7 positions .* give 35 bits"),
        ("danet", {"region": "A" * 400}, r"2400 bits does not fit"),
        ("danet", {"region": "no base64!"}, "The region is no base64"),
        ("danet", {"classes": [4]}, "There is no class 4; give 0 to 3"),
        ("danet", {"classes": [0, 1, 2, 3]}, "Everything is cut away"),
        ("danet", {"keep": True}, "Everything is cut away"),
        ("danet", {"alpha": 4.1}, r"alpha times 4.1 is not possible; give 0 to 4"),
        ("danet", {"beta": float("nan")}, r"beta times nan is not possible"),
        ("danet", {"heads": [1]}, "This danet has no squeeze-and-attention heads"),
        ("sanet", {"heads": [5]}, "There is no head 5; give 1 to 4"),
        ("sanet", {"alpha": 0}, "This sanet has no alpha to scale"),
        ("fcn", {"classes": [1]}, "This fcn has no position attention"),
        ("fcn", {"region": "AAAA"}, "This fcn has no position attention"),
        ("danet", {"source": "none"}, "no longer kept"),
    ],
)
def test_what_cannot_be_cut(session, model, cut, message):
    number = session.start()["image"]["id"]
    with pytest.raises((ImageError, ModelError), match=message):
        session.cut(number, model, **cut)


def test_heads_of_sanet_are_cut(session):
    number = session.start()["image"]["id"]
    assert session.predict(number, "sanet")["knife"] == {"cells": None, "scales": [], "heads": 4}
    view = attend(session.models["sanet"], session.example)
    answer = session.cut(number, "sanet", heads=[1, 4])
    assert (unpacked(answer["labels"]).reshape(70, 100) == view.cut(Cut(heads=[1, 4])).labels).all()


def test_a_click_says_what_the_pixel_pays_its_own_class(session):
    number = session.start()["image"]["id"]
    own = session.query_pixel(number, "danet", (50, 13), "attends to")["own"]
    expected = own_class(attend(session.models["danet"], session.example), (50, 13))
    assert (own["share"], own["chance"]) == (expected.share, expected.chance)
    assert own["verdict"] == expected.verdict(CLASSES.names)
    assert "own" not in session.query_pixel(number, "danet", (50, 13), "attended by")


def test_a_pointer_that_hovers_asks_for_the_probability_alone(session):
    number = session.start()["image"]["id"]
    hovered = session.probability(number, "danet", (50, 13))
    clicked = session.query_pixel(number, "danet", (50, 13), "attends to")
    assert {name: clicked[name] for name in hovered} == hovered
    with pytest.raises(ImageError, match="x may be 0 to 99"):
        session.probability(number, "danet", (100, 0))


def test_examples_are_offered_small_and_opened_whole(network):
    wide = np.random.default_rng(0).integers(0, 256, (300, 1500, 3), np.uint8)
    session = Session({"danet": Segmenter(network, CLASSES)}, wide, {"Noise (nobody, public domain)": wide})
    (offered,) = session.start()["examples"]
    assert (offered["name"], offered["width"], offered["height"]) == ("Noise (nobody, public domain)", 160, 32)
    assert len(unpacked(offered["pixels"])) == 160 * 32 * 4
    opened = session.open_example("Noise (nobody, public domain)")
    assert (opened["width"], opened["height"]) == (1024, 205)
    assert opened["note"] == "Noise (nobody, public domain); shown at 1024 x 205 pixels, not 1500 x 300"
    with pytest.raises(ImageError, match="There is no example 'other' on this page; it has Noise"):
        session.open_example("other")


def test_maps_of_other_networks(session):
    number = session.start()["image"]["id"]
    heads = session.predict(number, "sanet")["maps"]
    assert heads == [f"alike in head {stage}" for stage in (4, 3, 2, 1)]
    near = values(session.query_pixel(number, "sanet", (99, 69), heads[0]))
    assert near[-1, -1] == pytest.approx(0, abs=1e-6)  # and whatever is alike
    assert near.max() == pytest.approx(0, abs=1e-6)
    assert session.predict(number, "dranet")["maps"] == ["centers"]
    assert values(session.query_pixel(number, "dranet", (9, 9), "centers")).sum() == pytest.approx(1, abs=1e-5)
    assert session.predict(number, "fcn")["maps"] == []
    assert "map" not in session.query_pixel(number, "fcn", (9, 9), "")
    with pytest.raises(ModelError, match="There is no map 'attends to'; this model has none"):
        session.query_pixel(number, "fcn", (9, 9), "attends to")


@pytest.mark.parametrize(
    ("mode", "kind", "note"),
    [
        ("L", "PNG", "L made RGB"),
        ("RGBA", "PNG", "RGBA made RGB"),
        ("CMYK", "JPEG", "CMYK made RGB"),
        ("RGB", "PNG", ""),
    ],
)
def test_images_of_all_kinds_say_what_was_done(session, mode, kind, note):
    opened = session.open(encoded(Image.new(mode, (40, 30)), kind), "an image")
    assert (opened["width"], opened["height"], opened["note"]) == (40, 30, note)


def test_animations_show_their_first_frame(session):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "lime")]
    opened = session.open(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), "a.gif")
    assert tuple(unpacked(opened["pixels"])[:3]) == (255, 0, 0)
    assert "the first of 3 frames" in opened["note"]


def test_large_images_are_scaled_down_and_said_so(session, monkeypatch):
    monkeypatch.setattr(sessions, "LONGEST_SIDE", 50)
    opened = session.open(encoded(Image.new("RGB", (200, 100))), "large.png")
    assert (opened["width"], opened["height"]) == (50, 25)
    assert opened["note"] == "shown at 50 x 25 pixels, not 200 x 100"


def test_what_cannot_be_opened(session, monkeypatch):
    with pytest.raises(ImageError, match=r"Cannot read notes\.txt: not an image"):
        session.open(b"hello", "notes.txt")
    with pytest.raises(ImageError, match="HEIC"):
        session.open(b"\0\0\0\x18ftypheic" + bytes(40), "IMG_1.HEIC")
    monkeypatch.setattr(sessions, "MAX_PIXELS", 100)
    with pytest.raises(ImageError, match="20 x 10 pixels are more than the limit of 100"):
        session.open(encoded(Image.new("RGB", (20, 10))), "large.png")


def test_only_the_latest_images_are_kept(session):
    first = session.start()["image"]["id"]
    for _ in range(sessions.IMAGES):
        session.start()
    with pytest.raises(ImageError, match="no longer kept; open it again"):
        session.predict(first, "danet")
    for _ in range(sessions.VIEWS + 2):
        session.predict(session.start()["image"]["id"], "fcn")
    assert len(session._views) == sessions.VIEWS


def test_a_model_that_is_not_there(session):
    with pytest.raises(ModelError, match="There is no model 'other' on this page; it has danet, sanet"):
        session.predict(session.start()["image"]["id"], "other")


def test_images_are_decoded_one_by_one(session, monkeypatch):
    """All by one thread, whichever asks."""
    decoding, stored = [], sessions.stored
    monkeypatch.setattr(sessions, "stored", lambda each: decoding.append(threading.get_ident()) or stored(each))
    content = encoded(Image.new("RGB", (8, 8)))
    threads = [threading.Thread(target=session.open, args=(content, "a.png")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decoding) == 3
    assert len(set(decoding)) == 1


def test_a_look_to_send_is_that_of_the_library(session, network, image):
    number = session.start()["image"]["id"]
    expected = look_html(
        attend(network, image), session.models["danet"].classes, title="A look at attention", model="danet"
    )
    assert session.share(number, "danet")["html"] == expected
    with pytest.raises(ModelError, match="fcn has no attention to look into"):
        session.share(number, "fcn")
