"""Connections that wait for ever, or read for ever, do not keep others from being served.

A protocol between the socket and aiohttp's, which sees how each connection gets on: a request must
have arrived, and an answer must be read, at some speed; and when there are too many connections, the
one that has kept the server waiting longest makes room.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Iterator

from integrity.net.sockets import unsent

HEAD_SECONDS = 20.0
"""From the first byte of a request, or from connecting, until its headers have come."""

READ_SECONDS = 30.0
READ_BYTES = 32 << 10
"""An answer of which fewer than READ_BYTES were taken in READ_SECONDS is given up: 1 KiB a second."""

CONNECTIONS = 4000

_LOOK_SECONDS = 5.0
_HEAD_END = b"\r\n\r\n"
_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Guards:
    """All connections of one server; :meth:`make` is its protocol factory."""

    def __init__(
        self, inner: Callable[[], asyncio.Protocol], *, limit: int = CONNECTIONS,
        head_seconds: float = HEAD_SECONDS, read_seconds: float = READ_SECONDS,
    ) -> None:  # fmt: skip
        self._inner = inner
        self._limit = limit
        self._head_seconds = head_seconds
        self._read_seconds = read_seconds
        self._open: dict[_Guard, None] = {}
        self._by_transport: weakref.WeakKeyDictionary[asyncio.BaseTransport, _Guard] = (
            weakref.WeakKeyDictionary()
        )

    def make(self) -> asyncio.Protocol:
        """A protocol for a new connection."""
        return _Guard(self._inner(), self)

    def add(self, guard: _Guard, transport: asyncio.BaseTransport) -> None:
        """A connection was made; when there are too many, the one that waits longest is closed."""
        while len(self._open) >= self._limit:
            longest = min(self._open, key=lambda g: g.waits_since)
            self.remove(longest)
            longest.give_up()
        self._open[guard] = None
        self._by_transport[transport] = guard

    def remove(self, guard: _Guard) -> None:
        self._open.pop(guard, None)

    def working(
        self, transport: asyncio.BaseTransport | None
    ) -> contextlib.AbstractContextManager[None]:
        """Around the handling of a request of this connection."""
        guard = self._by_transport.get(transport) if transport is not None else None
        return contextlib.nullcontext() if guard is None else guard.working()

    async def watch(self) -> None:
        """Look at the connections now and then, for ever."""
        loop = asyncio.get_running_loop()
        pause = min(_LOOK_SECONDS, self._head_seconds / 4, self._read_seconds / 4)
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            for guard in list(self._open):
                guard.look(now, self._head_seconds, self._read_seconds)


class _Guard(asyncio.Protocol):
    """Since when the client has let us wait, by the loop's clock and None while it has not: for a
    request, for its reading, and for its next request.
    """

    def __init__(self, inner: asyncio.Protocol, guards: Guards) -> None:
        self._inner = inner
        self._guards = guards
        self._transport: asyncio.Transport | None = None
        self._asking_since: float | None = None
        self._reading_since: float | None = None
        self._idle_since: float | None = None
        self._working = 0
        self._begun = False
        self._left_at_look = 0
        self._given_up = False

    @property
    def waits_since(self) -> float:
        """Infinite when the client has not let us wait."""
        since = (self._asking_since, self._reading_since, self._idle_since)
        return min((moment for moment in since if moment is not None), default=float("inf"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._asking_since = _now()
        self._guards.add(self, transport)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._guards.remove(self)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._given_up:
            return
        head, _, after = data.rpartition(_HEAD_END)
        self._begun = bool(after) if head or after != data else True
        if self._asking_since is None and not self._working:
            self._asking_since, self._idle_since = _now(), None
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        assert self._transport is not None
        self._reading_since = _now()
        self._left_at_look = self._left()
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._reading_since = None
        self._inner.resume_writing()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Around the handling of a request, whose headers have come."""
        self._asking_since = self._idle_since = None
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1
            if self._begun:  # the next one came with it, at least its beginning
                self._asking_since = _now()
            else:
                self._idle_since = _now()

    def look(self, now: float, head_seconds: float, read_seconds: float) -> None:
        """Give up on a client that has let us wait too long."""
        if self._transport is None:
            return
        if self._asking_since is not None and now - self._asking_since > head_seconds:
            if self._transport.get_write_buffer_size():  # it does not read either
                self.give_up()
            else:
                self._given_up = True
                self._transport.write(_TIMEOUT)
                self._transport.close()
        elif self._reading_since is not None and now - self._reading_since > read_seconds:
            left = self._left()
            if self._left_at_look - left < READ_BYTES:
                self.give_up()
            self._left_at_look = left
            self._reading_since = now

    def _left(self) -> int:
        """Bytes of answers that the client has not taken yet."""
        assert self._transport is not None
        return self._transport.get_write_buffer_size() + unsent(
            self._transport.get_extra_info("socket")
        )

    def give_up(self) -> None:
        """Cut the connection."""
        self._given_up = True
        if self._transport is not None:
            self._transport.abort()


def _now() -> float:
    return asyncio.get_running_loop().time()
