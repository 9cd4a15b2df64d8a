"""What one downloads is offered to others if one says so, and to nobody else."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from integrity.client.session import Session
from integrity.core.cid import raw_cid
from integrity.core.selection import Selection
from integrity.errors import SourcesUnavailable
from integrity.publishing.publish import publish
from integrity.sources.gateway import GatewaySource
from integrity.store.database import Store
from integrity.testing.serving import ServedHome
from tests.adversary.sources import MemorySource, refuse
from tests.serve.helpers import ask

from .conftest import MIXED, ReaderOf
from .helpers import MIB, Release, get, sha256, tree_of, write_tree


@pytest.fixture
def reader(pieces: Release, reader_of: ReaderOf) -> Session:
    return reader_of(pieces.link)


@pytest.fixture
def served(reader: Session) -> Iterator[str]:
    """What the reader's home offers."""
    with ServedHome(reader.home) as running:
        yield running.url


def offers(url: str, digest: bytes) -> bool:
    reply = ask(url, f"/ipfs/{raw_cid(digest)}?format=raw")
    assert reply.status in {200, 404}
    return reply.status == 200 and sha256(reply.body) == digest


def digests(release: Release) -> list[bytes]:
    data = release.files["large"]
    return [sha256(data[at : at + MIB]) for at in range(0, len(data), MIB)]


def test_without_being_told_nothing_is_offered(
    pieces: Release, reader: Session, tmp_path: Path
) -> None:
    get(reader, pieces.link, tmp_path / "out", sources=[MemorySource(pieces.blocks)])
    assert not reader.home.store.exists()


def test_a_running_server_offers_what_has_arrived_piece_by_piece(
    pieces: Release, reader: Session, served: str, tmp_path: Path
) -> None:
    wanted = digests(pieces)
    held, go_on = threading.Event(), threading.Event()

    def act(digest: bytes, block: bytes) -> bytes:
        if digest == wanted[6]:
            held.set()
            go_on.wait()
        return block

    source = MemorySource(pieces.blocks, act, connections=1)

    def run() -> None:
        get(reader, pieces.link, tmp_path / "out", sources=[source], share=True)

    thread = threading.Thread(target=run)
    thread.start()
    assert held.wait(60)
    there = [offers(served, digest) for digest in wanted]
    assert not there[6]
    assert sum(there) >= 3
    assert offers(served, pieces.published.manifest)
    go_on.set()
    thread.join()
    for digest in [*wanted, sha256(b"small")]:
        assert offers(served, digest)


@pytest.mark.parametrize("still", [True, False])
def test_a_download_that_goes_on_later_is_offered_from_where_it_ends(
    pieces: Release, reader: Session, served: str, tmp_path: Path, still: bool
) -> None:
    wanted, out = digests(pieces), tmp_path / "out"
    some = dict(list(pieces.blocks.items()))
    del some[wanted[3]]
    with pytest.raises(SourcesUnavailable):
        get(reader, pieces.link, out, sources=[MemorySource(some)], share=True)
    assert offers(served, wanted[2])
    assert not offers(served, wanted[3])
    get(reader, pieces.link, out, sources=[MemorySource(pieces.blocks)], share=still)
    assert all(offers(served, digest) for digest in wanted)
    with Store(reader.home.store) as store:
        assert [os.fsdecode(known.folder) for known in store.releases()] == [os.path.realpath(out)]


