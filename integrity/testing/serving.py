"""A gateway over a home's store, on a thread of its own, with real sockets on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from integrity.home import Home
from integrity.serve.running import Serving, serving
from integrity.store.database import Store
from integrity.testing.threaded import LoopServer


class ServedHome(LoopServer):
    """Use as a context manager; ``url`` is where it listens."""

    def __init__(self, home: Home, how: Serving | None = None) -> None:
        super().__init__()
        self._home = home
        self._how = how or Serving()

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        with Store(self._home.store) as store:
            async with serving(store, self._how) as self.url:
                yield
