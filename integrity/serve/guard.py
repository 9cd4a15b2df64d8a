"""Connections that wait for ever, or read for ever, do not keep others from being served.

A protocol between the socket and aiohttp's, which sees how each connection gets on: a request must
have arrived, and an answer must be read, at some speed; and when there are too many connections, the
one that has kept the server waiting longest makes room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

HEAD_SECONDS = 20.0
"""From the first byte of a request, or from connecting, until its headers are there."""

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

    def make(self) -> asyncio.Protocol:
        """A protocol for a new connection."""
        return _Guard(self._inner(), self)

    def add(self, guard: _Guard) -> None:
        """A connection was made; when there are too many, one that waits is closed."""
        if len(self._open) >= self._limit:
            longest = min(self._open, key=lambda g: g.waits_since or float("inf"))
            longest.give_up()
        self._open[guard] = None

    def remove(self, guard: _Guard) -> None:
        self._open.pop(guard, None)

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
    """``waits_since`` is the loop's time since when the client has let us wait, None if it has not."""

    def __init__(self, inner: asyncio.Protocol, guards: Guards) -> None:
        self._inner = inner
        self._guards = guards
        self._transport: asyncio.Transport | None = None
        self._tail = b""
        self._in_head = True
        self._left_at_look = 0
        self._given_up = False
        self.waits_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._wait()
        self._guards.add(self)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._guards.remove(self)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._given_up:
            return
        if not self._in_head:
            self._in_head = True
            self._wait()
        seen = self._tail + data
        if _HEAD_END in seen:
            self._in_head = False
            self.waits_since = None
        self._tail = b"" if seen.endswith(_HEAD_END) else seen[-3:]
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        assert self._transport is not None
        self._wait()
        self._left_at_look = self._transport.get_write_buffer_size()
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self.waits_since = None
        self._inner.resume_writing()

    def _wait(self) -> None:
        self.waits_since = asyncio.get_running_loop().time()

    def look(self, now: float, head_seconds: float, read_seconds: float) -> None:
        """Give up on a client that has let us wait too long."""
        if self.waits_since is None or self._transport is None:
            return
        waited = now - self.waits_since
        if self._in_head and waited > head_seconds:
            self._transport.write(_TIMEOUT)
            self._given_up = True
            self._transport.close()
        elif not self._in_head and waited > read_seconds:
            left = self._transport.get_write_buffer_size()
            if self._left_at_look - left < READ_BYTES:
                self.give_up()
            self._left_at_look = left
            self.waits_since = now

    def give_up(self) -> None:
        """Cut the connection."""
        self._given_up = True
        if self._transport is not None:
            self._transport.abort()
