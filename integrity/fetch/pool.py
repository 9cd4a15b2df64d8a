"""What came back unfetched, and who has not got what of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from integrity.ports import Piece

_FULL = 4096
_LOOKED_AT = 256


class Batch(NamedTuple):
    """Pieces to be fetched together; ``tree`` is as in :class:`integrity.ports.Order`."""

    pieces: Sequence[Piece]
    tree: str | None = None


class Pool:
    """Batches that wait; ``who`` is anything that stands for a source."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._pieces = 0
        self._lacking: dict[int, set[object]] = {}

    def __bool__(self) -> bool:
        return bool(self._batches)

    @property
    def is_full(self) -> bool:
        """Whether so many pieces wait that nothing new should be begun."""
        return self._pieces >= _FULL

    def add(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._pieces += len(batch.pieces)

    def take(self, who: object) -> Batch | None:
        """Of what ``who`` may have, that which the fewest others have."""
        best, most = None, -1
        for at, batch in enumerate(self._batches):
            if at == _LOOKED_AT:
                break
            lacking = self._lacking.get(batch.pieces[0].number, ())
            if who not in lacking and len(lacking) > most:
                best, most = at, len(lacking)
        if best is None:
            if len(self._batches) > _LOOKED_AT:
                self._batches.rotate(-_LOOKED_AT)  # others come to be looked at
            return None
        batch = self._batches[best]
        del self._batches[best]
        self._pieces -= len(batch.pieces)
        return batch

    def take_after(self, who: object, last: Piece) -> list[Piece]:
        """All that ``who`` may have of a file behind one of its pieces, in order."""
        stay: deque[Batch] = deque()
        taken: list[Piece] = []
        for batch in self._batches:
            first = batch.pieces[0]
            follows = first.path == last.path and first.number > last.number
            if follows and batch.tree is None and not self.lacks(who, first):
                taken += batch.pieces
            else:
                stay.append(batch)
        self._batches = stay
        self._pieces -= len(taken)
        return sorted(taken, key=lambda piece: piece.number)

    def has_for(self, who: object) -> bool:
        """Whether anything waits that ``who`` may have."""
        return any(not self.lacks(who, batch.pieces[0]) for batch in self._batches)

    def first(self) -> Piece | None:
        """The first piece of all that wait, in the manifest's order."""
        pieces = (piece for batch in self._batches for piece in batch.pieces)
        return min(pieces, key=lambda piece: piece.number, default=None)

    # --- who has what --------------------------------------------------------------------------

    def lack(self, who: object, piece: Piece) -> None:
        """``who`` has not got the piece."""
        self._lacking.setdefault(piece.number, set()).add(who)

    def lacks(self, who: object, piece: Piece) -> bool:
        return who in self._lacking.get(piece.number, ())

    def forget(self, who: object) -> None:
        """``who`` may have got everything meanwhile."""
        for lacking in self._lacking.values():
            lacking.discard(who)

    def done(self, piece: Piece) -> None:
        """Nobody will be asked for the piece any more."""
        self._lacking.pop(piece.number, None)
