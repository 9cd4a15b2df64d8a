"""A terminal, with somebody at it who reads what is shown before typing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import subprocess
import termios
import time

from .running import COMMAND, User


def _take_the_terminal() -> None:
    """In the child: Ctrl-C at the terminal is for this process."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """Use as a context manager: the command runs with all its streams on one terminal."""

    def __init__(self, user: User, *arguments: str, **environment: str) -> None:
        self._master, slave = pty.openpty()
        self.shown = b""
        self.process = subprocess.Popen(
            [COMMAND, *arguments], cwd=user.place, env=user.env(TERM="xterm", **environment),
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=_take_the_terminal,  # noqa: PLW1509 - no threads run in these tests
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 1)[0]:
            return self.process.poll() is None
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return False
        self.shown += data
        return bool(data)

    def until(self, text: str) -> str:
        """Read until this is shown -> all that was shown so far."""
        deadline = time.monotonic() + 60
        while text.encode() not in self.shown:
            assert self._read(), f"it ended without {text!r}: {self.shown!r}"
            assert time.monotonic() < deadline, f"no {text!r}: {self.shown!r}"
        return self.shown.decode()

    def type(self, text: str) -> None:
        """Type at the terminal, control characters among it."""
        os.write(self._master, text.encode())

    def type_until_it_ends(self, text: str) -> None:
        """Type the same again each second while the command goes on, a minute at most."""
        for _ in range(60):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
                return
            self.type(text)

    def end(self) -> tuple[int, str]:
        """Read to the end -> exit code and all that was shown."""
        deadline = time.monotonic() + 60
        while self._read():
            assert time.monotonic() < deadline, f"it does not end: {self.shown!r}"
        return self.process.wait(60), self.shown.decode()
