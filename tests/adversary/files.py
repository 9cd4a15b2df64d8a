"""Servers that have files, as anybody sets one up: one that knows ranges, one that does not."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

from aiohttp import web

from integrity.testing.threaded import ThreadedServer


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


class RangedFiles:
    """aiohttp's static files, with ranges; use as a context manager. ``asked`` are (path, range)."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[tuple[str, str]] = []
        self.url = ""
        self._folder = folder
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> RangedFiles:
        self._thread.start()
        if not self._ready.wait(30):
            raise RuntimeError("the server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()

        async def note(request: web.Request, _: web.StreamResponse) -> None:
            self.asked.append((request.path, request.headers.get("range", "")))

        app = web.Application()
        app.router.add_static("/", self._folder)
        app.on_response_prepare.append(note)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{port}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()
