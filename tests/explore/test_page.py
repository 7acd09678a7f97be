"""The server of the page, asked as a browser would and as it must not be."""

import contextlib
import http.client
import json
import socket
import threading

import numpy as np
import pytest
from PIL import Image

from scenescope.errors import ScenescopeError, StorageError
from scenescope.explore import page as pages
from scenescope.explore.page import PageServer
from scenescope.explore.session import Session
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from tests.explore.conftest import served


@pytest.fixture
def server(network, image):
    session = Session({"danet": Segmenter(network, Classes.named(["a", "b", "c", "d"]))}, image)
    with served(session) as server:
        yield server


@pytest.fixture
def ask(server):
    def request(method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    return request


def question(ask, path, **asked):
    answer, content = ask("POST", path, json.dumps(asked))
    return answer.status, json.loads(content)


def test_the_page_and_a_click(ask, image):
    answer, content = ask("GET", "/")
    assert answer.status == 200
    assert b"<canvas" in content
    policy = answer.headers["Content-Security-Policy"]
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert f'<script nonce="{nonce}">'.encode() in content
    assert "default-src 'none'" in policy
    _, start = question(ask, "/start")
    status, clicked = question(ask, "/query", image=start["image"]["id"], model="danet", x=3, y=4, map="attends to")
    assert status == 200
    assert clicked["map"]["rows"] == 5


def test_the_page_names_no_other_place(ask):
    _, content = ask("GET", "/")
    for address in (b"http://", b"https://", b"//cdn", b"@import", b"url("):
        assert address not in content


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/page.py", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/file=/etc/passwd", "/?x"]
)
def test_no_path_is_ever_read(ask, path):
    answer, content = ask("GET", path)
    assert answer.status == 404
    assert json.loads(content) == {"error": "There is only the page itself."}
    assert ask("POST", path, b"")[0].status == 404


def test_a_proxy_may_leave_its_folder_in_the_path(ask):
    """As JupyterHub does below proxy/absolute, and nginx where proxy_pass has no path (gradio#7659)."""
    for folder in ("/seg", "/user/me%40example.org/proxy/absolute/7860"):
        assert b"<canvas" in ask("GET", f"{folder}/")[1]
        assert ask("POST", f"{folder}/start", b"")[0].status == 200
    for path in ("/seg", "/seg/page.html", "/../", "/seg/../", "/seg//", "/seg/?x"):
        assert ask("GET", path)[0].status == 404, path


def test_a_name_of_an_image_is_never_opened(ask, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"")
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(tmp_path / "secret.png")
    answer, content = ask("POST", "/open", b"no image", X_Name=str(tmp_path / "secret.png"))
    assert answer.status == 422
    assert "not an image" in json.loads(content)["error"]


def test_other_sites_may_not_ask(ask, server):
    for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{server.server_address[1]}"}):
        assert ask("GET", "/", **headers)[0].status == 403
    assert ask("POST", "/start", b"", Origin="http://evil.example")[0].status == 403
    assert ask("POST", "/start", b"", Origin=server.url.rstrip("/"))[0].status == 200


def test_uploads_are_bounded_before_they_are_read(ask, server, monkeypatch):
    monkeypatch.setattr(pages, "MAX_UPLOAD", 2**20)
    answer, content = ask("POST", "/open", bytes(2**20 + 1))
    assert answer.status == 413
    assert json.loads(content)["error"] == "An image may have 1 MB; scale it down."
    assert ask("POST", "/query", bytes(pages.MAX_QUESTION + 1))[0].status == 413
    with socket.create_connection(server.server_address) as client:
        client.sendall(f"POST /open HTTP/1.1\r\nHost: 127.0.0.1:{server.server_address[1]}\r\n\r\n".encode())
        assert b"413" in client.recv(100)  # without a length


def test_a_refusal_arrives_though_much_is_still_being_sent(server):
    """A connection that is closed on what nobody reads is reset, and a browser tells of that in place of the answer."""
    port = server.server_address[1]
    with socket.create_connection(server.server_address, timeout=60) as client:
        client.sendall(f"POST /open HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {2**30}\r\n\r\n".encode())
        answer = client.makefile("rb").read()  # the server has said all that it will
        for _ in range(64):
            client.sendall(bytes(2**16))
        client.shutdown(socket.SHUT_WR)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b'{"error": "An image may have 32 MB; scale it down."}')


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b'{"image": 1}', b'{"image": {}, "model": "danet"}', b'{"image": null}', b"\xff"],
)
def test_what_is_no_question_is_refused(ask, body):
    for path in ("/predict", "/query", "/channel", "/cut", "/probability", "/example"):
        assert ask("POST", path, body)[0].status == 400


