"""This home's own store as a source: what was published from here, and what was imported."""

from __future__ import annotations

from pathlib import Path

from integrity.errors import SourceError, StoreError
from integrity.sources.blockwise import Blockwise, NotHere
from integrity.store.database import Store
from integrity.store.reading import BlockReader


class StoreSource(Blockwise):
    """Safe to use from several threads."""

    connections = 2
    is_local = True
    may_gain = False

    def __init__(self, path: Path) -> None:
        self.name = "store"
        self._store = Store(path)
        self._reader = BlockReader(self._store)

    def close(self) -> None:
        self._store.close()

    def read(self, digest: bytes, buffer: memoryview) -> int:
        """See :class:`Blockwise`."""
        try:
            block = self._reader.read(digest)
        except StoreError as error:
            raise SourceError(f"{self.name}: {error.message}") from error
        if block is None:
            raise NotHere(f"{self.name}: has not got all of it")
        got = min(len(block), len(buffer))
        buffer[:got] = block[:got]
        return got
