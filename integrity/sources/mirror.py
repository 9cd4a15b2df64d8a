"""A plain HTTP server that has a release's files in a folder: its pieces are ranges of the files.

The manifest stands beside the folder, as ``NAME.integrity``. From a server that knows no ranges a
file is read from its start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from urllib.parse import quote, urlsplit

from integrity.errors import SourceError
from integrity.ports import MANIFEST, Order, Piece
from integrity.sources.http import Answer, HttpServer

_ABSENT = frozenset((403, 404, 410, 416, 451))
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_PORTION = 1 << 20


class MirrorSource:
    """One folder on a server; safe to use from several threads, which get a connection each."""

    is_local = False
    may_gain = False

    def __init__(self, url: str, connections: int = 4) -> None:
        self._server = HttpServer(url, connections)
        self.name = self._server.url
        self.connections = connections
        self._has_ranges = True

    def close(self) -> None:
        self._server.close()

    def manifest(self) -> Iterator[bytes]:
        """The file beside the folder, whatever it is; nothing when there is none. Raises SourceError."""
        if not urlsplit(self.name).path:  # a whole server: there is nothing beside it
            return
        with self._server.asked(".integrity") as answer:
            if answer.status in _ABSENT:
                return
            if answer.status != 200:
                raise answer.refused()
            while portion := answer.read_some(_PORTION):
                yield portion

    def fetch(self, order: Order) -> None:
        """See :class:`integrity.ports.Source`."""
        for path, group in groupby(order.pieces, lambda piece: piece.path):
            pieces = list(group)
            if path == MANIFEST:
                _lack(order, pieces, f"{self.name}: has no blocks of the manifest")
            elif not self._has_ranges:
                if not self._fetch_from_start(order, pieces):
                    return
            elif not all(self._fetch_range(order, run) for run in _runs(pieces)):
                return

    def _fetch_range(self, order: Order, run: Sequence[Piece]) -> bool:
        """Pieces that follow one another -> whether to go on with the order."""
        run = [piece for piece in run if order.wants(piece)]
        if not run:
            return True
        first, last = run[0], run[-1]
        start, end = first.offset, last.offset + last.room
        asks = start > 0 or end < first.size
        headers = {"range": f"bytes={start}-{end - 1}"} if asks else None
        with self._server.asked("/" + quote(first.path), headers) as answer:
            if not self._has(answer, order, run):
                return True
            if answer.status == 200 and asks:
                # No ranges then. What was not taken is asked for again, from the start.
                self._has_ranges = False
                self.connections = 1
                return start == 0 and _take(order, answer, run, start)
            if answer.status == 206:
                self._check_range(answer, start, end, first.size)
            return _take(order, answer, run, start)

    def _fetch_from_start(self, order: Order, pieces: Sequence[Piece]) -> bool:
        """Pieces of one file, and whatever else of it nobody else was given yet."""
        pieces = [piece for piece in pieces if order.wants(piece)]
        if not pieces:
            return True
        with self._server.asked("/" + quote(pieces[0].path)) as answer:
            if not self._has(answer, order, pieces):
                return True
            at = 0
            while pieces:
                _take(order, answer, pieces, at)
                if any(order.wants(piece) for piece in pieces):
                    return False
                at = pieces[-1].offset + pieces[-1].room
                pieces = order.more()
        return True

    def _has(self, answer: Answer, order: Order, pieces: Sequence[Piece]) -> bool:
        """Whether the server has the file, as far as it says."""
        piece = pieces[0]
        if answer.status in _ABSENT:
            _lack(order, pieces, f"{answer.refused().message} for {piece.path!r}")
            return False
        if answer.status not in {200, 206}:
            raise answer.refused()
        if answer.status == 200 and answer.length not in {None, piece.size}:
            why = f"{self.name}: has {piece.path!r} with {answer.length} bytes, not {piece.size}"
            _lack(order, pieces, why)
            return False
        return True

    def _check_range(self, answer: Answer, start: int, end: int, size: int) -> None:
        """RFC 9110, section 14.4: the range that was asked for, of a file of this size."""
        said = answer.headers.get("content-range", "")
        match = _RANGE.fullmatch(said)
        if (
            match is None
            or (int(match[1]), int(match[2])) != (start, end - 1)
            or match[3] not in {"*", str(size)}
            or answer.length not in {None, end - start}
        ):
            raise SourceError(
                f"{self.name}: asked for the bytes {start}-{end - 1} of {size}, it sends {said[:80]!r}"
            )


def _take(order: Order, answer: Answer, pieces: Sequence[Piece], at: int) -> bool:
    """Read pieces in their order out of an answer that begins at the byte ``at`` -> whether to go on."""
    for piece in pieces:
        if not order.wants(piece):
            continue
        _skip(order, answer, piece.offset - at)
        _read(answer, order.buffer[: piece.room])
        at = piece.offset + piece.room
        if not order.take(piece, order.buffer[: piece.room]):
            return False
    return True


def _skip(order: Order, answer: Answer, count: int) -> None:
    while count:
        part = order.buffer[: min(count, len(order.buffer))]
        _read(answer, part)
        count -= len(part)


def _read(answer: Answer, buffer: memoryview) -> None:
    if answer.read_into(buffer) < len(buffer):
        raise SourceError(f"{answer.name}: the answer ends too soon")


def _runs(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Cut where a piece is left out."""
    for _, run in groupby(enumerate(pieces), lambda pair: pair[1].index - pair[0]):
        yield [piece for _, piece in run]


def _lack(order: Order, pieces: Sequence[Piece], why: str) -> None:
    for piece in pieces:
        order.lacks(piece, why)