def test_a_mistake_is_said_in_one_line(ask):
    _, start = question(ask, "/start")
    image = start["image"]["id"]
    status, answer = question(ask, "/query", image=image, model="danet", x=100, y=4)
    assert status == 422
    assert "x may be 0 to 99" in answer["error"]
    status, answer = question(ask, "/channel", image=image, model="danet", channel=10**6)
    assert (status, "channels 0 to" in answer["error"]) == (422, True)
    assert question(ask, "/predict", image="other", model="danet")[0] == 422


def test_a_cut_and_its_refusals(ask, server):
    _, start = question(ask, "/start")
    asked = {"image": start["image"]["id"], "model": "danet"}
    status, answer = question(ask, "/cut", **asked, classes=[0], alpha=2.5, keep=0)
    assert status == 200
    assert answer == server.session.cut(*asked.values(), classes=[0], alpha=2.5)
    for cut, message in (
        ({"region": "AAAA"}, "give 35 bits"),
        ({"classes": [9]}, "give 0 to 3"),
        ({"keep": 1}, "Everything is cut away"),
        ({"heads": [1]}, "no squeeze-and-attention heads"),
        ({"alpha": 5}, "give 0 to 4"),
    ):
        status, answer = question(ask, "/cut", **asked, **cut)
        assert (status, message in answer["error"], "\n" in answer["error"]) == (422, True, False), answer
    for odd in ({"alpha": "much"}, {"classes": 3}, {"classes": [[]]}, {"knife": 1}, {"heads": ["x"]}, {"alpha": []}):
        assert question(ask, "/cut", **asked, **odd)[0] == 400, odd
    answer, content = ask("POST", "/cut", json.dumps({**asked, "alpha": float("inf")}))
    assert answer.status == 422
    answer, content = ask("POST", "/cut", json.dumps({**asked, "region": "A" * pages.MAX_QUESTION}))
    assert (answer.status, json.loads(content)) == (
        413,
        {"error": f"A question may have {pages.MAX_QUESTION} bytes and tells how many."},
    )


def test_a_pixel_under_the_pointer(ask, server):
    _, start = question(ask, "/start")
    asked = {"image": start["image"]["id"], "model": "danet"}
    status, answer = question(ask, "/probability", **asked, x=3, y=4)
    assert (status, answer) == (200, server.session.probability(*asked.values(), (3, 4)))
    assert question(ask, "/probability", **asked, x=3, y=70)[0] == 422
    assert ask("POST", "/probability", json.dumps({**asked, "x": float("inf"), "y": 0}))[0].status == 400


def test_an_example_is_one_that_is_offered(ask, server, image):
    status, answer = question(ask, "/example", name="/etc/passwd")
    assert (status, "There is no example" in answer["error"]) == (422, True)
    server.session.examples = {"noise": image}
    assert question(ask, "/example", name="noise")[1]["width"] == 100


