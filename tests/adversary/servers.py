"""A server that speaks in bytes: a test writes what each connection says, HTTP or not."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Line:
    """One connection. ``sent`` are the bytes that the kernel took; ``cut`` says the client hung up."""

    socket: socket.socket
    number: int
    sent: int = 0
    cut: bool = False
    targets: list[str] = field(default_factory=list)

    def hear(self) -> str | None:
        """The next request's target; None when the client has gone."""
        data = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in data:
                more = self.socket.recv(1 << 16)
                if not more:
                    return None
                data += more
            self.targets.append(data.split(b" ", 2)[1].decode("latin-1"))
            return self.targets[-1]
        return None

    def say(self, data: bytes) -> bool:
        """Send it -> whether the client still listens."""
        try:
            self.socket.sendall(data)
        except OSError:
            self.cut = True
            return False
        self.sent += len(data)
        return True

    def say_on(self, data: bytes, limit: int) -> None:
        """Send it again and again until the client hangs up, or for this many bytes at the most."""
        while self.sent < limit and self.say(data):
            pass

    def reset(self) -> None:
        """Hang up rudely: the client sees a reset, not an end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


Script = Callable[[Line], None]
"""What happens on one connection; it is closed when the script ends."""


class RawServer:
    """Use as a context manager; ``url`` is where it listens, ``lines`` what was said so far."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.lines: list[Line] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def targets(self) -> list[str]:
        """Everything that was asked for."""
        return [target for line in self.lines for target in line.targets]

    def __enter__(self) -> RawServer:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for line in self.lines:
            with contextlib.suppress(OSError):
                line.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def ended(self) -> None:
        """Returns once every connection's script has ended."""
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                connection.settimeout(60)
                line = Line(connection, len(self.lines))
                self.lines.append(line)
                thread = threading.Thread(target=self._talk, args=(line,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _talk(self, line: Line) -> None:
        with contextlib.suppress(OSError), line.socket:
            self.script(line)


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = -1) -> bytes:
    """A whole answer; ``length`` None leaves Content-Length out, -1 means the true one."""
    lines = [f"HTTP/1.1 {status}", *headers]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length < 0 else length}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def always(data: bytes) -> Script:
    """Says the same to every request, on one connection after the other."""

    def script(line: Line) -> None:
        while line.hear() is not None and line.say(data):
            pass

    return script


def once(data: bytes) -> Script:
    """Says it to the first request of a connection, and hangs up."""

    def script(line: Line) -> None:
        if line.hear() is not None:
            line.say(data)

    return script
