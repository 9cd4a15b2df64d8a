"""Sources out of memory, which do all that the port asks of one; a test says how they lie or fail."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping

from integrity.core.pieces import PIECE_SIZE
from integrity.errors import SourceError
from integrity.fetch.engine import Want

Act = Callable[[bytes, bytes], bytes]
"""Given the digest asked for and the true block; gives what is sent, or raises."""


def honest(_: bytes, block: bytes) -> bytes:
    return block


def flip(_: bytes, block: bytes) -> bytes:
    return block[:-1] + bytes((block[-1] ^ 1,)) if block else b"!"


def longer(_: bytes, block: bytes) -> bytes:
    return block + b"!"


def endless(_: bytes, block: bytes) -> bytes:
    return block + bytes(10 * PIECE_SIZE)


def shorter(_: bytes, block: bytes) -> bytes:
    return block[:-1] if block else b"!"


def nothing(_: bytes, block: bytes) -> bytes:
    return b"" if block else b"!"


def another(_: bytes, block: bytes) -> bytes:
    """The right length, and the bytes of something else."""
    return bytes(len(block)) if any(block) else b"\1" * (len(block) or 1)


def html(_: bytes, block: bytes) -> bytes:
    return b"<!doctype html><title>Sign in</title>"


LIES: list[Act] = [flip, longer, endless, shorter, nothing, another, html]


def refuse(_: bytes, block: bytes) -> bytes:
    raise SourceError("refused")


class MemorySource:
    """Use it from any number of threads; ``asked`` is every digest it was asked for, in order."""

    def __init__(self, name: str, blocks: Mapping[bytes, bytes], act: Act = honest) -> None:
        self.name = name
        self.act = act
        self.asked: list[bytes] = []
        self.closed = False
        self._blocks = blocks
        self._lock = threading.Lock()

    def read(self, digest: bytes, buffer: memoryview) -> int:
        with self._lock:
            self.asked.append(digest)
        if digest not in self._blocks:
            raise SourceError(f"{self.name}: has not got it")
        try:
            data = self.act(digest, self._blocks[digest])
        except SourceError as error:
            raise SourceError(f"{self.name}: {error.message}") from error
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        return count

    def close(self) -> None:
        self.closed = True


class Wanted:
    """Pieces to fetch and where they went: ``kept`` has the bytes of each, by its number."""

    def __init__(self, pieces: list[bytes], *, lengths_known: bool = True) -> None:
        self.pieces = pieces
        self.kept: dict[int, bytes] = {}
        self.told: list[int] = []
        self.blocks = {hashlib.sha256(piece).digest(): piece for piece in pieces}
        self._known = lengths_known
        self._lock = threading.Lock()

    def wants(self) -> Iterator[Want]:
        for number, piece in enumerate(self.pieces):
            digest = hashlib.sha256(piece).digest()
            length = len(piece) if self._known else None
            yield Want("file", number, digest, length, self._keeper(number))

    def _keeper(self, number: int) -> Callable[[memoryview], None]:
        def keep(data: memoryview) -> None:
            with self._lock:
                assert number not in self.kept, "a piece was kept twice"
                self.kept[number] = bytes(data)

        return keep

    def on_piece(self, want: Want) -> None:
        with self._lock:
            self.told.append(want.index)

    @property
    def complete(self) -> bool:
        return [self.kept.get(n) for n in range(len(self.pieces))] == self.pieces
