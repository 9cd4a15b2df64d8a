"""Users with homes of their own on the session's chain, and one release of theirs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from integrity.devchain.chain import DevelopmentChain
from integrity.home import Home
from integrity.testing.people import equip
from integrity.testing.serving import ServedHome
from tests.chain.conftest import anvil, bare_anvil, canned, geth, kind, lying_rpc, node, shared
from tests.chain.geths import Geth
from tests.chain.nodes import Node

from .running import Result, User

__all__ = [
    "anvil", "bare_anvil", "canned", "geth", "kind", "lying_rpc", "node", "shared",
]  # fmt: skip

MakeUser = Callable[..., User]


@dataclass(frozen=True, slots=True)
class Release:
    """``tool@1.0.0`` as its publisher's command reported it; ``url`` serves it."""

    publisher: User
    folder: Path
    report: dict[str, Any]
    url: str

    @property
    def link(self) -> str:
        return str(self.report["link"])

    @property
    def address(self) -> str:
        return str(self.report["publisher"])


def fill(folder: Path) -> Path:
    """Files of every kind a release can have."""
    (folder / "docs").mkdir(parents=True)
    (folder / "README").write_text("a tool\n")
    (folder / "docs" / "größe.txt").write_text("notes\n" * 1000)
    (folder / "empty").touch()
    program = folder / "program"
    program.write_bytes(bytes(range(251)) * 9_000)
    program.chmod(0o755)
    return folder


@pytest.fixture
def user(tmp_path: Path) -> User:
    """Somebody whose home holds nothing."""
    return User(tmp_path)


@pytest.fixture
def publisher(tmp_path: Path, integrity_chain: DevelopmentChain) -> User:
    """Somebody with a funded key, whose home is set up for the session's chain."""
    user = User(tmp_path)
    equip(user.own_home, integrity_chain.rpc)
    return user


PUBLISH = ("publish", "tool", "--package", "tool", "--version", "1.0.0", "--json")


@pytest.fixture(scope="session")
def anvil_release(
    integrity_chain: DevelopmentChain, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """The release on the session's development chain."""
    place = tmp_path_factory.mktemp("publisher")
    user = User(place)
    equip(user.own_home, integrity_chain.rpc)
    folder = fill(place / "tool")
    report = user.ok(*PUBLISH).json()
    with ServedHome(Home.at(user.home)) as served:
        yield Release(user, folder, report, served.url)


@pytest.fixture(scope="session")
def geth_release(geth: Geth, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """The same on the session's geth, whose blocks come while the command waits for one to be final."""
    place = tmp_path_factory.mktemp("publisher")
    user = User(place)
    address = geth.publisher(user.home).key(None).address
    folder = fill(place / "tool")
    waiting = user.start(*PUBLISH)
    while geth.nonce(address) == 0 and waiting.poll() is None:
        time.sleep(0.05)
    geth.settle()
    out, err = waiting.communicate()
    report = Result(waiting.returncode, out, err).json()
    assert report["final"] is True
    with ServedHome(Home.at(user.home)) as served:
        yield Release(user, folder, report, served.url)


@pytest.fixture
def release(kind: str, request: pytest.FixtureRequest) -> Release:
    """One release for all tests that only read."""
    found: Release = request.getfixturevalue(f"{kind}_release")
    return found


@pytest.fixture
def reader(user: User, shared: Node) -> User:
    """A stranger who knows a node of the chain, and nobody else."""
    user.environment["INTEGRITY_RPC"] = shared.url
    return user
