"""A gateway over a home's store, on a thread of its own, with real sockets on loopback."""

from __future__ import annotations

import asyncio
import threading

from integrity.home import Home
from integrity.serve.running import Serving, serving
from integrity.store.database import Store


class ServedHome:
    """Use as a context manager; ``url`` is where it listens."""

    def __init__(self, home: Home, how: Serving | None = None) -> None:
        self.url = ""
        self._home = home
        self._how = how or Serving()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> ServedHome:
        self._thread.start()
        if not self._ready.wait(30):
            raise RuntimeError("the gateway did not start")
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        with Store(self._home.store) as store:
            async with serving(store, self._how) as self.url:
                self._ready.set()
                await self._stop.wait()
