"""Sorting more records than memory should hold, with the disk behind a port."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Protocol

_CHUNK = 64 << 10
_LENGTH_SIZE = 4


class Scratch(Protocol):
    """A place to put bytes down for the length of one run; the core does no I/O itself."""

    def append(self, data: bytes) -> int:
        """Keep ``data`` and return the offset, in bytes, at which it can be read again."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``; fewer only at the end."""
        ...


class ExternalSorter:
    """Takes byte strings in any order and gives them back sorted.

    At most ``limit`` of them are held in memory; sorted runs of that many go to the scratch.
    """

    def __init__(self, scratch: Scratch, limit: int = 16384) -> None:
        self._scratch = scratch
        self._limit = limit
        self._buffer: list[bytes] = []
        self._runs: list[tuple[int, int]] = []

    def add(self, record: bytes) -> None:
        self._buffer.append(record)
        if len(self._buffer) >= self._limit:
            self._spill()

    def _spill(self) -> None:
        self._buffer.sort()
        run = b"".join(len(r).to_bytes(_LENGTH_SIZE, "big") + r for r in self._buffer)
        self._runs.append((self._scratch.append(run), len(run)))
        self._buffer = []

    def __iter__(self) -> Iterator[bytes]:
        self._buffer.sort()
        if not self._runs:
            return iter(self._buffer)
        runs = [self._read(offset, size) for offset, size in self._runs]
        return heapq.merge(*runs, self._buffer)

    def _read(self, offset: int, size: int) -> Iterator[bytes]:
        end = offset + size
        held = b""
        while offset < end or held:
            while len(held) < _LENGTH_SIZE or len(held) < _needed(held):
                more = self._scratch.read(offset, min(max(_CHUNK, _needed(held)), end - offset))
                if not more:
                    raise EOFError("the scratch gave back fewer bytes than were put down")
                offset += len(more)
                held += more
            at = 0
            while len(held) - at >= _LENGTH_SIZE:
                length = int.from_bytes(held[at : at + _LENGTH_SIZE], "big")
                if len(held) - at - _LENGTH_SIZE < length:
                    break
                yield held[at + _LENGTH_SIZE : at + _LENGTH_SIZE + length]
                at += _LENGTH_SIZE + length
            held = held[at:]


def _needed(held: bytes) -> int:
    if len(held) < _LENGTH_SIZE:
        return _LENGTH_SIZE
    return _LENGTH_SIZE + int.from_bytes(held[:_LENGTH_SIZE], "big")
