"""The page and attend among others: odd questions, other sites, other threads, other people's files."""

import http.client
import json
import random
import socket
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.checkpoints.model_directory import save_model
from scenescope.errors import StorageError
from scenescope.explore.session import Session
from scenescope.explore.trace import attend
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model
from scenescope.workflows.attention import FigureOptions, draw_attention, find_inputs, require_free
from tests.explore.conftest import served

CLASSES = Classes.named(["road", "sky", "car"])


def image(generator, height=48, width=64):
    return generator.integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    network = create_model("danet", backbone="test_resnet", num_classes=3, output_stride=16)
    torch.nn.init.normal_(network.head.position.query.weight, std=5.0)
    return Segmenter(network, CLASSES)


@pytest.fixture(scope="module")
def server(segmenter):
    with served(Session({"danet": segmenter}, image(np.random.default_rng(0)))) as server:
        yield server


def odd_question(generator, port):
    """Return the bytes of a question that has something wrong with it."""
    path = generator.choice(["/query", "/predict", "/channel", "/open", "/start"])
    body = generator.choice(
        [
            b"[" * generator.randrange(1, 16_000),
            b'{"a":' * generator.randrange(1, 3_000),
            generator.randbytes(generator.randrange(0, 200)),
            json.dumps({"image": generator.choice(["", 5, 10**400, None, []]), "model": "danet", "x": 1e400}).encode(),
            b'{"image": "x", "model": "danet", "x": NaN, "y": Infinity, "channel": -1}',
        ]
    )
    length = generator.choice(
        [
            f"Content-Length: {len(body)}",
            f"Content-Length: {len(body)}\r\nContent-Length: {generator.randrange(99)}",
            f"Content-Length: {len(body)}\r\nTransfer-Encoding: {generator.choice(['chunked', 'identity', 'x'])}",
            f"Content-Length: {'9' * generator.choice([16, 4300, 5000, 60_000])}",
            f"Content-Length: {generator.choice(['-1', '+5', '1_0', '0x5', '', '5 5', '1e3', '²'])}",
            f"X-Name: {'%00' * generator.randrange(999)}",
        ]
    )
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{length}\r\n\r\n".encode("latin-1") + body


def test_odd_questions(times, promise, server, capfd):
    generator = random.Random(0)
    tried, survived = times(2000, 60), 0
    for _ in range(tried):
        with socket.create_connection(server.server_address, timeout=60) as client:
            try:
                client.sendall(odd_question(generator, server.server_address[1]))
                client.shutdown(socket.SHUT_WR)
                status = int(client.makefile("rb").readline().split()[1])
            except OSError:  # it is closed on what it does not read
                status = 400
        told = capfd.readouterr().err
        survived += (200 <= status < 300 or 400 <= status < 500) and told == ""
    promise("page: odd questions, answered in a line", tried, survived)


def test_other_hosts_and_origins(times, promise, server):
    generator, port = random.Random(0), server.server_address[1]
    tried, survived = times(1000, 40), 0
    for _ in range(tried):
        name = generator.choice(
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::1]", "0.0.0.0"]
        )
        place = generator.choice([name, f"{name}:{port}", f"127.0.0.1:{port + 1}", f"{name}:{port}@127.0.0.1:{port}"])
        header = generator.choice(["Host", "Origin"])
        scheme = generator.choice(["http://", "https://", "file://", ""]) if header == "Origin" else ""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/start", b"", {header: scheme + place})
        survived += connection.getresponse().status == 403
        connection.close()
    promise("page: other hosts and origins, refused", tried, survived)


def test_attention_beside_other_threads(times, promise, segmenter):
    generator = np.random.default_rng(0)
    images = [image(generator, *size) for size in ((48, 64), (64, 48), (33, 90))]
    expected = [attend(segmenter.network, each).position.maps([(5, 5)]) for each in images]
    each, right = times(100, 4), []

    def ask(number):
        for turn in range(each):
            chosen = (number + turn) % 3
            found = attend(segmenter.network, images[chosen]).position.maps([(5, 5)])
            right.append(found.shape == expected[chosen].shape and np.allclose(found, expected[chosen], atol=1e-6))

    def predict():
        for turn in range(each):
            segmenter.predict(images[turn % 3])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    threads.append(threading.Thread(target=predict))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    promise("attend: maps beside three other threads", 3 * each, sum(right))


def test_files_of_others(times, promise, segmenter, tmp_path):
    """Figures go into folders that hold, under their very names, what the user made."""
    save_model(segmenter.network, CLASSES, tmp_path / "model")
    generator, pixels = random.Random(0), np.random.default_rng(0)
    tried, survived = times(100, 6), 0
    names = [
        "a_figure.png",
        "a_arrays.npz",
        "a_attention_1_2.png",
        "b_figure.png",
        "a_figure.svg",
        "b_attention_3_4.png",
    ]
    for number in range(tried):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in ("a", "b"):
            Image.fromarray(image(pixels, 24, 24)).save(folder / f"{name}.png")
        mine = generator.choice(names)
        (folder / mine).write_bytes(generator.randbytes(50))
        before = {path: path.read_bytes() for path in folder.iterdir()}
        wish = FigureOptions(points=[(1, 2)], arrays=True, format=generator.choice(["png", "svg"]))
        given = [str(folder / "a.png"), str(folder / "b.png")]
        told = mine
        subjects = find_inputs(given, folder, segmenter, split="val", scenes=[], truth=None)
        try:
            require_free(subjects, wish, folder)
            for subject in subjects:
                draw_attention(subject, segmenter, wish, folder)
        except StorageError as error:
            told = str(error)
        survived += mine in told and all(path.read_bytes() == content for path, content in before.items())
    promise("attend: folders with files of others, all kept", tried, survived)
