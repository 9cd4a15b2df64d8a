"""One file of a release, or a part of it, as bytes in their order, each piece checked before it is
given out.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from integrity.client.beside import beside
from integrity.client.manifests import ManifestFile
from integrity.client.session import Session
from integrity.client.verifying import bring_manifest
from integrity.core.links import Link
from integrity.core.manifest import FileEntry
from integrity.core.pieces import PIECE_SIZE
from integrity.errors import UsageError
from integrity.fetch.engine import Fetcher, Terms
from integrity.fetch.plan import Lack, batches
from integrity.fetch.tallies import failure
from integrity.ports import Piece, Source

_AHEAD = 16
"""Pieces that may be fetched before their turn; twice as many may wait for a reader who is slow."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file: the first, and the last (None: to its end), counted from 0 as in HTTP."""

    first: int = 0
    last: int | None = None

    def within(self, size: int) -> range:
        """Raises UsageError when it begins beyond the file's end."""
        if self.first >= size and (self.first or self.last is not None):
            raise UsageError(
                f"the range begins at byte {self.first}, and the file has {size} bytes"
            )
        return range(self.first, size if self.last is None else min(size, self.last + 1))


_SPAN = re.compile(r"([0-9]{1,19})-([0-9]{0,19})")


def parse_span(text: str | None) -> Span:
    """A range as people write it, ``0-99`` or ``100-``. Raises UsageError."""
    if text is None:
        return Span()
    match = _SPAN.fullmatch(text)
    if match is None or (match[2] and int(match[1]) > int(match[2])):
        raise UsageError(f"{text[:80]!r} is no range of bytes", next="As 0-1048575, or 1048576-.")
    return Span(int(match[1]), int(match[2]) if match[2] else None)


def stream(
    session: Session,
    link: Link,
    path: str,
    span: Span = Span(),
    *,
    sources: Sequence[Source],
    terms: Terms | None = None,
) -> Iterator[memoryview]:
    """The bytes of one file, in order; whatever was given out before something fails was right.

    What is given out is valid until the next part is asked for. Raises what resolving raises,
    UsageError when the release has no such file, SourcesLied or SourcesUnavailable.
    """
    fetcher = Fetcher(sources, terms)
    with ManifestFile(session) as file:
        bring_manifest(session, file, link, fetcher, beside=None)
        entry = next((entry for entry in file.entries() if entry.path == path), None)
    if entry is None:
        raise UsageError(
            f"the release has no file {path!r}", next="`integrity files LINK` lists them."
        )
    wanted = span.within(entry.size)
    if not wanted:
        return
    yield from _stream(fetcher, entry, wanted)


def _stream(fetcher: Fetcher, entry: FileEntry, wanted: range) -> Iterator[memoryview]:
    first, last = wanted.start // PIECE_SIZE, (wanted.stop - 1) // PIECE_SIZE
    queue = _Queue(first)

    def missing() -> list[Lack]:
        return [Lack(entry, 0, queue.missing(last))]

    def run() -> None:
        try:
            fetcher.run(lambda: batches(missing()), queue, ahead=_AHEAD)
        finally:
            queue.end()

    done = beside(run, "stream")
    try:
        for index in range(first, last + 1):
            data = queue.take(index)
            if data is None:
                done.result()
                error = failure(fetcher.tallies, f"{entry.path!r} piece {index} is missing")
                error.next = "Name another source with --from; nothing of the file is kept."
                raise error
            start = index * PIECE_SIZE
            yield memoryview(data)[max(0, wanted.start - start) : wanted.stop - start]
    finally:
        queue.close()


class _Closed(Exception):
    """Nobody reads any more."""


class _Queue:
    """Pieces that came before their turn; whoever is too far ahead has to wait."""

    def __init__(self, first: int) -> None:
        self._changed = threading.Condition()
        self._held: dict[int, bytes] = {}
        self._next = first
        self._is_over = self._is_closed = False

    def missing(self, last: int) -> list[int]:
        with self._changed:
            return [i for i in range(self._next, last + 1) if i not in self._held]

    def keep(self, piece: Piece, data: memoryview) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or piece.index < self._next + 2 * _AHEAD)
            if self._is_closed:
                raise _Closed
            self._held[piece.index] = bytes(data)
            self._changed.notify_all()

    def take(self, index: int) -> bytes | None:
        """The piece whose turn it is; None when none will come any more."""
        with self._changed:
            self._next = index
            self._changed.notify_all()
            self._changed.wait_for(lambda: index in self._held or self._is_over)
            return self._held.pop(index, None)

    def end(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._held.clear()
            self._changed.notify_all()
