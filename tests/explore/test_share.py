import base64
import hashlib
import io
import json
import re
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.errors import ImageError, ModelError
from scenescope.explore import share
from scenescope.explore.knife import Cut
from scenescope.explore.share import TooLargeError, look_html, write_look
from scenescope.explore.trace import attend
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

CLASSES = Classes.named(["road", "sky", "car", "tree"])
EVIL = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)> & \u2028"


def held(html):
    """Return what a page holds."""
    return json.loads(re.search(r'<script type="application/json" id="look">(.*?)</script>', html, re.DOTALL)[1])


def unpacked(text, dtype=np.uint8):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype)


@pytest.fixture(scope="module")
def trace(network, image):
    return attend(network, image)


@pytest.fixture(scope="module")
def html(trace):
    return look_html(trace, CLASSES, title="photo.jpg", model="danet", notes=["Turned upright."])


def test_queries_and_keys_give_the_map(html, trace):
    position = held(html)["position"]
    planes = unpacked(position["factors"]).reshape(4, -1)
    factors = np.ascontiguousarray(planes.T).view("<f4").reshape(-1, 35).astype(np.float64)
    depth = position["depth"]
    query, key, normalizers = factors[:depth], factors[depth:-1], factors[-1]
    weights = np.exp(query.T @ key - normalizers[:, None])
    across, down = unpacked(position["across"], "<u2"), unpacked(position["down"], "<u2")
    for x, y in ((0, 0), (50, 13), (99, 69)):
        cell = down[y] * 7 + across[x]
        np.testing.assert_allclose(weights[cell], trace.position.maps([(x, y)]).ravel(), atol=1e-5)
        np.testing.assert_allclose(weights[:, cell], trace.position.received([(x, y)]).ravel(), atol=1e-5)


def test_labels_and_every_cut_are_ours(html, trace):
    look = held(html)
    labels = unpacked(look["labels"]).reshape(70, 100)
    assert (labels == trace.labels).all()
    cuts = {cut["what"]: cut for cut in look["cuts"]}
    wanted = {"Without position attention": Cut(alpha=0), "Without channel attention": Cut(beta=0)}
    own = np.unique(unpacked(look["position"]["labels"]))
    wanted |= {f"Nobody attends to {CLASSES.names[label]}": Cut(classes=[label]) for label in own}
    assert len(own) > 1
    assert set(cuts) == set(wanted)
    changed = 0
    for what, cut in wanted.items():
        expected = trace.cut(cut)
        assert (unpacked(cuts[what]["difference"]).reshape(70, 100) ^ labels == expected.labels).all()
        assert cuts[what]["changed"] == expected.changed.mean()
        changed += cuts[what]["changed"]
    assert changed > 0


def test_the_image_is_encoded_anew(html, image):
    content = base64.b64decode(held(html)["photo"].removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(content)) as photo:
        assert photo.size == (100, 70)
        assert not photo.getexif()
        assert np.abs(np.asarray(photo).astype(int) - image).mean() < 60  # noise is what JPEG keeps worst


def test_channels_are_those_that_answer(html, trace):
    channel = held(html)["channel"]
    label = int(np.unique(trace.channel.labels)[0])
    answers = channel["responses"][str(label)]
    best = trace.channel.responsive(label, 1)[0]
    assert channel["channels"][int(np.argmax(answers))] == best
    levels = unpacked(channel["maps"]).reshape(len(channel["channels"]), 5, 7)
    values = trace.channel.maps([best])[0]
    shown = levels[channel["channels"].index(best)] / 255 * (values.max() - values.min()) + values.min()
    np.testing.assert_allclose(shown, values, atol=0.51 / 255 * (values.max() - values.min()))


def test_the_policy_allows_nothing_but_what_the_page_holds(html):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; img-src data:; ")
    script = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"""(?:https?:)?//[\w.-]+\.\w|\bfetch\(|XMLHttpRequest|\bimport\b""", html.split("<main")[0])


@pytest.mark.parametrize("where", ["title", "model", "notes", "names"])
def test_no_text_of_others_becomes_part_of_the_page(trace, where):
    texts = {"title": "a", "model": "b", "notes": ["c"]}
    classes = CLASSES
    if where == "names":
        classes = Classes.named([EVIL, "sky", "car", "tree"])
    else:
        texts[where] = [EVIL] if where == "notes" else EVIL
    html = look_html(trace, classes, **texts)
    assert html.count("<script") == 2
    assert "<img" not in html
    assert "onerror=alert(1)>" not in html
    assert html.count("\u2028") == (2 if where == "title" else 0 if where == "names" else 1)  # plain text but in JSON
    assert held(html)["names"] == list(classes.names)


