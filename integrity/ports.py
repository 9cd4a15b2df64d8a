"""The protocols between the pure parts and the outside, one for each outside thing.

An adapter implements one of these and translates its library's errors, once, into the families of
integrity.errors. Tests write full implementations of their own and mutate them as attackers would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from integrity.core.registry import Block
from integrity.core.sorting import Scratch

__all__ = [
    "Block",
    "ChainReader",
    "Progress",
    "ReleasedEvent",
    "Report",
    "Scratch",
    "Signer",
    "Source",
]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a phase is. ``total`` is None while it is unknown; both are bytes unless ``unit`` says."""

    phase: str
    done: int
    total: int | None = None
    unit: str = "bytes"


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class ReleasedEvent:
    """What an event of the registry says; a hint for finding, never believed by itself."""

    publisher: str
    package: str
    version: str
    sequence: int
    manifest: bytes
    block: Block
    transaction: bytes


class ChainReader(Protocol):
    """Reads a chain's state at one block. Every method raises RpcUnavailable or a kind of it."""

    name: str

    def chain_id(self) -> int: ...

    def block(self, tag: str) -> Block:
        """The block a tag (``finalized``, ``latest``) names now."""
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


class Signer(Protocol):
    """One key that signs; what it holds never shows."""

    @property
    def address(self) -> str: ...

    def sign_transaction(self, transaction: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """The signed transaction and its hash, as bytes. Raises KeyRefused."""
        ...


class Source(Protocol):
    """Anything that offers blocks. What it sends is checked by whoever asked, never by itself."""

    name: str

    def read(self, digest: bytes, buffer: memoryview) -> int:
        """Put the block of this SHA-256 into the buffer -> its length in bytes.

        Whoever asks gives room for one byte more than belongs there: a source that sends too much
        fills it, and is cut off. Every failure to answer is a SourceError.
        """
        ...

    def close(self) -> None: ...
