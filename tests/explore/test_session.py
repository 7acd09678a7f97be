import base64
import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.errors import ImageError, ModelError
from scenescope.explore import session as sessions
from scenescope.explore.session import Session
from scenescope.explore.trace import attend
from scenescope.inference.predictor import predict_labels
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
    assert seen["without"] == ["position", "channel"]
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


def test_without_attention_is_a_scale_of_zero_and_the_model_stays_as_it_is(session, network, image):
    number = session.start()["image"]["id"]
    before = session.predict(number, "danet")["labels"]
    assert network.head.channel.beta.item() == 0.5
    without = unpacked(session.predict(number, "danet", "channel")["labels"])
    assert network.head.channel.beta.item() == 0.5
    with torch.no_grad():
        network.head.channel.beta.fill_(0.0)
        batch = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
        expected = predict_labels(network, batch)[0].numpy().ravel()
        network.head.channel.beta.fill_(0.5)
    assert (without == expected).all()
    assert session.predict(number, "danet")["labels"] == before
    with pytest.raises(ModelError, match="no position attention to leave out"):
        session.predict(number, "fcn", "position")


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
