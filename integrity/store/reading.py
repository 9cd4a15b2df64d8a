"""Blocks out of the store, each checked on its way to whoever asked.

A block is hashed with its own hash function when this process first reads it, and from then on held
against a checksum of XXH3, which is twenty times as fast: 128 bits, with a seed that nobody outside
this process knows. So what was overwritten, through a memory map even, which moves no time stamp, is
as good as absent.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import xxhash

from integrity.core.anycid import AnyCid, is_key_of
from integrity.core.dagpb import BLOCK_LIMIT
from integrity.disk.system import Signature, open_read, read_from, read_from_memory, signature
from integrity.store.database import Store
from integrity.store.entries import Place

_K = TypeVar("_K")
_V = TypeVar("_V")

_LARGE = 16 << 10
"""Bytes from which a checksum is worth remembering; smaller blocks are simply hashed again."""

_REMEMBERED = 1 << 18
"""Blocks, in 250 bytes each: a quarter of a tebibyte of pieces."""

_WRONG_REMEMBERED = 1 << 14
_TOGETHER = 128
_SETTLED_NS = 1_000_000_000


@dataclass(slots=True)
class _Checked:
    """A block that was right: its checksum, and whether it can be read at once from then on."""

    checksum: bytes
    is_quick: bool = False


class BlockReader:
    """Finds blocks by their :attr:`AnyCid.key`; safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._seed = int.from_bytes(os.urandom(8), "big")
        self._checked: dict[bytes, _Checked] = {}
        self._wrong: dict[tuple[bytes, bytes, int], Signature] = {}

    def read(self, key: bytes, places: Sequence[Place] = ()) -> bytes | None:
        """The block, or None when the store has no bytes that match; ``places`` are looked at first.

        Raises StoreError when the database cannot be read.
        """
        block = self._read_places(key, places)
        if block is not None:
            return block
        node = self._store.node(key)
        if node is not None and self._is_right(key, node):
            return node
        return self._read_places(key, self._store.places(key))

    def read_at_once(self, key: bytes) -> memoryview | None:
        """The same for who must not be kept waiting, and None when that takes a disk, much hashing,
        or a file system that may not answer: then :meth:`read` has to be asked.

        So it gives what was read before, and is in the system's memory still.
        """
        known = self._checked.get(key)
        if known is None or not known.is_quick:
            return None
        for place in self._store.places(key):
            if place.length > BLOCK_LIMIT:
                continue
            buffer = memoryview(bytearray(place.length))
            try:
                fd = open_read(place.path, follow=True)
                try:
                    if not read_from_memory(fd, buffer, place.offset):
                        continue
                finally:
                    os.close(fd)
            except OSError:
                continue
            if self._checksum(buffer) == known.checksum:
                return buffer
        return None

    def _read_places(self, key: bytes, places: Sequence[Place]) -> bytes | None:
        for place in places:
            block = self._read_place(key, place)
            if block is not None:
                return block
        return None

    def lookahead(self) -> Lookahead:
        """For one walk over a DAG, on one thread at a time."""
        return Lookahead(self, self._store)

    def has(self, key: bytes) -> bool:
        """Whether the store says that it has the block; its bytes are not looked at."""
        return self._store.node(key) is not None or bool(self._store.places(key))

    def _read_place(self, key: bytes, place: Place) -> bytes | None:
        if place.length > BLOCK_LIMIT:
            return None
        known = (key, place.path, place.offset)
        wrong = self._wrong.get(known)
        try:
            fd = open_read(place.path, follow=True)
            try:
                if wrong is not None and wrong == signature(os.fstat(fd)):
                    return None
                block = read_from(fd, place.length, place.offset)
                if len(block) == place.length and self._is_right(key, block):
                    self._note_speed(key, fd, place.offset)
                    return block
                info = os.fstat(fd)
            finally:
                os.close(fd)
        except OSError:  # also what is no regular file
            return None
        # Looked at again only when the file was touched; in the same tick of the clock none shows.
        if time.time_ns() - max(info.st_mtime_ns, info.st_ctime_ns) > _SETTLED_NS:
            self._remember(self._wrong, known, signature(info), _WRONG_REMEMBERED)
        return None

    def _is_right(self, key: bytes, block: bytes) -> bool:
        if len(block) < _LARGE:
            return is_key_of(key, block)
        checksum = self._checksum(block)
        known = self._checked.get(key)
        if known is not None and known.checksum == checksum:
            return True
        if not is_key_of(key, block):
            return False
        self._remember(self._checked, key, _Checked(checksum), _REMEMBERED)
        return True

    def _checksum(self, block: bytes | memoryview) -> bytes:
        return xxhash.xxh3_128_digest(block, self._seed)

    def _note_speed(self, key: bytes, fd: int, offset: int) -> None:
        """What was read just now must be in memory, if this system tells it of this file."""
        known = self._checked.get(key)
        if known is not None and not known.is_quick:
            known.is_quick = read_from_memory(fd, memoryview(bytearray(1)), offset)

    def _remember(self, where: dict[_K, _V], key: _K, value: _V, limit: int) -> None:
        with self._lock:
            if len(where) >= limit:
                where.clear()
            where[key] = value


class Lookahead:
    """A reader for one who knows what it will ask for: then the index is asked for many at once."""

    def __init__(self, reader: BlockReader, store: Store) -> None:
        self._reader = reader
        self._store = store
        self._places: dict[bytes, list[Place]] = {}

    def expect(self, cid: AnyCid, later: Sequence[AnyCid]) -> None:
        """See :data:`integrity.core.dag.Expect`. Raises StoreError."""
        if cid.key not in self._places:
            soon = later[:-_TOGETHER:-1]
            self._places = self._store.places_of([cid.key, *(other.key for other in soon)])

    def read(self, key: bytes) -> bytes | None:
        """See :meth:`BlockReader.read`."""
        return self._reader.read(key, self._places.get(key, ()))