def test_somebody_else_gets_all_of_it_from_who_shares(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    sharing = reader_of(mixed.link)
    get(sharing, mixed.link, tmp_path / "one", sources=[MemorySource(mixed.blocks)], share=True)
    with ServedHome(sharing.home) as running:
        source = GatewaySource(running.url)
        get(reader_of(mixed.link), mixed.link, tmp_path / "other", sources=[source])
    assert tree_of(tmp_path / "other") == MIXED
    with Store(sharing.home.store) as store:
        (known,) = store.releases()
    assert known.folder == os.fsencode(tmp_path / "one")


def test_two_who_have_a_half_each_complete_each_other(
    pieces: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    wanted = digests(pieces)
    homes = [reader_of(pieces.link), reader_of(pieces.link)]
    for home, part in zip(homes, (wanted[:5], wanted[5:]), strict=True):
        have = {d: b for d, b in pieces.blocks.items() if d in part or d not in wanted}
        with pytest.raises(SourcesUnavailable):
            get(
                home, pieces.link, tmp_path / f"half-{len(part)}",
                sources=[MemorySource(have)], share=True,
            )  # fmt: skip
    with ServedHome(homes[0].home) as one, ServedHome(homes[1].home) as other:
        sources = [GatewaySource(one.url), GatewaySource(other.url)]
        get(reader_of(pieces.link), pieces.link, tmp_path / "out", sources=sources)
    assert tree_of(tmp_path / "out") == pieces.files


def test_a_release_that_is_there_already_is_offered_from_there(
    pieces: Release, reader: Session, served: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    get(reader, pieces.link, out, sources=[MemorySource(pieces.blocks)])
    assert not offers(served, digests(pieces)[0])
    again = get(reader, pieces.link, out, sources=[MemorySource(pieces.blocks, refuse)], share=True)
    assert again.verdict == "unchanged"
    assert all(offers(served, digest) for digest in digests(pieces))


def test_a_part_that_is_shared_and_then_the_rest_are_offered_together(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    home, out = reader_of(mixed.link), tmp_path / "out"
    some = Selection(["docs/**"])
    source = MemorySource(mixed.blocks)
    get(home, mixed.link, out, sources=[source], only=some, share=True)
    get(home, mixed.link, out, sources=[source], replace=True, share=True)
    with ServedHome(home.home) as running:
        assert offers(running.url, sha256(b"unicode\n"))
        assert offers(running.url, sha256(b"a tool\n"))


def test_the_whole_elsewhere_is_offered_in_place_of_a_part(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    home = reader_of(mixed.link)
    source = MemorySource(mixed.blocks)
    get(
        home, mixed.link, tmp_path / "part", sources=[source], only=Selection(["docs/**"]),
        share=True,
    )  # fmt: skip
    get(home, mixed.link, tmp_path / "whole", sources=[source], share=True)
    get(home, mixed.link, tmp_path / "third", sources=[source], share=True)
    with Store(home.home.store) as store:
        (known,) = store.releases()
    assert os.fsdecode(known.folder) == os.path.realpath(tmp_path / "whole")
    with ServedHome(home.home) as running:
        assert offers(running.url, sha256(b"a tool\n"))


def test_a_file_that_was_published_alone_stays_where_it_is_served_from(
    publisher: Session, tmp_path: Path
) -> None:
    write_tree(tmp_path, {"single.bin": b"a single file of its own"})
    link = publish(publisher, tmp_path / "single.bin", "single", "alone").link
    with Store(publisher.home.store) as store:
        (before,) = [known for known in store.releases() if known.version == "alone"]
    with ServedHome(publisher.home) as running:
        source = GatewaySource(running.url)
        get(publisher, link, tmp_path / "out", sources=[source], share=True)
        assert offers(running.url, sha256(b"a single file of its own"))
    with Store(publisher.home.store) as store:
        assert before in store.releases()


def test_a_publishers_own_folder_stays_where_it_is_served_from(
    pieces: Release, publisher: Session, tmp_path: Path
) -> None:
    get(publisher, pieces.link, tmp_path / "out", sources=[MemorySource(pieces.blocks)], share=True)
    with Store(publisher.home.store) as store:
        folders = {r.folder for r in store.releases() if r.manifest == pieces.published.manifest}
    assert folders == {os.fsencode(os.path.realpath(pieces.folder))}


def test_a_store_that_cannot_be_used_is_a_warning(
    pieces: Release, reader: Session, tmp_path: Path
) -> None:
    reader.home.store.parent.mkdir(parents=True, exist_ok=True)
    reader.home.store.write_bytes(b"no database" * 1000)
    got = get(
        reader, pieces.link, tmp_path / "out", sources=[MemorySource(pieces.blocks)], share=True
    )
    assert got.verdict == "verified"
    assert "does not offer" in got.warnings[0]
