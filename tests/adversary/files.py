"""Servers that have files, as anybody sets one up: one that knows ranges, one that does not."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

from aiohttp import web

from integrity.testing.threaded import LoopServer, ThreadedServer


class PlainFiles(ThreadedServer):
    """``python -m http.server``, which answers every request with a whole file."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        server = self

        class Handler(SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append(self.path)
                with contextlib.suppress(OSError):  # a client that has seen enough hangs up
                    super().do_GET()

            def log_message(self, *_: object) -> None:
                """Silence: a test says itself what it sees."""

        super().__init__(functools.partial(Handler, directory=str(folder)))  # type: ignore[arg-type]


class RangedFiles(LoopServer):
    """aiohttp's static files, with ranges; use as a context manager. ``asked`` are (path, range)."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []
        self._folder = folder

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        async def note(request: web.Request, _: web.StreamResponse) -> None:
            self.asked.append((request.path, request.headers.get("range", "")))

        app = web.Application()
        app.router.add_static("/", self._folder)
        app.on_response_prepare.append(note)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0][:2])
        yield
        await runner.cleanup()
