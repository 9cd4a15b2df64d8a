"""How many bytes may wait in memory for readers to take them, over all answers together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

LIMIT = 256 << 20


class Budget:
    """For one event loop."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._left = limit
        self._held: dict[asyncio.BaseTransport, int] = {}

    def has_room(self, size: int) -> bool:
        """Whether that many bytes more may be held."""
        return size <= self._left

    @contextlib.contextmanager
    def holding(self, size: int, transport: asyncio.BaseTransport) -> Iterator[None]:
        """Hold bytes for a connection while they are sent. When there is no room, whoever has held
        theirs longest is cut off.
        """
        while size > self._left and (slowest := next(iter(self._held), None)) is not None:
            self._let_go(slowest)
            if isinstance(slowest, asyncio.Transport):
                slowest.abort()
        self._held[transport] = self._held.pop(transport, 0) + size
        self._left -= size
        try:
            yield
        finally:
            self._let_go(transport)

    def _let_go(self, transport: asyncio.BaseTransport) -> None:
        self._left += self._held.pop(transport, 0)
