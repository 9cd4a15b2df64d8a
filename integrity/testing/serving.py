"""A gateway over a home's store, on a thread of its own, with real sockets on loopback."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType

from aiohttp import web

from integrity.home import Home
from integrity.serve.gateway import make_app
from integrity.store.database import Store
from integrity.store.reading import BlockReader


class ServedHome:
    """Use as a context manager; ``url`` is where it listens."""

    def __init__(self, home: Home) -> None:
        self.url = ""
        self._home = home
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> ServedHome:
        self._thread.start()
        if not self._ready.wait(30):
            raise RuntimeError("the gateway did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        with Store(self._home.store) as store:
            app = make_app(BlockReader(store))
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                host, port = runner.addresses[0][:2]
                self.url = f"http://{host}:{port}"
                self._ready.set()
                await self._stop.wait()
            finally:
                await runner.cleanup()
