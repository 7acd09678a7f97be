"""The page: click on a pixel, see what it attends to, cut that. One file and a few questions, for this machine only.

It is written on the standard library: Gradio, the convention for such pages, brings a web framework and its packages,
answers a click with whole encoded images, and its opacity slider asks the server; here a click costs a row of
numbers, which the browser paints. No path is ever opened on behalf of a request, and the policy that the page is served
with forbids the browser to ask anyone else.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import io
import json
import re
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from scenescope.errors import ScenescopeError, StorageError
from scenescope.explore.session import Json, Session
from scenescope.explore.timed import Timed

HOST = "127.0.0.1"
PORT = 7860
MAX_UPLOAD = 32 * 2**20
"""Bytes of an image."""
MAX_QUESTION = 2**14
"""Bytes of any other question."""
UPLOADS = 4
"""Images that are received at a time; they are decoded one by one."""
CONNECTIONS = 256
"""At a time; further ones are closed."""
_LINGER = 5
"""Seconds for which what follows a refusal is still received."""
_TIMEOUT = 60
"""Seconds within which a question has come and its answer is taken, else the connection is closed."""

_DIGITS = 15
"""Of a length that is still read as a number."""
_NAME = r"(?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+|\[[0-9A-Fa-f:]+\]"


class PageServer(ThreadingHTTPServer):
    """Serves the page of a session on 127.0.0.1.

    Args:
        session: answers.
        port: 0 takes any free one.
        host_names: under which a proxy or a forwarded port shows the page, such as seg.example.org or localhost:8888;
            without a port, on any.

    Raises:
        StorageError: the port is taken.
        ScenescopeError: what is given is no name.
    """

    daemon_threads = True
    request_queue_size = CONNECTIONS
    """Connections that wait for an answer to begin; socketserver's own 5 are too few for a busy machine."""

    def __init__(self, session: Session, port: int = PORT, host_names: Collection[str] = ()) -> None:
        for name in host_names:
            if not re.fullmatch(rf"(?:{_NAME})(?::[0-9]+)?", name):
                raise ScenescopeError(
                    f"{name!r} is not the name of a host; write it as in the browser's address, without https:// and"
                    " without a path, such as seg.example.org or localhost:8888."
                )
        self.session = session
        self.host_names = frozenset(name.lower() for name in host_names)
        self.uploads = threading.Semaphore(UPLOADS)
        self._connections = threading.Semaphore(CONNECTIONS)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StorageError(f"Port {port} cannot be used ({reason}); give another --port, or 0 for any.") from error

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, as long as there are not too many."""
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Make room for another connection at the end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell an error of ours; a browser that was closed is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def named(self, place: str) -> bool:
        """Tell whether a host, with its port or without, is one of the names under which the page is shown."""
        return not self.host_names.isdisjoint({place.lower(), re.sub(r":[0-9]+$", "", place.lower())})

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_address[1]}/"


class _BusyError(ScenescopeError):
    """Too much is asked at once."""


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Read with a limit in time."""
        super().setup()
        self._sent = Timed(self.connection, _TIMEOUT)
        self.rfile = io.BufferedReader(self._sent)

    def handle_one_request(self) -> None:
        """Give every question its own time."""
        self._sent.begin()
        super().handle_one_request()

    def do_GET(self) -> None:
        """Give the page; there is nothing else to get."""
        if not self._from_here():
            return
        if self._asked_for() != "":
            self._refuse(HTTPStatus.NOT_FOUND, "There is only the page itself.")
            return
        nonce = secrets.token_urlsafe(16)
        page = importlib.resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        self._send(HTTPStatus.OK, page.replace("NONCE", nonce).encode(), "text/html; charset=utf-8", nonce)

    def do_POST(self) -> None:
        """Answer one of the questions."""
        if not self._from_here():
            return
        answer = self._questions().get(self._asked_for())
        if answer is None:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such question.")
            return
        length = self._length()
        if length is None:
            return
        try:
            with self._room() if self._asked_for() == "open" else contextlib.nullcontext():
                result = answer(self.rfile.read(length))
        except _BusyError as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except ScenescopeError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, " ".join(str(error).split()))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            self._refuse(HTTPStatus.BAD_REQUEST, "This is not a question of the page.")
        else:
            self._send(HTTPStatus.OK, json.dumps(result).encode(), "application/json")

    def _asked_for(self) -> str:
        """Return the name of a question, "" for the page itself: the path's end, before which proxies leave folders."""
        found = re.fullmatch(r"/(?:[\w~@:%-][\w.~@:%-]*/)*([a-z]*)", self.path, re.ASCII)
        return found[1] if found else self.path

    def _length(self) -> int | None:
        """Return how many bytes a question has, or refuse it: more than one length would be read as two questions."""
        lengths = self.headers.get_all("Content-Length", [""])
        if len(lengths) > 1 or len(lengths[0]) > _DIGITS or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.BAD_REQUEST, "A question comes in one piece and tells its length once.")
            return None
        limit = MAX_UPLOAD if self._asked_for() == "open" else MAX_QUESTION
        if not lengths[0].isdecimal() or int(lengths[0]) > limit:
            image = f"An image may have {MAX_UPLOAD // 2**20} MB; scale it down."
            told = image if limit == MAX_UPLOAD else f"A question may have {MAX_QUESTION} bytes and tells how many."
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told)
            return None
        return int(lengths[0])

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        """Wait until less than ``UPLOADS`` other images are received; what is sent meanwhile is not yet read."""
        if not self.server.uploads.acquire(timeout=_TIMEOUT):
            raise _BusyError(f"{UPLOADS} other images are being opened; open this one again in a moment.")
        try:
            self._sent.begin()
            yield
        finally:
            self.server.uploads.release()

    def _questions(self) -> dict[str, Callable[[bytes], Json]]:
        session = self.server.session
        return {
            "start": lambda body: session.start(),
            "open": lambda body: session.open(body, unquote(self.headers.get("X-Name", ""))[:200]),
            "example": lambda body: _asked(body, lambda q: session.open_example(q["name"])),
            "predict": lambda body: _asked(body, lambda q: session.predict(q["image"], q["model"])),
            "query": lambda body: _asked(
                body, lambda q: session.query_pixel(q["image"], q["model"], _point(q), q.get("map", ""))
            ),
            "probability": lambda body: _asked(body, lambda q: session.probability(q["image"], q["model"], _point(q))),
            "share": lambda body: _asked(body, lambda q: session.share(q["image"], q["model"])),
            "channel": lambda body: _asked(body, lambda q: session.channel(q["image"], q["model"], int(q["channel"]))),
            "cut": lambda body: _asked(body, lambda q: session.cut(q.pop("image"), q.pop("model"), **_cut(q))),
        }

    def _from_here(self) -> bool:
        """Refuse what another site makes a browser ask: under another name for this machine, or from its own pages."""
        port = self.server.server_address[1]
        here = {f"{name}:{port}".removesuffix(":80") for name in (HOST, "localhost")}  # browsers leave 80 out
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        scheme, _, place = (origin or "").rpartition("://")
        known_host = host in here or self.server.named(host)
        known_origin = (scheme == "http" and place in here) or (
            scheme in ("http", "https") and self.server.named(place)
        )
        if known_host and (origin is None or known_origin):
            return True
        self._refuse(
            HTTPStatus.FORBIDDEN,
            f"Only the page itself may ask. Open it as {self.server.url}; from another machine forward the same port"
            f" (ssh -L {port}:{HOST}:{port}), and behind a proxy start it with --host-name NAME, the host in the"
            " browser's address.",
        )
        return False

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        # What of the body is unread would be taken for the next question.
        self.close_connection = True
        self._send(status, json.dumps({"error": message}).encode(), "application/json")
        self._discard()

    def _discard(self) -> None:
        """Throw away what is still being sent: a connection that is closed before is reset, and the answer lost."""
        rest, left, buffer = Timed(self.connection, _LINGER), 4 * MAX_UPLOAD, bytearray(2**16)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while left > 0 and (count := rest.readinto(buffer)):
                left -= count

    def _send(self, status: HTTPStatus, body: bytes, kind: str, nonce: str = "") -> None:
        allowed = f"'nonce-{nonce}'" if nonce else "'none'"
        policy = (
            f"default-src 'none'; script-src {allowed}; style-src {allowed}; connect-src 'self'; img-src blob: data:"
        )
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": f"{policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.connection.settimeout(_TIMEOUT)  # of sending all of it
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Do not log requests."""


def _asked(body: bytes, answer: Callable[[Json], Json]) -> Json:
    question = json.loads(body)
    if not isinstance(question, dict) or not all(
        isinstance(value, str | int | float | list) for value in question.values()
    ):
        raise ValueError("not a question")
    return answer(question)


def _point(question: Json) -> tuple[int, int]:
    return int(question["x"]), int(question["y"])


_CUT: dict[str, Callable[[Any], Any]] = {
    "region": str,
    "keep": bool,
    "classes": lambda each: [int(label) for label in each],
    "alpha": float,
    "beta": float,
    "heads": lambda each: [int(stage) for stage in each],
    "source": str,
}


def _cut(question: Json) -> Json:
    """Return the arguments of ``Session.cut``; a KeyError where there is no such."""
    return {name: _CUT[name](value) for name, value in question.items()}
