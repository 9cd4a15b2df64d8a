"""The program under a disk that fails, and a release for it to download."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from integrity.home import Home
from tests.client.conftest import gateway, published, publisher
from tests.client.helpers import Release, pattern

from .disk import Plan

__all__ = ["gateway", "published", "publisher"]

MIB = 1 << 20
FILES = {
    "bin/tool": pattern(3 * MIB + 5, 1), "bin/other": pattern(2 * MIB, 2), "README": b"read me",
    "docs/deep/a": b"a", "docs/b": b"b", "empty": b"",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """``code`` is negative for the signal that ended it; ``calls`` is empty then."""

    code: int
    out: dict[str, Any]
    errors: str
    calls: list[str]
    forgotten: int
    """Writes that a failed sync forgot, and that are still taken for written."""


class Program:
    """Runs the real program below ``place``, whose changes are the ones that count."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._numbers = iter(range(1_000_000))
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def close(self) -> None:
        assert self._zygote.stdin is not None
        self._zygote.stdin.close()
        self._zygote.wait(60)

    def place(self) -> Path:
        """A new folder to run in."""
        place = self._work / f"place-{next(self._numbers)}"
        place.mkdir()
        return place

    def run(
        self, place: Path, arguments: list[str], environment: dict[str, str], plan: Plan
    ) -> Outcome:
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        files = {name: self._work / name for name in ("stdout", "stderr", "calls")}
        for path in files.values():
            path.unlink(missing_ok=True)
        job = {
            "place": str(place), "root": str(place), "arguments": [*arguments, "--json"],
            "environment": environment, "plan": asdict(plan) | {"loss": plan.loss.value},
            **{name: str(path) for name, path in files.items()},
        }  # fmt: skip
        self._zygote.stdin.write(json.dumps(job) + "\n")
        self._zygote.stdin.flush()
        code = int(self._zygote.stdout.readline())
        text = files["stdout"].read_text()
        seen: dict[str, Any] = {"calls": [], "forgotten": 0}
        if files["calls"].exists():
            seen = json.loads(files["calls"].read_text())
        return Outcome(code, json.loads(text) if text else {}, files["stderr"].read_text(), **seen)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    started = Program(tmp_path_factory.mktemp("crash"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def release(published: Any) -> Release:
    made: Release = published("crashing", FILES, executable=["bin/tool"])
    return made


@pytest.fixture
def environment(tmp_path: Path, integrity_chain: Any, release: Release) -> dict[str, str]:
    home = Home.at(tmp_path / "home")
    return {
        "INTEGRITY_HOME": os.fspath(home.data_folder), "INTEGRITY_RPC": integrity_chain.rpc,
    }  # fmt: skip
