"""What the store has of each thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Place(NamedTuple):
    """Where a block should stand: bytes [offset, offset + length) of a file."""

    path: bytes
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class StoredRelease:
    """A release this store can serve; ``folder`` is where its files are."""

    manifest: bytes
    chain_id: int
    publisher: str
    package: str
    version: str
    content: bytes
    folder: bytes
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class StoredImport:
    """A CAR file that was imported; ``roots`` are binary CIDs one after another, ``size`` is that of
    the store's own copy in bytes.
    """

    id: int
    name: str
    roots: bytes
    blocks: int
    size: int
