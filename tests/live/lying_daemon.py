"""A Kubo daemon's API that lies: a whole HTTP server in front of an honest daemon, for tests to mutate."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

import urllib3

from integrity.testing.threaded import ThreadedServer


@dataclass(slots=True)
class Answer:
    """What the honest daemon said, or what is said in its place. ``body`` None hangs up."""

    status: int
    body: bytes | None
    kind: str = "application/json"


Act = Callable[[str, Callable[[], Answer]], Answer]
"""Given the command, as ``block/get?arg=…``, and a way to ask the honest daemon."""


def honest(_: str, forward: Callable[[], Answer]) -> Answer:
    """No lie at all."""
    return forward()


def of_command(command: str, change: Callable[[Answer], Answer]) -> Act:
    """Changes the answers to one command, and is honest about the rest."""

    def act(asked: str, forward: Callable[[], Answer]) -> Answer:
        answer = forward()
        return change(answer) if asked.partition("?")[0] == command else answer

    return act


class LyingDaemon(ThreadedServer):
    """Use as a context manager; ``api`` is where it listens. ``before_reading`` is called with each
    command before what comes with it is read; when it raises ConnectionError the connection ends.
    """

    def __init__(self, upstream: str, act: Act = honest) -> None:
        self.act = act
        self.asked: list[str] = []
        self.before_reading: Callable[[str], None] = lambda _: None
        self._upstream = upstream
        super().__init__(self._handler())

    @property
    def api(self) -> str:
        return self.url

    def _forward(self, path: str, body: bytes, kind: str | None) -> Answer:
        headers = {"content-type": kind} if kind else {}
        answer = urllib3.request(
            "POST", self._upstream + path, body=body, headers=headers, timeout=60, retries=False
        )
        return Answer(answer.status, answer.data, answer.headers.get("content-type", ""))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_POST(self) -> None:
                command = self.path.removeprefix("/api/v0/")
                daemon.asked.append(command)
                try:
                    daemon.before_reading(command)
                except ConnectionError:
                    self.close_connection = True
                    return
                body = self._read_body()
                kind = self.headers.get("content-type")
                answer = daemon.act(command, lambda: daemon._forward(self.path, body, kind))
                if answer.body is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.kind)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(answer.body)

            def _read_body(self) -> bytes:
                if self.headers.get("transfer-encoding", "") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length", "0")))
                body = bytearray()
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return bytes(body)

            def log_message(self, *_: object) -> None:
                """Silence: a test says itself what it sees."""

        return Handler
