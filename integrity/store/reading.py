"""Blocks out of the store, hashed before they are first given out.

Once this process has hashed a piece, it may be sent in portions while the file's stat does not
change, and is hashed once more on the way: a write through a memory map moves no time stamp. A file
touched within the last second is always hashed before, as a second write in the same tick of the
clock would not show in its stat.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from dataclasses import dataclass

from integrity.disk.system import Signature, open_read, read_at, signature
from integrity.store.database import Place, Store

SETTLED_NS = 1_000_000_000
_REMEMBERED = 1 << 20

_Key = tuple[bytes, bytes, int]
"""What was hashed: digest, path, and offset, as one piece may stand in a file several times."""


@dataclass(slots=True)
class InMemory:
    """A block whose bytes were hashed just now."""

    data: bytes

    @property
    def length(self) -> int:
        return len(self.data)

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass(slots=True)
class InFile:
    """A block that this process hashed before, in an open file that has not changed since, as far
    as its stat tells. Whoever sends it hashes what is sent.
    """

    fd: int
    offset: int
    length: int
    digest: bytes

    def read(self, first: int, length: int) -> bytes:
        """A stretch of the block, shorter when the file ends; raises OSError."""
        buffer = bytearray(length)
        return bytes(buffer[: read_at(self.fd, memoryview(buffer), self.offset + first)])

    def checked(self) -> bytes | None:
        """The whole block, or None when it is not what it was."""
        try:
            data = self.read(0, self.length)
        except OSError:
            return None
        return data if hashlib.sha256(data).digest() == self.digest else None

    def close(self) -> None:
        os.close(self.fd)


Block = InMemory | InFile


class BlockReader:
    """Finds blocks by their SHA-256; safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._hashed: dict[_Key, Signature] = {}

    def open(self, digest: bytes) -> Block | None:
        """The block, to be closed by the caller; None when the store has no bytes that match.

        Raises StoreError when the database cannot be read.
        """
        node = self._store.node(digest)
        if node is not None and hashlib.sha256(node).digest() == digest:
            return InMemory(node)
        for place in self._store.places(digest):
            block = self._open_place(digest, place)
            if block is not None:
                return block
        return None

    def _open_place(self, digest: bytes, place: Place) -> Block | None:
        try:
            fd = open_read(place.path, follow=True)
        except OSError:
            return None
        keep = False
        try:
            info = os.fstat(fd)
            now = signature(info)
            if not stat.S_ISREG(info.st_mode) or now != place.signature:
                return None
            if not 0 <= place.offset <= place.offset + place.length <= info.st_size:
                return None
            key = (digest, place.path, place.offset)
            block = InFile(fd, place.offset, place.length, digest)
            if self._hashed.get(key) == now:
                keep = True
                return block
            data = block.checked()
            if data is None:
                return None
            if time.time_ns() - max(info.st_mtime_ns, info.st_ctime_ns) > SETTLED_NS:
                self._remember(key, now)
            return InMemory(data)
        except OSError:
            return None
        finally:
            if not keep:
                os.close(fd)

    def _remember(self, key: _Key, value: Signature) -> None:
        with self._lock:
            if len(self._hashed) >= _REMEMBERED:
                self._hashed.clear()
            self._hashed[key] = value
