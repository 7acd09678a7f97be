import threading
import urllib.request

import pytest
import torch
from PIL import Image

from scenescope.checkpoints.model_directory import save_model
from scenescope.explore.page import PageServer
from scenescope.labels import Classes
from scenescope.models.catalog import create_model


@pytest.fixture
def got(monkeypatch):
    """Serve one question, the page itself, in place of all that may come; return what was got."""
    pages = []

    def once(server):
        asking = threading.Thread(target=lambda: pages.append(urllib.request.urlopen(server.url).read().decode()))
        asking.start()
        server.handle_request()
        asking.join()

    monkeypatch.setattr(PageServer, "serve_forever", once)
    return pages


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    place = tmp_path / "demo" / "run" / "best"
    network = create_model("danet", backbone="test_resnet", num_classes=3, output_stride=32)
    save_model(network, Classes.named(["a", "b", "c"]), place)
    return place


def test_it_says_where_the_page_is(scenescope, got, model):
    result = scenescope("page", "--model", model, "--port", 0)
    assert result.exit_code == 0, result.errors
    assert "The page is at http://127.0.0.1:" in result.output
    assert "<title>scenescope" in got[0]


def test_the_page_opens_on_the_image_that_is_given(scenescope, monkeypatch, model, tmp_path):
    started = []
    monkeypatch.setattr(PageServer, "serve_forever", lambda server: started.append(server.session.start()))
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    assert scenescope("page", tmp_path / "red.png", "--model", model, "--port", 0).exit_code == 0
    assert scenescope("page", "--model", model, "--port", 0).exit_code == 0
    given, without = started
    assert (given["image"]["width"], given["image"]["height"]) == (40, 30)
    assert [each["name"] for each in given["examples"]] == ["red.png", *(each["name"] for each in without["examples"])]
    assert "Generated street" in [each["name"] for each in without["examples"]]


def test_an_image_that_is_not_there_is_told_before_a_model_is_loaded(scenescope, tmp_path):
    refused = scenescope("page", tmp_path / "none.png", "--model", tmp_path / "no model")
    assert refused.exit_code == 2
    assert "none.png" in refused.errors


def test_the_demos_model_stands_in_for_the_box(scenescope, got, model, monkeypatch):
    monkeypatch.setattr("scenescope.checkpoints.find.models_in_box", dict)
    monkeypatch.chdir(model.parents[2])
    assert scenescope("page", "--port", 0).exit_code == 0
    monkeypatch.chdir(model)
    refused = scenescope("page", "--port", 0)
    assert refused.exit_code == 2
    assert "Name one with --model DIR" in refused.errors


def test_what_cannot_be_served(scenescope, model, tmp_path):
    assert scenescope("page", "--model", model, "--port", 70000).exit_code == 2
    missing = scenescope("page", "--model", tmp_path / "none")
    assert missing.exit_code == 2
    assert "There is no model at" in missing.errors


def test_the_names_of_a_proxy(scenescope, model, monkeypatch):
    seen = []
    monkeypatch.setattr(PageServer, "serve_forever", lambda server: seen.append(server.host_names))
    named = ["--host-name", "seg.example.org", "--host-name", "localhost:8888"]
    assert scenescope("page", "--model", model, "--port", 0, *named).exit_code == 0
    assert seen == [{"seg.example.org", "localhost:8888"}]
    refused = scenescope("page", "--model", model, "--port", 0, "--host-name", "https://seg.example.org/page")
    assert refused.exit_code == 2
    assert refused.errors.startswith("error: 'https://seg.example.org/page' is not the name of a host; write it as in")
