"""The chain goes on while files are downloaded: new releases, revocations, records that are dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from integrity import get, publish
from integrity.client.session import Session
from integrity.downloading.mirroring import Mirror
from integrity.errors import ReleaseNotFound, Revoked
from integrity.home import Home
from integrity.ports import MANIFEST, Order, Source
from integrity.publishing.publish import Published
from integrity.sources.gateway import GatewaySource
from integrity.store.database import Store
from integrity.testing.serving import ServedHome
from tests.chain.anvils import Anvil, with_registry
from tests.chain.conftest import MakeAnvil, bare_anvil
from tests.chain.lying_rpc import LyingRpc

from .helpers import MIB, pattern, tree_of, write_tree

__all__ = ["bare_anvil"]

FILES = {"program": pattern(3 * MIB), "README": b"read me"}
PART = {f"tree/{path}": data for path, data in FILES.items()}


class Meanwhile:
    """Another source, before whose first piece of a file something happens."""

    is_local = False
    may_gain = False
    connections = 1

    def __init__(self, source: Source, happens: Callable[[], object]) -> None:
        self.name = source.name
        self._source = source
        self._happens: Callable[[], object] | None = happens

    def fetch(self, order: Order) -> None:
        if self._happens is not None and order.pieces[0].path != MANIFEST:
            self._happens()
            self._happens = None
        self._source.fetch(order)

    def close(self) -> None:
        self._source.close()


@pytest.fixture
def anvil(bare_anvil: MakeAnvil) -> Anvil:
    return with_registry(bare_anvil("--slots-in-an-epoch", "1"))


@pytest.fixture
def publisher(anvil: Anvil, tmp_path: Path) -> Session:
    return anvil.publisher(tmp_path / "publisher")


def release(anvil: Anvil, publisher: Session, folder: Path, version: str) -> Published:
    done = publish(publisher, folder, "tool", version, wait=False)
    anvil.settle()
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tree(tmp_path / "tool", FILES)
    return tmp_path / "tool"


@pytest.fixture
def first(anvil: Anvil, publisher: Session, folder: Path) -> Published:
    return release(anvil, publisher, folder, "1")


@pytest.fixture
def source(publisher: Session, first: Published) -> Iterator[Source]:
    with ServedHome(publisher.home) as served:
        gateway = GatewaySource(served.url)
        yield gateway
        gateway.close()


@pytest.fixture
def reader(anvil: Anvil, tmp_path: Path, publisher: Session) -> Session:
    home = Home.at(tmp_path / "reader")
    return Session(home, rpc=(anvil.url,), publisher=publisher.key(None).address)


def test_a_version_published_meanwhile_changes_nothing(
    anvil: Anvil, publisher: Session, reader: Session, first: Published, source: Source, tmp_path: Path
) -> None:  # fmt: skip
    def publish_another() -> None:
        write_tree(tmp_path / "newer", {"README": b"another"})
        release(anvil, publisher, tmp_path / "newer", "2")

    latest = replace(first.link, version=None, pin=None)
    got = get(reader, latest, tmp_path / "out", sources=[Meanwhile(source, publish_another)])
    assert (got.verdict, got.header.version) == ("verified", "1")
    assert tree_of(tmp_path / "out") == FILES
    assert not got.record.is_latest, "as of the block of the second look"


def test_a_release_revoked_meanwhile_is_not_verified(
    anvil: Anvil,
    publisher: Session,
    reader: Session,
    first: Published,
    source: Source,
    tmp_path: Path,
) -> None:
    def revoke() -> None:
        anvil.act(publisher, "revoke", first.link.publisher, "tool", "1", 2, "")
        anvil.settle()

    with pytest.raises(Revoked) as caught:
        get(reader, first.link, tmp_path / "out", sources=[Meanwhile(source, revoke)], share=True)
    with Store(reader.home.store) as store:
        assert not store.releases(), "nor offered to anybody"
    assert "out.part" in caught.value.next
    assert not (tmp_path / "out").exists()
    assert tree_of(tmp_path / "out.part").items() >= PART.items()


def test_a_mirror_lets_go_of_a_revoked_release_though_it_was_named(
    anvil: Anvil,
    publisher: Session,
    reader: Session,
    first: Published,
    source: Source,
    tmp_path: Path,
) -> None:
    told: list[str] = []
    folder = tmp_path / "mirror"
    mirror = Mirror(reader, [first.link], folder, 1, [source])
    mirror.round(lambda event: told.append(event.what))
    anvil.act(publisher, "revoke", first.link.publisher, "tool", "1", 2, "")
    anvil.settle()
    mirror.round(lambda event: told.append(event.what))
    mirror.round(lambda event: told.append(event.what))
    assert told == ["fetched", "dropped"]
    assert list(folder.iterdir()) == []
    with Store(reader.home.store) as store:
        assert not store.releases()


def test_a_record_that_the_chain_drops_meanwhile_is_not_verified_and_no_piece_is_lost(
    anvil: Anvil, publisher: Session, reader: Session, folder: Path, first: Published,
    source: Source, tmp_path: Path,
) -> None:  # fmt: skip
    sources = [Meanwhile(source, lambda: anvil.call("anvil_reorg", 6, []))]
    with pytest.raises(ReleaseNotFound, match="the chain dropped it") as caught:
        get(reader, first.link, tmp_path / "out", sources=sources)
    assert "out.part" in caught.value.next
    assert not (tmp_path / "out").exists()
    assert tree_of(tmp_path / "out.part").items() >= PART.items()
    release(anvil, publisher, folder, "1")  # the transaction that is in the journal, once more
    got = get(reader, first.link, tmp_path / "out", sources=sources)
    assert got.verdict == "verified"
    assert got.fetched < MIB, "the manifest alone"
    assert tree_of(tmp_path / "out") == FILES


def test_a_node_that_is_gone_at_the_end_is_a_warning(
    anvil: Anvil, reader: Session, first: Published, source: Source, tmp_path: Path
) -> None:
    with LyingRpc(anvil.url) as rpc:
        sources = [Meanwhile(source, rpc.__exit__)]
        got = get(replace(reader, rpc=(rpc.url,)), first.link, tmp_path / "out", sources=sources)
    assert got.verdict == "verified"
    assert any("still stands" in warning for warning in got.warnings)
