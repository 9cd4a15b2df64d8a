"""Releases on a real chain, published once for all tests that do not change them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from integrity.client.session import Session
from integrity.core.links import Link
from integrity.devchain.chain import DevelopmentChain
from integrity.home import Home
from integrity.publishing.publish import publish
from integrity.testing.people import equip
from integrity.testing.serving import ServedHome

from .helpers import MIB, Release, pattern, record, write_tree

MIXED = {
    "README": b"a tool\n",
    "bin/tool": pattern(3 * MIB + 17, 1),
    "bin/exact": pattern(2 * MIB, 2),
    "empty": b"",
    "docs/näme 💡.txt": b"unicode\n",
    'docs/quo"te': b"quoted\n",
    "a-b": b"sorts before a/",
    "a/b/c/d": b"deep\n",
    "also empty/in a folder": b"",
}
EXECUTABLE = {"bin/tool", "a-b"}

ReaderOf = Callable[[Link], Session]


@pytest.fixture(scope="session")
def publisher(
    integrity_chain: DevelopmentChain, tmp_path_factory: pytest.TempPathFactory
) -> Session:
    """The session of one publisher for all tests of this folder."""
    session = Session(Home.at(tmp_path_factory.mktemp("publisher")))
    equip(session.home, integrity_chain.rpc)
    return session


@pytest.fixture(scope="session")
def gateway(publisher: Session) -> Iterator[str]:
    """The URL at which everything of the publisher's store is served."""
    with ServedHome(publisher.home) as served:
        yield served.url


Publish = Callable[..., Release]


@pytest.fixture(scope="session")
def published(
    publisher: Session, gateway: str, tmp_path_factory: pytest.TempPathFactory
) -> Publish:
    """Publishes files under a package of its own: ``published("name", files)``."""

    def make(
        package: str,
        files: dict[str, bytes],
        version: str = "1.0.0",
        executable: Iterable[str] = (),
    ) -> Release:
        folder = tmp_path_factory.mktemp(f"release-{package}") / package
        write_tree(folder, files)
        for path in executable:
            (folder / path).chmod(0o755)
        result = publish(publisher, folder, package, version)
        return Release(result, publisher, folder, gateway, files)

    return make


@pytest.fixture(scope="session")
def mixed(published: Publish) -> Release:
    """Files of many kinds: of several pieces, empty, executable, with odd names, deep."""
    return published("mixed", MIXED, executable=EXECUTABLE)


@pytest.fixture(scope="session")
def pieces(published: Publish) -> Release:
    """One file of eight and a half pieces, and a small one."""
    return published("pieces", {"large": pattern(8 * MIB + 500_000, 3), "small": b"small"})


@pytest.fixture
def reader_of(integrity_chain: DevelopmentChain, tmp_path: Path) -> ReaderOf:
    """Makes the session of a stranger's home that was told to believe a link's publisher."""
    homes = iter(range(100))

    def make(link: Link) -> Session:
        home = Home.at(tmp_path / f"reader-{next(homes)}")
        return Session(home, rpc=(integrity_chain.rpc,), publisher=link.publisher)

    return make


Record = Callable[[bytes], Link]


@pytest.fixture(scope="session")
def recorded(publisher: Session) -> Record:
    """Records any digest under a package of its own."""
    numbers = iter(range(1000))
    return lambda digest: record(publisher, f"hostile-{next(numbers)}", "1", digest)


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    """Closes what a test opened."""
    with ExitStack() as stack:
        yield stack
