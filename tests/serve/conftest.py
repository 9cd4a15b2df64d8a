"""A home that is served, once for the tests that only read and once for each that changes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integrity.home import Home
from integrity.testing.serving import ServedHome

from .helpers import MIB, pattern, put

FILES = {
    "README": b"read me, a block in one file",
    "tool": pattern(MIB + 1000),
    "empty": b"",
    "docs/näme.txt": b"unicode",
}


@dataclass(frozen=True, slots=True)
class Served:
    """A release served at ``url``; ``files`` are its bytes, ``manifest`` is its digest."""

    url: str
    home: Home
    folder: Path
    files: dict[str, bytes]
    manifest: bytes


def _serve(place: Path) -> Iterator[Served]:
    home = Home.at(place / "home")
    manifest = put(home, place / "release", FILES)
    with ServedHome(home) as served:
        yield Served(served.url, home, place / "release", FILES, manifest)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """For tests that change nothing."""
    yield from _serve(tmp_path_factory.mktemp("served"))


@pytest.fixture
def own_served(tmp_path: Path) -> Iterator[Served]:
    """For a test that does what it likes with it."""
    yield from _serve(tmp_path)
