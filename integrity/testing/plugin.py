"""A pytest plugin: a chain of one's own, a funded publisher, a served release, a source that lies.

Installed with the library, so its fixtures are there in every test session. Nothing is started
unless a test asks for it; what is heavy is imported only then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from integrity.client.session import Session
    from integrity.devchain.chain import DevelopmentChain
    from integrity.publishing.publish import Published
    from integrity.testing.liar import Act, LyingSource
    from integrity.testing.serving import ServedHome

BLOCK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class ServedRelease:
    """A release that is recorded, final, and served at ``url``; ``folder`` is where its files are."""

    published: Published
    publisher: Session
    folder: Path
    url: str


@pytest.fixture(scope="session")
def integrity_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevelopmentChain]:
    """A development chain with the registry on it, for the whole session; ``.rpc`` is its URL."""
    from integrity.devchain.chain import DevelopmentChain
    from integrity.home import Home

    home = Home.at(tmp_path_factory.mktemp("integrity-chain"))
    chain = DevelopmentChain(home, block_seconds=BLOCK_SECONDS, owner=os.getpid())
    chain.start()
    yield chain
    chain.stop()


@pytest.fixture
def integrity_publisher(
    integrity_chain: DevelopmentChain, tmp_path_factory: pytest.TempPathFactory
) -> Session:
    """The session of a home of its own, with one funded key and the chain as its default."""
    from integrity.client.session import Session
    from integrity.home import Home
    from integrity.testing.people import equip

    session = Session(Home.at(tmp_path_factory.mktemp("integrity-publisher")))
    equip(session.home, integrity_chain.rpc)
    return session


@pytest.fixture
def integrity_reader(
    integrity_chain: DevelopmentChain, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Session]:
    """Makes the session of a stranger's home that was told to believe one address."""
    from integrity.client.session import Session
    from integrity.home import Home

    def make(publisher: str) -> Session:
        home = Home.at(tmp_path_factory.mktemp("integrity-reader"))
        return Session(home, rpc=(integrity_chain.rpc,), publisher=publisher)

    return make


@pytest.fixture
def integrity_serve() -> Iterator[Callable[[Session], ServedHome]]:
    """Serves a session's store until the test ends."""
    from integrity.testing.serving import ServedHome

    with ExitStack() as stack:
        yield lambda session: stack.enter_context(ServedHome(session.home))


@pytest.fixture
def integrity_release(
    integrity_publisher: Session,
    integrity_serve: Callable[[Session], ServedHome],
    tmp_path: Path,
) -> ServedRelease:
    """``tool@1.0.0``: a text, an executable of several pieces, an empty file and one in a folder."""
    from integrity.publishing.publish import publish

    folder = tmp_path / "tool"
    (folder / "docs" / "deep").mkdir(parents=True)
    (folder / "README").write_text("a tool\n")
    (folder / "empty").touch()
    (folder / "docs" / "deep" / "notes.txt").write_text("notes\n" * 1000)
    program = folder / "program"
    program.write_bytes(bytes(range(251)) * 11_000)
    program.chmod(0o755)
    published = publish(integrity_publisher, folder, "tool", "1.0.0")
    served = integrity_serve(integrity_publisher)
    return ServedRelease(published, integrity_publisher, folder, served.url)


@pytest.fixture
def integrity_liar() -> Iterator[Callable[..., LyingSource]]:
    """Makes sources that lie: ``integrity_liar(url_of_an_honest_one, act)``."""
    from integrity.testing.liar import LyingSource, flip

    with ExitStack() as stack:

        def make(upstream: str, act: Act = flip) -> LyingSource:
            return stack.enter_context(LyingSource(upstream, act))

        yield make
