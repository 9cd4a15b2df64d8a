"""A source that lies: a whole HTTP server in front of an honest gateway, for tests to mutate.

It asks the honest gateway for every request, and an *act* decides what is sent instead of the true
answer. Acts are plain functions, so a test writes its own in a line.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import urllib3

from integrity.testing.threaded import ThreadedServer

_HONEST = 20


@dataclass(slots=True)
class Answer:
    """What is sent. ``body`` may be endless; ``length`` is the Content-Length it claims, if any."""

    status: int
    body: Iterable[bytes]
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


Act = Callable[[str, bytes], Answer | bytes]
"""Given the path asked for and the true bytes; gives what is sent, bytes alone for a plain 200."""


def flip(path: str, body: bytes) -> bytes:  # noqa: ARG001 - an act's shape
    """The right length, and one bit of the last byte wrong."""
    return body[:-1] + bytes((body[-1] ^ 1,)) if body else body


def honest(path: str, body: bytes) -> bytes:  # noqa: ARG001 - an act's shape
    """No lie at all."""
    return body


def after(count: int, act: Act) -> Act:
    """Honest for the first ``count`` answers, as one who would be trusted; then ``act``."""
    left = itertools.count(count, -1)

    def acting(path: str, body: bytes) -> Answer | bytes:
        return body if next(left) > 0 else act(path, body)

    return acting


class LyingSource(ThreadedServer):
    """Use as a context manager; ``url`` is where it listens, on loopback."""

    def __init__(self, upstream: str, act: Act = flip) -> None:
        self.act = act
        self.asked: list[str] = []
        self._upstream = upstream.rstrip("/")
        self._pool = urllib3.PoolManager(retries=False)
        super().__init__(self._handler())

    def answer(self, path: str) -> Answer:
        """What a request for ``path`` is answered with."""
        self.asked.append(path)
        true = self._pool.request("GET", self._upstream + path)
        if true.status != 200:
            return Answer(true.status, [true.data], {}, len(true.data))
        acted = self.act(path, true.data)
        if isinstance(acted, bytes):
            return Answer(200, [acted], {"Content-Type": "application/vnd.ipld.raw"}, len(acted))
        return acted

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_GET(self) -> None:
                answer = liar.answer(self.path)
                self.send_response(answer.status)
                for key, value in answer.headers.items():
                    self.send_header(key, value)
                if answer.length is not None:
                    self.send_header("Content-Length", str(answer.length))
                else:
                    self.send_header("Connection", "close")
                    self.close_connection = True
                self.end_headers()
                # A client that has seen enough hangs up; that is its right.
                with contextlib.suppress(OSError):
                    sent = 0
                    for chunk in answer.body:
                        self.wfile.write(chunk)
                        sent += len(chunk)
                    if answer.length is not None and sent != answer.length:
                        self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Silence: a test says itself what it sees."""

        return Handler


def main() -> None:
    """``python -m integrity.testing.liar URL``: serve what URL serves, honestly at first."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m integrity.testing.liar URL-OF-AN-HONEST-GATEWAY")
    with LyingSource(sys.argv[1], after(_HONEST, flip)) as liar:
        sys.stdout.write(liar.url + "\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
