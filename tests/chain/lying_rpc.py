"""A JSON-RPC node that lies: a whole HTTP server in front of an honest node, for tests to mutate.

Two hooks decide what is sent: ``act`` for each call, given the call and a way to ask the honest
node, and ``reply`` for the HTTP answer as a whole. A test changes either while the server runs.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import urllib3

from integrity.testing.threaded import ThreadedServer

Call = dict[str, Any]
"""One JSON-RPC request object."""

Forward = Callable[[], dict[str, Any]]
"""Asks the honest node -> its whole answer to the call, under the call's own id."""

Act = Callable[[Call, Forward], dict[str, Any]]
"""Gives the answer object of one call; one that never calls ``forward`` keeps the node unaware."""


class HangUp(Exception):
    """Raised by a hook: the connection is closed without an answer."""


@dataclass(slots=True)
class Reply:
    """An HTTP answer. ``body`` may be endless; ``length`` is the Content-Length it claims, if any."""

    body: Iterable[bytes]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


def honest(_: Call, forward: Forward) -> dict[str, Any]:
    """No lie at all."""
    return forward()


def of_method(method: str, change: Callable[[Call, Any], Any]) -> Act:
    """An act that changes the result of one method, and is honest about the rest."""

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        answer = forward()
        if call["method"] == method and "result" in answer:
            answer["result"] = change(call, answer["result"])
        return answer

    return act


def plain(answer: object) -> Reply:
    """What an honest server makes of an answer."""
    body = json.dumps(answer).encode()
    return Reply([body], 200, {"Content-Type": "application/json"}, len(body))


class LyingRpc(ThreadedServer):
    """Use as a context manager; ``url`` is where it listens, on loopback.

    ``asked`` has every call in the order they came, ``posts`` how many came in each request, and
    ``headers`` the header fields of each request.
    """

    def __init__(self, upstream: str = "") -> None:
        self.act: Act = honest
        self.reply: Callable[[object], Reply] = plain
        self.asked: list[Call] = []
        self.posts: list[int] = []
        self.headers: list[Mapping[str, str]] = []
        self.paths: list[str] = []
        self._upstream = upstream
        self._pool = urllib3.PoolManager(retries=False)
        super().__init__(self._handler())

    def methods(self) -> list[str]:
        """The methods asked for, in order."""
        return [call["method"] for call in self.asked]

    def calls(self, method: str) -> list[Call]:
        """The calls of one method."""
        return [call for call in self.asked if call["method"] == method]

    def forget(self) -> None:
        """Forget what was asked so far."""
        self.asked, self.posts, self.headers, self.paths = [], [], [], []

    # --- the server ----------------------------------------------------------------------------

    def _forward(self, call: Call) -> dict[str, Any]:
        answer = self._pool.request(
            "POST",
            self._upstream,
            body=json.dumps(call),
            headers={"content-type": "application/json"},
        )
        value: dict[str, Any] = json.loads(answer.data)
        return value

    def _answer(self, request: object) -> object:
        if isinstance(request, list):
            self.posts.append(len(request))
            return [self._one(call) for call in request]
        self.posts.append(1)
        return self._one(request)

    def _one(self, call: Any) -> dict[str, Any]:
        self.asked.append(call)
        return self.act(call, lambda: self._forward(call))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                liar.headers.append({k.lower(): v for k, v in self.headers.items()})
                liar.paths.append(self.path)
                try:
                    reply = liar.reply(liar._answer(json.loads(body)))
                except HangUp:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for key, value in reply.headers.items():
                    self.send_header(key, value)
                if reply.length is None:
                    self.send_header("Connection", "close")
                    self.close_connection = True
                else:
                    self.send_header("Content-Length", str(reply.length))
                self.end_headers()
                # A client that has seen enough hangs up; that is its right.
                with contextlib.suppress(OSError):
                    sent = 0
                    for chunk in reply.body:
                        self.wfile.write(chunk)
                        sent += len(chunk)
                    if reply.length is not None and sent != reply.length:
                        self.close_connection = True

            do_GET = do_POST  # noqa: N815 - a redirect that was followed would come so

            def log_message(self, *_: object) -> None:
                """Silence: a test says itself what it sees."""

        return Handler