def test_two_at_once_get_their_own_answers(ask):
    _, start = question(ask, "/start")
    asked = {"image": start["image"]["id"], "model": "danet", "map": "attends to"}
    points = [(x, y) for x in range(0, 100, 20) for y in range(0, 70, 20)]
    expected = {point: question(ask, "/query", x=point[0], y=point[1], **asked)[1] for point in points}
    found = {}

    def click(point):
        found[point] = question(ask, "/query", x=point[0], y=point[1], **asked)[1]

    threads = [threading.Thread(target=click, args=(point,)) for point in points]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_many_that_come_at_once_wait_their_turn(network, image):
    session = Session({"danet": Segmenter(network, Classes.named(["a", "b", "c", "d"]))}, image)
    with contextlib.ExitStack() as places, PageServer(session, port=0) as server:
        waiting = [places.enter_context(socket.create_connection(server.server_address, timeout=20)) for _ in range(60)]
        for each in waiting:
            each.sendall(b"GET / HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n\r\n" % server.server_address[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert [each.recv(12)[9:] for each in waiting] == [b"200"] * 60
        finally:
            server.shutdown()
            thread.join()


def test_it_listens_on_this_machine_only_and_asks_no_other(server, ask, monkeypatch):
    assert server.server_address[0] == "127.0.0.1"
    connect = socket.socket.connect

    def guarded(self, address):
        assert address[0] == "127.0.0.1", f"asked {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    _, start = question(ask, "/start")
    assert question(ask, "/predict", image=start["image"]["id"], model="danet")[0] == 200


def test_a_port_that_is_taken(server):
    with pytest.raises(StorageError, match=rf"Port {server.server_address[1]} cannot be used \(.*\); give another"):
        PageServer(server.session, server.server_address[1])


@pytest.mark.parametrize(("error", "told"), [(ConnectionResetError(104, "reset"), False), (ValueError("ours"), True)])
def test_a_browser_that_is_closed_leaves_no_stack_trace(server, capsys, error, told):
    def fail(*arguments):
        raise error

    server.finish_request = fail
    server.process_request_thread(socket.socket(), ("127.0.0.1", 1))
    assert ("Traceback" in capsys.readouterr().err) == told


@pytest.fixture
def proxied(network, image):
    """Return a function that asks a page which is shown under two outer names."""
    session = Session({"danet": Segmenter(network, Classes.named(["a", "b", "c", "d"]))}, image)
    with served(session, host_names=["Seg.example.org", "localhost:8888"]) as server:

        def request(**headers):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
            connection.request("POST", "/start", b"", headers)
            return connection.getresponse().status

        yield request


def test_a_proxy_is_named_and_nobody_else_is_let_in(proxied):
    """The host in the browser's address, as nginx passes it or leaves it out; see gradio#8294."""
    for headers in (
        {"Host": "seg.example.org", "Origin": "https://seg.example.org"},
        {"Host": "seg.example.org:8443", "Origin": "https://seg.example.org:8443"},
        {"Origin": "http://seg.example.org"},
        {"Host": "localhost:8888", "Origin": "http://localhost:8888"},
        {},
    ):
        assert proxied(**headers) == 200, headers
    for headers in (
        {"Host": "evil.example"},
        {"Host": "seg.example.org.evil.example"},
        {"Host": "evil-seg.example.org"},
        {"Host": "localhost:8889"},
        {"Host": ""},
        {"Host": "seg.example.org", "Origin": "https://evil.example"},
        {"Host": "seg.example.org", "Origin": "https://seg.example.org.evil.example"},
        {"Host": "seg.example.org", "Origin": "seg.example.org"},
        {"Host": "seg.example.org", "Origin": "file://seg.example.org"},
        {"Origin": "https://localhost:8889"},
        {"Origin": "null"},
    ):
        assert proxied(**headers) == 403, headers


def test_a_refusal_says_how_to_reach_the_page(ask, server):
    port = server.server_address[1]
    for headers in ({"Host": "localhost:8888"}, {"Origin": "https://seg.example.org"}):
        answer, content = ask("GET", "/", **headers)
        told = json.loads(content)["error"]
        assert answer.status == 403
        assert f"Open it as http://127.0.0.1:{port}/" in told
        assert f"ssh -L {port}:127.0.0.1:{port}" in told
        assert "--host-name NAME" in told


@pytest.mark.parametrize(
    "name", ["https://seg.example.org", "seg.example.org/page", "*", "", "a b", "seg.example.org:x"]
)
def test_what_is_no_name_of_a_host(server, name):
    with pytest.raises(ScenescopeError, match=r"is not the name of a host; write it as in the browser's address"):
        PageServer(server.session, 0, [name])


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("Content-Length: 2\r\nContent-Length: 40", "{}"),
        ("Content-Length: 2\r\nContent-Length: 2", "{}"),
        ("Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n"),
        ("Content-Length: 2\r\nTransfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n"),
        (f"Content-Length: {'9' * 5000}", ""),
        ("Content-Length: 16000", "[" * 16000),
        ("Content-Length: 15998", '{"image":' * 1777 + "12345"),
    ],
)
def test_odd_questions_get_one_line_and_leave_no_stack_trace(server, capfd, headers, body):
    port = server.server_address[1]
    with socket.create_connection(server.server_address) as client:
        client.sendall(f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n\r\n{body}".encode())
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert capfd.readouterr().err == ""


def test_images_are_received_a_few_at_a_time(server, ask, monkeypatch):
    class Taken:
        def acquire(self, timeout):
            return False

    monkeypatch.setattr(server, "uploads", Taken())
    answer, content = ask("POST", "/open", b"image")
    assert answer.status == 503
    assert "other images are being opened" in json.loads(content)["error"]
    assert ask("POST", "/start", b"")[0].status == 200


def test_more_connections_than_there_is_room_for_are_closed(network, image, monkeypatch):
    monkeypatch.setattr(pages, "CONNECTIONS", 2)
    session = Session({"danet": Segmenter(network, Classes.named(["a", "b", "c", "d"]))}, image)
    with served(session) as server:
        first, second, third = (socket.create_connection(server.server_address) for _ in range(3))
        with first, second, third:
            assert third.recv(1) == b""
        assert server._connections.acquire(timeout=60)  # both have ended
        assert server._connections.acquire(timeout=60)
