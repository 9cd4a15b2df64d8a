"""Sorting more records than memory should hold, with the disk behind a port."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, chain, pairwise
from typing import Protocol

_FRAME = 256
_HEAD = struct.Struct("=II")

_Run = tuple[int, int]
"""Where it begins in the scratch, and where it ends."""


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

    At most ``limit`` of them are held in memory; sorted runs of that many go to the scratch, and
    whenever there are ``fan_in`` runs of a kind they are merged into a longer one.
    """

    def __init__(self, scratch: Scratch, limit: int = 16384, fan_in: int = 64) -> None:
        self._scratch = scratch
        self._limit = limit
        self._fan_in = fan_in
        self._buffer: list[bytes] = []
        self._runs: list[list[_Run]] = []

    def add(self, record: bytes) -> None:
        self._buffer.append(record)
        if len(self._buffer) >= self._limit:
            self._buffer.sort()
            self._keep(iter([self._buffer]), 0)
            self._buffer = []

    def __iter__(self) -> Iterator[bytes]:
        self._buffer.sort()
        return chain.from_iterable(
            self._merged([run for runs in self._runs for run in runs], self._buffer)
        )

    def _keep(self, portions: Iterator[list[bytes]], level: int) -> None:
        if level == len(self._runs):
            self._runs.append([])
        runs = self._runs[level]
        runs.append(self._write(portions))
        if len(runs) == self._fan_in:
            self._keep(self._merged(runs, []), level + 1)
            self._runs[level] = []

    # --- runs: frames of a head (how many records, how many bytes), their lengths, and the records --

    def _write(self, portions: Iterator[list[bytes]]) -> _Run:
        start, end = -1, 0
        for portion in portions:
            for at in range(0, len(portion), _FRAME):
                records = portion[at : at + _FRAME]
                body = array("I", map(len, records)).tobytes() + b"".join(records)
                frame = _HEAD.pack(len(records), len(body)) + body
                end = self._scratch.append(frame)
                start = end if start < 0 else start
                end += len(frame)
        return start, end

    def _read(self, run: _Run) -> Iterator[list[bytes]]:
        at, end = run
        while at < end:
            count, size = _HEAD.unpack(self._exactly(at, _HEAD.size))
            body = self._exactly(at + _HEAD.size, size)
            at += _HEAD.size + size
            lengths = array("I")
            first = count * lengths.itemsize
            lengths.frombytes(body[:first])
            yield [body[a:b] for a, b in pairwise(accumulate(lengths, initial=first))]

    def _exactly(self, offset: int, size: int) -> bytes:
        data = self._scratch.read(offset, size)
        while len(data) < size:
            more = self._scratch.read(offset + len(data), size - len(data))
            if not more:
                raise EOFError("the scratch gave back fewer bytes than were put down")
            data += more
        return data

    def _merged(self, runs: list[_Run], last: list[bytes]) -> Iterator[list[bytes]]:
        """All records of the runs, and the sorted ``last``, in sorted portions: up to the smallest
        record with which what is held of a run ends, nothing smaller can come any more.
        """
        heads = [_Head(self._read(run)) for run in runs]
        heads.append(_Head(iter([last] if last else [])))
        while heads := [head for head in heads if head.fill()]:
            if len(heads) == 1:
                yield heads[0].take(heads[0].held[-1])
                continue
            bound = min(head.held[-1] for head in heads)
            portion: list[bytes] = []
            for head in heads:
                portion += head.take(bound)
            portion.sort()  # made of sorted stretches, which it finds
            yield portion


class _Head:
    """The beginning of what is left of a run."""

    def __init__(self, frames: Iterator[list[bytes]]) -> None:
        self.held: list[bytes] = []
        self._at = 0
        self._frames = frames

    def fill(self) -> bool:
        """Whether anything is left; then ``held`` has some of it."""
        if self._at == len(self.held):
            self.held, self._at = next(self._frames, []), 0
        return bool(self.held)

    def take(self, bound: bytes) -> list[bytes]:
        """What is held up to and with ``bound``."""
        start, self._at = self._at, bisect_right(self.held, bound, self._at)
        return self.held[start : self._at]
