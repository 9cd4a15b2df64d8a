"""The command as users run it: a process of its own, its output, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integrity.home import Home

COMMAND = Path(sys.executable).with_name("integrity")


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. ``out`` and ``err`` are what it wrote."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def errors(self) -> str:
        return self.err.decode()

    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        assert self.out.count(b"\n") == 1, self.out
        assert self.out.endswith(b"\n")
        assert self.out.isascii()
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    def error(self, name: str, code: int) -> dict[str, Any]:
        """The error object, which must have this name, with this exit code and nothing on stderr."""
        value = self.json()
        assert set(value) == {"error"}, value
        error: dict[str, Any] = value["error"]
        assert (error["name"], self.code) == (name, code), (error, self.code)
        return error


class User:
    """Somebody with a home of their own, working in ``place``. ``before`` is put before each command."""

    def __init__(self, place: Path, before: tuple[str, ...] = (), **environment: str) -> None:
        self.place = place
        self.before = before
        self.home = place / "home"
        self.environment = {"INTEGRITY_HOME": str(self.home)} | environment

    @property
    def own_home(self) -> Home:
        return Home.at(self.home)

    def env(self, **more: str) -> dict[str, str]:
        """The whole environment of a run: the test's own, without settings of whoever runs it."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("INTEGRITY_", "PYTHON"))}
        return own | self.environment | more

    def run(self, *arguments: str | bytes | Path, stdin: bytes = b"", **more: str) -> Result:
        """Run a command to its end; never on a terminal."""
        done = subprocess.run(
            [*self.before, COMMAND, *arguments], cwd=self.place, env=self.env(**more), input=stdin,
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        result = Result(done.returncode, done.stdout, done.stderr)
        assert b"Traceback" not in result.err, result.errors
        assert result.code != 1, result.errors
        return result

    def ok(self, *arguments: str | bytes | Path, **more: str) -> Result:
        """Run a command that must succeed."""
        result = self.run(*arguments, stdin=b"", **more)
        assert result.code == 0, (result.out, result.err)
        return result

    def start(self, *arguments: str | Path, **more: str) -> subprocess.Popen[bytes]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            [*self.before, COMMAND, *arguments], cwd=self.place, env=self.env(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
