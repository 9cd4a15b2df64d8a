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

from . import geths
from .anvils import Anvil, running_anvil, with_registry
from .devchains import Chains
from .geths import Geth, running_geth
from .lying_rpc import LyingRpc
from .nodes import Node

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


both = pytest.mark.parametrize("kind", ["anvil", "geth"], indirect=True)
"""For a test that asks nothing of a node which is one implementation's own: run with each of them."""

both_at_length = pytest.mark.parametrize(
    "kind", ["anvil", pytest.param("geth", marks=pytest.mark.long)], indirect=True
)
"""The same where that takes its time: with geth among the long tests."""


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """Which node a test's chain has behind it: anvil, unless the test is for ``both``."""
    return str(getattr(request, "param", "anvil"))


@pytest.fixture(scope="session")
def geth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Geth]:
    """A geth for the whole session, with the registry on its chain."""
    folder = tmp_path_factory.mktemp("geth")
    with running_geth(folder) as running:
        yield geths.with_registry(running, folder / "deployer")


@pytest.fixture
def shared(kind: str, request: pytest.FixtureRequest) -> Node:
    """The chain of this kind that the session's tests have in common."""
    if kind == "geth":
        found: Node = request.getfixturevalue("geth")
        return found
    chain: DevelopmentChain = request.getfixturevalue("integrity_chain")
    return Anvil(chain.rpc)


@pytest.fixture
def node(kind: str, request: pytest.FixtureRequest) -> Node:
    """A chain that a test's publishers write to: an anvil of its own, or the session's geth."""
    found: Node = request.getfixturevalue(kind)
    return found


def _released(session: Session, folder: Path, *, wait: bool) -> Releases:
    (folder / "a").write_text("one")
    first = publish(session, folder, "tool", "1.0.0", wait=False)
    (folder / "a").write_text("two")
    second = publish(session, folder, "tool", "2.0.0", wait=False)
    other = publish(session, folder, "other", "1.0.0", wait=wait)
    return Releases(session, first, second, other)


@pytest.fixture(scope="session")
def anvil_releases(
    integrity_chain: DevelopmentChain, tmp_path_factory: pytest.TempPathFactory
) -> Releases:
    """Releases on the session's development chain."""
    session = Session(Home.at(tmp_path_factory.mktemp("publisher")))
    equip(session.home, integrity_chain.rpc)
    return _released(session, tmp_path_factory.mktemp("releases"), wait=True)


@pytest.fixture(scope="session")
def geth_releases(geth: Geth, tmp_path_factory: pytest.TempPathFactory) -> Releases:
    """The same on the session's geth, whose blocks do not come by themselves."""
    session = geth.publisher(tmp_path_factory.mktemp("publisher"))
    made = _released(session, tmp_path_factory.mktemp("releases"), wait=False)
    geth.settle()
    return made


@pytest.fixture
def releases(kind: str, request: pytest.FixtureRequest) -> Releases:
    """Final releases for tests that only read, on the chain of this kind."""
    found: Releases = request.getfixturevalue(f"{kind}_releases")
    return found


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
def lying_rpc(shared: Node) -> Iterator[MakeRpc]:
    """Makes nodes that lie, in front of the session's chain or of the one named."""
    with ExitStack() as stack:
        yield lambda upstream=shared.url: stack.enter_context(LyingRpc(upstream))


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
def session(node: Node, tmp_path: Path) -> Session:
    """A publisher on the chain that this test steers."""
    return node.publisher(tmp_path / "home")


@pytest.fixture
def address(session: Session) -> str:
    """The address of that publisher's key."""
    return session.key(None).address


@pytest.fixture
def chains(tmp_path: Path) -> Iterator[Chains]:
    made = Chains(tmp_path)
    yield made
    made.stop()
