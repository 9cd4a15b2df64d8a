"""Chains and nodes for the tests of whatever talks to one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from integrity import publish
from integrity.client.session import Session
from integrity.devchain.chain import DevelopmentChain
from integrity.home import Home
from integrity.publishing.publish import Published
from integrity.testing.people import equip

from .anvils import Anvil, running_anvil, with_registry
from .devchains import Chains
from .lying_rpc import LyingRpc

MakeAnvil = Callable[..., Anvil]
MakeRpc = Callable[..., LyingRpc]


@dataclass(frozen=True, slots=True)
class Releases:
    """Final releases of one publisher: of ``tool`` 1.0.0 and then 2.0.0, of ``other`` 1.0.0."""

    publisher: Session
    first: Published
    second: Published
    other: Published

    @property
    def address(self) -> str:
        return self.first.link.publisher


@pytest.fixture(scope="session")
def releases(
    integrity_chain: DevelopmentChain, tmp_path_factory: pytest.TempPathFactory
) -> Releases:
    """Releases for tests that only read, on the session's chain."""
    session = Session(Home.at(tmp_path_factory.mktemp("publisher")))
    equip(session.home, integrity_chain.rpc)
    folder = tmp_path_factory.mktemp("releases")
    (folder / "a").write_text("one")
    first = publish(session, folder, "tool", "1.0.0", wait=False)
    (folder / "a").write_text("two")
    second = publish(session, folder, "tool", "2.0.0", wait=False)
    other = publish(session, folder, "other", "1.0.0")
    return Releases(session, first, second, other)


@pytest.fixture
def bare_anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeAnvil]:
    """Makes anvils without anything on them: ``bare_anvil("--chain-id", "1")``."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(
            running_anvil(tmp_path_factory.mktemp("anvil"), *options)
        )


@pytest.fixture
def anvil(bare_anvil: MakeAnvil) -> Anvil:
    """A chain that this test alone steers, with the registry on it; it mines when it is sent
    something, or told to.
    """
    return with_registry(bare_anvil())


@pytest.fixture
def lying_rpc(integrity_chain: DevelopmentChain) -> Iterator[MakeRpc]:
    """Makes nodes that lie, in front of the session's chain or of the one named."""
    with ExitStack() as stack:
        yield lambda upstream=integrity_chain.rpc: stack.enter_context(LyingRpc(upstream))


@pytest.fixture
def canned() -> Iterator[LyingRpc]:
    """A server with no node behind it: its hooks make up every answer."""
    with LyingRpc() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two files to publish."""
    folder = tmp_path / "tool"
    folder.mkdir()
    (folder / "README").write_text("a tool\n")
    (folder / "program").write_bytes(bytes(range(256)) * 8)
    return folder


@pytest.fixture
def session(anvil: Anvil, tmp_path: Path) -> Session:
    """A publisher on the chain that this test steers."""
    return anvil.publisher(tmp_path / "home")


@pytest.fixture
def address(session: Session) -> str:
    """The address of that publisher's key."""
    return session.key(None).address


@pytest.fixture
def chains(tmp_path: Path) -> Iterator[Chains]:
    made = Chains(tmp_path)
    yield made
    made.stop()
