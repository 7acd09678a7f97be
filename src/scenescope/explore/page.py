"""The page: click on a pixel and see what it attends to. One file and five questions, for this machine only.

It is written on the standard library: Gradio, the convention for such pages, brings a web framework and its packages,
answers a click with whole encoded pictures, and its opacity slider asks the server; here a click costs a row of
numbers, which the browser paints. No path is ever opened on behalf of a request, and the policy that the page is served
with forbids the browser to ask anyone else.
"""

from __future__ import annotations

import importlib.resources
import json
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from scenescope.errors import ScenescopeError, StorageError
from scenescope.explore.session import Json, Session

HOST = "127.0.0.1"
PORT = 7860
MAX_UPLOAD = 32 * 2**20
"""Bytes of a picture."""
MAX_QUESTION = 2**14
"""Bytes of any other question."""
_TIMEOUT = 60
"""Seconds after which a connection that sends nothing is closed."""


class PageServer(ThreadingHTTPServer):
    """Serves the page of a session on 127.0.0.1.

    Args:
        session: answers.
        port: 0 takes any free one.

    Raises:
        StorageError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int = PORT) -> None:
        self.session = session
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StorageError(f"Port {port} cannot be used ({reason}); give another --port, or 0 for any.") from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell an error of ours; a browser that was closed is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = _TIMEOUT
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Give the page; there is nothing else to get."""
        if not self._from_here():
            return
        if self.path != "/":
            self._refuse(HTTPStatus.NOT_FOUND, "There is only the page itself.")
            return
        nonce = secrets.token_urlsafe(16)
        page = importlib.resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        self._send(HTTPStatus.OK, page.replace("NONCE", nonce).encode(), "text/html; charset=utf-8", nonce)

    def do_POST(self) -> None:
        """Answer one of the questions."""
        if not self._from_here():
            return
        answer = self._questions().get(self.path)
        if answer is None:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such question.")
            return
        limit = MAX_UPLOAD if self.path == "/open" else MAX_QUESTION
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > limit:
            told = f"A picture may have {MAX_UPLOAD // 2**20} MB; scale it down."
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told)
            return
        try:
            result = answer(self.rfile.read(int(length)))
        except ScenescopeError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, " ".join(str(error).split()))
        except (ValueError, KeyError, TypeError):
            self._refuse(HTTPStatus.BAD_REQUEST, "This is not a question of the page.")
        else:
            self._send(HTTPStatus.OK, json.dumps(result).encode(), "application/json")

    def _questions(self) -> dict[str, Callable[[bytes], Json]]:
        session = self.server.session
        return {
            "/start": lambda body: session.start(),
            "/open": lambda body: session.open(body, unquote(self.headers.get("X-Name", ""))[:200]),
            "/look": lambda body: _asked(body, lambda q: session.look(q["picture"], q["model"], q.get("without", ""))),
            "/ask": lambda body: _asked(
                body, lambda q: session.ask(q["picture"], q["model"], (int(q["x"]), int(q["y"])), q.get("map", ""))
            ),
            "/channel": lambda body: _asked(
                body, lambda q: session.channel(q["picture"], q["model"], int(q["channel"]))
            ),
        }

    def _from_here(self) -> bool:
        """Refuse what another site makes a browser ask: under another name for this machine, or from its own pages."""
        here = {f"{name}:{self.server.server_address[1]}" for name in (HOST, "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in here and (origin is None or origin.removeprefix("http://") in here):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "Only the page itself may ask.")
        return False

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        # What of the body is unread would be taken for the next question.
        self.close_connection = True
        self._send(status, json.dumps({"error": message}).encode(), "application/json")

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
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of every question."""


def _asked(body: bytes, answer: Callable[[Json], Json]) -> Json:
    question = json.loads(body)
    if not isinstance(question, dict) or not all(isinstance(value, str | int) for value in question.values()):
        raise ValueError("not a question")
    return answer(question)
