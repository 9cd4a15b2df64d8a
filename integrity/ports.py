"""The protocols between the pure parts and the outside, one for each outside thing.

An adapter implements one of these and translates its library's errors, once, into the families of
integrity.errors. Tests write full implementations of their own and mutate them as attackers would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from integrity.core.events import Event
from integrity.core.pieces import PIECE_SIZE
from integrity.core.registry import Block, StateProof
from integrity.core.sorting import Scratch

__all__ = [
    "MANIFEST",
    "Block",
    "ChainReader",
    "EventSource",
    "EventStep",
    "FileHolder",
    "Identity",
    "ManifestHolder",
    "Order",
    "Piece",
    "Progress",
    "ReleasedEvent",
    "Report",
    "Scratch",
    "Signer",
    "Source",
    "SourceProgress",
    "StateProof",
]


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """What one source gave so far, in bytes, and lately, in bytes a second; ``rejected`` pieces."""

    name: str
    bytes: int
    speed: float
    rejected: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a phase is. ``total`` is None while it is unknown; both are bytes unless ``unit`` says."""

    phase: str
    done: int
    total: int | None = None
    unit: str = "bytes"
    sources: tuple[SourceProgress, ...] = ()

    @property
    def speed(self) -> float:
        """That of all sources together."""
        return sum(source.speed for source in self.sources)


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class EventStep:
    """The registry's events of some blocks that follow one another, in the order of the chain, and the
    number and hash of the last of these blocks.
    """

    last: int
    hash: bytes
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class ReleasedEvent:
    """What an event of the registry says; a hint for finding, never believed by itself. The time of its
    ``block`` may not be told (0).
    """

    publisher: str
    package: str
    version: str
    sequence: int
    manifest: bytes
    block: Block
    transaction: bytes


class EventSource(Protocol):
    """Gives the registry's events: hints, never believed by themselves. Every method raises
    RpcUnavailable or a kind of it.
    """

    name: str

    def hash_at(self, number: int) -> bytes:
        """The hash of the block of this number."""
        ...

    def events(self, address: str, first: int, last: Block) -> Iterator[EventStep]:
        """Those of a contract from a block on up to another one, in steps of bounded size. A step's hash
        is older than its events: were they of another chain than the hash, the hash is the one that no
        longer stands.
        """
        ...


class ChainReader(Protocol):
    """Reads a chain's state at one block. Every method raises RpcUnavailable or a kind of it."""

    name: str

    def chain_id(self) -> int: ...

    def block(self, block: str | bytes) -> Block:
        """The block that a tag (``finalized``, ``latest``) names now, or a hash of 32 bytes."""
        ...

    def header(self, block: str | bytes) -> bytes:
        """The RLP of the header of such a block. Raises ProofUnavailable when what the node tells of it
        does not have the block's hash.
        """
        ...

    def look(self, block: str | bytes, chain_id: int) -> bytes:
        """Such a header of this chain, in one round trip where the node allows that. Raises ChainMismatch
        when another chain is served, and ProofUnavailable as :meth:`header` does.
        """
        ...

    def hash_at(self, number: int) -> bytes:
        """The hash of the block of this number."""
        ...

    def proof(self, address: str, slots: Sequence[bytes], at: Block) -> StateProof:
        """The proof of an account and of storage slots (32 bytes each) of it. Raises ProofUnavailable
        when the node cannot prove state that old.
        """
        ...

    def code(self, address: str, at: Block) -> bytes:
        """The runtime code at an address; empty when there is none."""
        ...

    def words(self, address: str, slots: Sequence[bytes], at: Block) -> list[bytes]:
        """The 32-byte words of the storage slots (32 bytes each), all at the one block."""
        ...

    def released(
        self, address: str, publisher: str, package: str, to: Block
    ) -> list[ReleasedEvent]:
        """The registry's Released events of one package up to a block, in the order of the chain."""
        ...

    def delegates(
        self, address: str, publisher: str, first: int, to: Block
    ) -> set[tuple[str, str]]:
        """Who the registry's DelegateSet events from the block ``first`` on name as a delegate, and for which
        package.
        """
        ...


class Identity(Protocol):
    """A key, without what signs with it."""

    @property
    def name(self) -> str: ...

    @property
    def address(self) -> str: ...


class Signer(Protocol):
    """One key that signs; what it holds never shows."""

    @property
    def address(self) -> str: ...

    def sign_transaction(self, transaction: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """The signed transaction and its hash, as bytes. Raises KeyRefused."""
        ...

    def sign_typed_data(self, data: Mapping[str, Any]) -> bytes:
        """The signature of EIP-712 data, 65 bytes ``r || s || v``. Raises KeyRefused."""
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """One block that is missing. ``number`` counts all blocks of a run in their order, ``index`` those
    of the file at ``path``, which has ``size`` bytes. A block of the manifest has the path
    :data:`MANIFEST`; its ``length`` is None while only its digest is known: then it is no longer than
    a piece.
    """

    number: int
    path: str
    index: int
    digest: bytes
    length: int | None
    size: int

    @property
    def offset(self) -> int:
        """Where it begins in its file, in bytes."""
        return self.index * PIECE_SIZE

    @property
    def room(self) -> int:
        """The most bytes it may have."""
        return PIECE_SIZE if self.length is None else self.length


MANIFEST = ""


class Order(Protocol):
    """What a source is asked for in one go, and the hands into which it gives what it has."""

    @property
    def pieces(self) -> Sequence[Piece]:
        """In the order in which they are wanted; pieces of one file that follow one another stand so."""
        ...

    @property
    def tree(self) -> str | None:
        """An IPFS path below which just about everything is wanted, if there is one."""
        ...

    @property
    def buffer(self) -> memoryview:
        """Room for a piece and one byte more, for whoever fetches it piece by piece."""
        ...

    def wants(self, piece: Piece) -> bool:
        """Whether it is still to be fetched: somebody else may have taken it over."""
        ...

    def take(self, piece: Piece, data: memoryview) -> bool:
        """Take the bytes that a source sent for a piece, right or wrong -> whether to go on."""
        ...

    def lacks(self, piece: Piece, why: str) -> None:
        """The source has not got this one."""
        ...

    def more(self) -> Sequence[Piece]:
        """Further pieces of the last one's file, which come with the order from now on; none when
        there are none that nobody else was given.
        """
        ...


@runtime_checkable
class ManifestHolder(Protocol):
    """A source that may have a release's manifest as a file."""

    def manifest(self) -> Iterable[bytes]:
        """Its bytes, whatever they are; none when there is none. Raises SourceError."""
        ...


@runtime_checkable
class FileHolder(Protocol):
    """A source that has files of its own here, whose bytes another file may be able to share."""

    def open_file(self, path: str) -> int:
        """A descriptor for reading the file at this path of the release. Raises OSError or UnsafePath."""
        ...


class Source(Protocol):
    """Anything that offers blocks. What it sends is checked by whoever asked, never by itself."""

    name: str

    @property
    def connections(self) -> int:
        """How many orders it may be given at once."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether it is one's own, on this machine: such are asked before all others, and wrong bytes
        are no lie, but of another release.
        """
        ...

    @property
    def may_gain(self) -> bool:
        """Whether it may have later what it has not got now, as who downloads the release, too."""
        ...

    def fetch(self, order: Order) -> None:
        """Fetch the order's pieces, as far as they are wanted still, and give each one to it.

        At most one byte more than belongs into a piece is read: so a source that sends too much
        shows itself. Called on any thread, on several at once. Every failure to answer is a
        SourceError; pieces that were neither given nor lacking are asked for again elsewhere.
        """
        ...

    def close(self) -> None: ...
