"""A registry's history made up by a test: blocks with events, which can be dropped for others."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from integrity.core.events import Endorsed, Event, LatestChanged, Place, Released, Revoked
from integrity.core.names import checksum_address
from integrity.core.registry import Block
from integrity.errors import RpcAnswerInvalid
from integrity.index.database import Index, Scope
from integrity.index.syncing import Sync, Synced
from integrity.ports import EventStep

SCOPE = Scope(31337, "0x20d198462caA1034C5265525cFB1aD9d8Bd5AaC2")
ACME, OTHER = b"\xac" * 20, b"\x0f" * 20
_serial = itertools.count()


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def address(raw: bytes) -> str:
    return checksum_address(raw)


@dataclass(slots=True)
class Release:
    """A Released event before it stands anywhere."""

    package: str
    version: str = "1.0.0"
    sequence: int = 1
    publisher: bytes = ACME
    latest: bool = True

    def at(self, place: Place) -> Event:
        return Released(
            place, self.publisher, self.package, self.version, self.sequence,
            digest(f"{self.publisher.hex()}/{self.package}@{self.version}"), self.publisher, self.latest,
        )  # fmt: skip


@dataclass(slots=True)
class Latest:
    package: str
    version: str
    sequence: int
    publisher: bytes = ACME

    def at(self, place: Place) -> Event:
        return LatestChanged(place, self.publisher, self.package, self.version, self.sequence)


@dataclass(slots=True)
class Revoke:
    package: str
    version: str
    sequence: int
    reason: int = 2
    text: str = "stolen"
    publisher: bytes = ACME

    def at(self, place: Place) -> Event:
        return Revoked(
            place, self.publisher, self.package, self.version, self.sequence, self.reason, self.text
        )


@dataclass(slots=True)
class Endorse:
    manifest: bytes
    endorser: bytes = OTHER
    kind: int = 1

    def at(self, place: Place) -> Event:
        return Endorsed(place, self.endorser, self.manifest, self.kind)


Wanted = Release | Latest | Revoke | Endorse


@dataclass(slots=True)
class Chain:
    """An event source of its own: ``blocks`` are (hash, events), the first one is number 0. ``width`` is
    how many blocks it gives in a step.
    """

    name: str = "a chain"
    width: int = 3
    blocks: list[tuple[bytes, list[Event]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.blocks:
            self.mine([])

    def mine(self, wanted: Iterable[Wanted]) -> None:
        """One more block, whose hash no other one has."""
        number, block_hash = len(self.blocks), digest(f"block {next(_serial)}")
        events = [
            one.at(Place(number, block_hash, at, digest(f"transaction {number} {at}")))
            for at, one in enumerate(wanted)
        ]
        self.blocks.append((block_hash, events))

    def drop(self, depth: int) -> None:
        del self.blocks[max(1, len(self.blocks) - depth) :]

    @property
    def newest(self) -> Block:
        return Block(len(self.blocks) - 1, self.blocks[-1][0], 0)

    def block(self, number: int) -> Block:
        return Block(number, self.blocks[number][0], 0)

    def hash_at(self, number: int) -> bytes:
        if number >= len(self.blocks):
            raise RpcAnswerInvalid(f"no block {number}")
        return self.blocks[number][0]

    def events(self, _: str, first: int, last: Block) -> Iterator[EventStep]:
        while first <= last.number:
            end = min(first + self.width - 1, last.number)
            found = [event for _, events in self.blocks[first : end + 1] for event in events]
            yield EventStep(end, self.hash_at(end), found)
            first = end + 1


def synced(index: Index, chain: Chain, to: Block | None = None, *, final: bool = False) -> Synced:
    return Sync(index, chain, SCOPE, 0, final).run(to or chain.newest)


def contents(index: Index) -> dict[str, list[tuple[object, ...]]]:
    """All that is in it about events, by names and not by rows' numbers."""
    db = index.file.connection
    named = (
        "package JOIN publisher ON publisher.id = package.publisher "
        "JOIN {0} ON {0}.package = package.id"
    )
    return {
        "releases": db.execute(
            "SELECT address, name, sequence, block, position, version, manifest, sent, latest FROM "
            + named.format("release") + " ORDER BY 1, 2, 3, 4, 5"
        ).fetchall(),
        "latest": db.execute(
            "SELECT address, name, block, position, version, sequence, sent FROM "
            + named.format("latest") + " ORDER BY 1, 2, 3, 4"
        ).fetchall(),
        "revocations": db.execute(
            "SELECT address, name, sequence, block, position, reason, text FROM "
            + named.format("revocation") + " ORDER BY 1, 2, 3, 4, 5"
        ).fetchall(),
        "endorsements": db.execute(
            "SELECT manifest, endorser, block, position, kind FROM endorsement ORDER BY 1, 2, 3, 4"
        ).fetchall(),
        "blocks": db.execute("SELECT number, hash FROM block ORDER BY 1").fetchall(),
        "packages": db.execute(
            "SELECT address, name FROM package JOIN publisher ON publisher.id = package.publisher "
            "ORDER BY 1, 2"
        ).fetchall(),
    }  # fmt: skip