def test_a_name_that_is_no_text_is_written_out(trace, tmp_path):
    write_look(trace, CLASSES, tmp_path / "look.html", title="\udcff\x1b[31m.jpg")
    assert "<h1>\\udcff\\x1b[31m.jpg</h1>" in (tmp_path / "look.html").read_text(encoding="utf-8")


def test_a_page_that_would_be_too_large_is_refused_with_its_size(trace, monkeypatch):
    monkeypatch.setattr(share, "MAX_BYTES", 20_000)
    monkeypatch.setattr(share, "_REST", 0)
    with pytest.raises(
        TooLargeError, match=r"of 100 x 70 pixels would have .* MB, and .* scale the image down"
    ) as told:
        look_html(trace, CLASSES, title="")
    assert told.value.num_bytes > 20_000


def test_one_pixel_of_one_class(network):
    trace = attend(network, np.zeros((1, 1, 3), np.uint8))
    look = held(look_html(trace, CLASSES, title=""))
    assert [cut["what"] for cut in look["cuts"]] == ["Without position attention", "Without channel attention"]
    assert look["points"] == [[0, 0]]


def test_a_point_outside_is_refused(trace):
    with pytest.raises(ImageError, match="Point 100,0 lies outside"):
        look_html(trace, CLASSES, title="", points=[(100, 0)])


def test_other_classes_are_refused(trace):
    with pytest.raises(ModelError, match="3"):
        look_html(trace, Classes.named(["a", "b", "c"]), title="")


@pytest.fixture(scope="module")
def small():
    """Return a function that looks through a small network of a name."""

    def look_through(name, image):
        torch.manual_seed(0)
        return attend(create_model(name, backbone="test_resnet", num_classes=4, output_stride=16), image)

    return look_through


def test_the_heads_of_sanet_and_what_is_missing(small, image):
    trace = small("sanet", image)
    html = look_html(trace, CLASSES, title="")
    look = held(html)
    assert "This sanet has no position attention, so no pixel attends to all others." in html
    assert [head["stage"] for head in look["heads"]] == [4, 3, 2, 1]
    assert [cut["what"] for cut in look["cuts"]] == [
        f"Without attention in the head of stage {stage}" for stage in (1, 2, 3, 4)
    ]
    for head in look["heads"]:
        size = head["rows"] * head["columns"]
        values = unpacked(head["values"]).reshape(-1, size) * np.array(head["steps"])[:, None]
        cell = unpacked(head["down"], "<u2")[40] * head["columns"] + unpacked(head["across"], "<u2")[30]
        distances = np.linalg.norm(values - values[:, cell, None], axis=0)
        expected = trace.heads[head["stage"] - 1].distances([(30, 40)])[0].ravel()
        np.testing.assert_allclose(distances, expected, atol=0.01 * expected.max())


def test_heads_that_do_not_fit_are_told(small, image, monkeypatch):
    trace = small("sanet", image)
    whole = look_html(trace, CLASSES, title="")
    first = len(json.dumps(held(whole)["heads"][-1]))
    monkeypatch.setattr(share, "_REST", 0)
    monkeypatch.setattr(share, "MAX_BYTES", len(json.dumps(held(whole))) - first // 2)
    look, missing = share._look(trace, CLASSES, None)
    assert [head["stage"] for head in look["heads"]] == [4, 3, 2]
    assert missing[-1] == "Head 1 is not in this file, which would be too large."


def test_the_centers_of_dranet(small, image):
    trace = small("dranet", image)
    centers = held(look_html(trace, CLASSES, title=""))["centers"]
    values = np.ascontiguousarray(unpacked(centers["values"]).reshape(4, -1).T).view("<f4").reshape(-1, 36)
    across, down = unpacked(centers["across"], "<u2"), unpacked(centers["down"], "<u2")
    for x, y in ((0, 0), (50, 13), (99, 69)):
        spread = values[int(down[y]) * centers["columns"] + across[x]]
        np.testing.assert_allclose(spread, trace.position_centers.spread([(x, y)])[0].ravel(), atol=1e-6)


def test_squeeze_and_excitation_can_be_cut(small, image):
    html = look_html(small("fcn_se", image), CLASSES, title="")
    assert [cut["what"] for cut in held(html)["cuts"]] == ["Without squeeze-and-excitation"]
    assert "The weights of its channels are not in this file" in html


def test_no_attention_no_page(small, image):
    with pytest.raises(ModelError, match="fcn has no attention to look into"):
        look_html(small("fcn", image), CLASSES, title="")


def test_it_is_written_whole_and_progress_is_told(trace, tmp_path):
    told = []
    write_look(trace, CLASSES, tmp_path / "look.html", title="x", progress=lambda *step: told.append(step))
    assert told == [(step, len(told)) for step in range(1, len(told) + 1)]
    assert (tmp_path / "look.html").read_text(encoding="utf-8") == look_html(trace, CLASSES, title="x")
    assert [path.name for path in tmp_path.iterdir()] == ["look.html"]
