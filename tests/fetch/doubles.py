"""Pieces to fetch, and a place where they are kept."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

from integrity.fetch.engine import Fetcher
from integrity.fetch.pool import Batch
from integrity.ports import Piece, Source
from tests.adversary.sources import AT_ONCE


class Wanted:
    """``kept`` has the bytes of each piece, by its number."""

    def __init__(
        self, pieces: list[bytes], *, lengths_known: bool = True, together: int = 4
    ) -> None:
        self.pieces = pieces
        self.kept: dict[int, bytes] = {}
        self.blocks = {hashlib.sha256(piece).digest(): piece for piece in pieces}
        self.together = together
        self._known = lengths_known
        self._lock = threading.Lock()

    def missing(self) -> list[Piece]:
        """What was not kept yet."""
        return [
            Piece(
                number, "file", number, hashlib.sha256(piece).digest(),
                len(piece) if self._known else None, 0,
            )
            for number, piece in enumerate(self.pieces)
            if number not in self.kept
        ]  # fmt: skip

    def batches(self) -> Iterator[Batch]:
        pieces = self.missing()
        for at in range(0, len(pieces), self.together):
            yield Batch(pieces[at : at + self.together])

    def keep(self, piece: Piece, data: memoryview) -> None:
        with self._lock:
            assert piece.number not in self.kept, "a piece was kept twice"
            self.kept[piece.number] = bytes(data)

    @property
    def complete(self) -> bool:
        return [self.kept.get(n) for n in range(len(self.pieces))] == self.pieces


def fetch(wanted: Wanted, *sources: Source) -> Fetcher:
    fetcher = Fetcher(sources, AT_ONCE)
    fetcher.run(wanted.batches, wanted)
    return fetcher
