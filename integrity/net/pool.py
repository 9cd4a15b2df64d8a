"""urllib3 with a limit on how long an answer may take as a whole.

A socket's timeout starts anew with each byte, so that a server which sends one now and then, or
``100 Continue`` without end, holds its client for ever. Here one thread looks at all answers that are
awaited and shuts the connections of those whose time is up.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError

from integrity.net.hosts import is_public

_LOOK_SECONDS = 0.25
_LINGER_SECONDS = 5.0


@dataclass(eq=False, slots=True)
class _Wait:
    connection: socket.socket
    deadline: float
    is_over: bool = False


class _Watch:
    """The waits of all connections, and the thread that looks at them while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waits: set[_Wait] = set()
        self._thread: threading.Thread | None = None

    def begin(self, wait: _Wait) -> None:
        with self._lock:
            self._waits.add(wait)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="deadlines", daemon=True)
                self._thread.start()

    def end(self, wait: _Wait) -> None:
        with self._lock:
            self._waits.discard(wait)

    def _look(self) -> None:
        idle_since = time.monotonic()
        while True:
            time.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            with self._lock:
                if self._waits:
                    idle_since = now
                elif now - idle_since > _LINGER_SECONDS:
                    self._thread = None
                    return
                for wait in self._waits:
                    if now > wait.deadline and not wait.is_over:
                        wait.is_over = True
                        with contextlib.suppress(OSError):
                            wait.connection.shutdown(socket.SHUT_RDWR)


_WATCH = _Watch()


@contextlib.contextmanager
def limited(connection: socket.socket | None, seconds: float) -> Iterator[None]:
    """Raises TimeoutError, instead of whatever the shut connection leads to, when what is done
    meanwhile takes longer than that.
    """
    if connection is None:
        yield
        return
    wait = _Wait(connection, time.monotonic() + seconds)
    _WATCH.begin(wait)
    try:
        yield
    except Exception as error:
        if wait.is_over:
            raise TimeoutError(f"no whole answer after {seconds:g} seconds") from error
        raise
    finally:
        _WATCH.end(wait)
    if wait.is_over:
        raise TimeoutError(f"no whole answer after {seconds:g} seconds")


def pool_manager(
    head_seconds: float, *, public_only: bool = False, **options: Any
) -> urllib3.PoolManager:
    """A PoolManager whose answers must have begun, status and headers whole, in that many seconds.

    With ``public_only`` it connects to public addresses alone: whatever a name means is looked up
    once, and what was looked at is what is connected to.
    """

    class Limited:
        sock: socket.socket | None

        def getresponse(self) -> Any:
            with limited(self.sock, head_seconds):
                return super().getresponse()  # type: ignore[misc]

        def _new_conn(self) -> Any:
            if public_only:
                self._dns_host = _public_address(self, self.host, self.port)  # type: ignore[attr-defined]
            return super()._new_conn()  # type: ignore[misc]

    class Plain(Limited, HTTPConnection):
        pass

    class Secure(Limited, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    manager = urllib3.PoolManager(**options)
    manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return manager


def _public_address(connection: Any, host: str, port: int) -> str:
    """One address of a host all of whose addresses are public. Raises urllib3's NewConnectionError."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NameResolutionError(host, connection, error) from error  # type: ignore[arg-type]
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not is_public(address):
            refusal = PermissionError(errno.EACCES, f"{host} is at {address}, which is not public")
            raise NewConnectionError(connection, str(refusal)) from refusal
    return addresses[0]
