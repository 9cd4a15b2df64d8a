"""The pieces that are missing, cut into batches as sources like them.

A large file's pieces stand in runs. Small files of one folder stand together with the IPFS path of
the folder, so that a source which can send all of it at once (a CAR) may do so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from integrity.core.cid import Cid
from integrity.core.manifest import FileEntry
from integrity.core.pieces import piece_digest, piece_length
from integrity.fetch.pool import Batch
from integrity.ports import Piece

_RUN = 64
_SMALL = 256 << 10
"""Bytes up to which a file is small: a request of its own costs more than sending it."""

_FEW = 16
_MERGED = 2048
_LOOSE = 16_384
_USEFUL = 0.75
"""Of what a source sends for a folder, so much must be wanted."""


@dataclass(slots=True)
class Lack:
    """A file of the release and what is missing of it: none of its pieces, some, or all. ``first`` is
    the number of its first piece in the release.
    """

    entry: FileEntry
    first: int
    indexes: list[int]


@dataclass(slots=True)
class _Folder:
    """A folder while its files pass by; ``path`` ends with a slash unless it is the root's."""

    path: str
    size: int = 0
    useful: int = 0
    count: int = 0
    loose: list[Piece] = field(default_factory=list)
    below: list[tuple[str, list[Piece]]] = field(default_factory=list)
    is_split: bool = False


def batches(lacks: Iterable[Lack], content: Cid | None = None) -> Iterator[Batch]:
    """What is to be fetched of files in the manifest's order, holding a bounded number of them;
    ``content`` is the release's root.
    """
    planner = _Planner("" if content is None else str(content))
    for lack in lacks:
        yield from planner.add(lack)
    yield from planner.finish()


def pieces_of(lack: Lack) -> list[Piece]:
    """The missing pieces of a file."""
    entry = lack.entry
    return [
        Piece(
            lack.first + index, entry.path, index, piece_digest(entry.digests, index),
            piece_length(entry.size, index), entry.size,
        )
        for index in lack.indexes
    ]  # fmt: skip


class _Planner:
    def __init__(self, content: str) -> None:
        self._content = content
        self._stack = [_Folder("")]

    def add(self, lack: Lack) -> Iterator[Batch]:
        path = lack.entry.path
        while not path.startswith(self._stack[-1].path):
            yield from self._close()
        at = len(self._stack[-1].path)
        while (slash := path.find("/", at)) >= 0:
            at = slash + 1
            self._stack.append(_Folder(path[:at]))
        top = self._stack[-1]
        top.size += lack.entry.size
        if lack.entry.size > _SMALL:
            yield from _runs(pieces_of(lack))
        elif lack.indexes:
            top.useful += lack.entry.size
            top.count += 1
            top.loose += pieces_of(lack)
            if len(top.loose) > _LOOSE:
                top.is_split = True
                yield from self._emit(top)

    def finish(self) -> Iterator[Batch]:
        while self._stack:
            yield from self._close()

    def _close(self) -> Iterator[Batch]:
        """The folder on top is complete: it goes to the one above, which may be asked for as a whole,
        or is given out.
        """
        folder = self._stack.pop()
        above = self._stack[-1] if self._stack else None
        if above is not None:
            above.size += folder.size
            above.useful += folder.useful
        if folder.is_split or folder.useful < _USEFUL * folder.size:
            yield from self._emit(folder)
            if above is not None and folder.count:
                above.is_split = True
        elif above is None:
            yield from self._give(folder.path, _all(folder))
        else:
            above.below.append((folder.path, _all(folder)))
            above.count += folder.count
            if above.is_split or above.count > _MERGED:
                above.is_split = True
                yield from self._emit_below(above)

    def _emit(self, folder: _Folder) -> Iterator[Batch]:
        """Its parts, as the whole is too much."""
        yield from self._emit_below(folder)
        yield from _runs(folder.loose)
        folder.loose = []

    def _emit_below(self, folder: _Folder) -> Iterator[Batch]:
        for path, pieces in folder.below:
            yield from self._give(path, pieces)
        folder.below = []

    def _give(self, path: str, pieces: list[Piece]) -> Iterator[Batch]:
        if len(pieces) < _FEW or not self._content:
            yield from _runs(pieces)
        else:
            yield Batch(pieces, f"{self._content}/{path}".rstrip("/"))


def _all(folder: _Folder) -> list[Piece]:
    """In the manifest's order, more or less: who reads a CAR gets them in another one anyway."""
    return [*folder.loose, *(piece for _, pieces in folder.below for piece in pieces)]


def _runs(pieces: list[Piece]) -> Iterator[Batch]:
    for at in range(0, len(pieces), _RUN):
        yield Batch(pieces[at : at + _RUN])
