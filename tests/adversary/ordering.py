"""An order as the engine gives it, for tests of one source: it takes what verifies, and remembers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from integrity.core.pieces import PIECE_SIZE, piece_count, piece_length
from integrity.ports import Piece, Source


class FileOrder:
    """``files`` are a release's true files; ``indexes`` which pieces are ordered of each, all if not
    said. ``got`` is what verified, ``lied`` what did not, ``lacking`` what was said not to be there.
    """

    def __init__(
        self,
        files: Mapping[str, bytes],
        indexes: Mapping[str, Sequence[int]] | None = None,
        *,
        tree: str | None = None,
        later: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.files = files
        self.tree = tree
        self.buffer = memoryview(bytearray(PIECE_SIZE + 1))
        self.got: dict[tuple[str, int], bytes] = {}
        self.lied: list[tuple[str, int]] = []
        self.lacking: dict[tuple[str, int], str] = {}
        self.unwanted: set[tuple[str, int]] = set()
        self.pieces: list[Piece] = []
        for path, data in files.items():
            given = (indexes or {}).get(path, range(piece_count(len(data))))
            self.pieces += [self._piece(path, index) for index in given]
        self._later = [self._piece(path, index) for path, index in later]

    def _piece(self, path: str, index: int) -> Piece:
        data = self.files[path]
        digest = hashlib.sha256(self._true(path, index)).digest()
        return Piece(
            hash((path, index)), path, index, digest, piece_length(len(data), index), len(data)
        )

    def _true(self, path: str, index: int) -> bytes:
        return self.files[path][index * PIECE_SIZE : (index + 1) * PIECE_SIZE]

    def wants(self, piece: Piece) -> bool:
        key = (piece.path, piece.index)
        return key not in self.got and key not in self.unwanted

    def take(self, piece: Piece, data: memoryview) -> bool:
        key = (piece.path, piece.index)
        if bytes(data) != self._true(*key):
            self.lied.append(key)
            return False
        self.got[key] = bytes(data)
        return True

    def lacks(self, piece: Piece, why: str) -> None:
        self.lacking[piece.path, piece.index] = why

    def more(self) -> Sequence[Piece]:
        pieces, self._later = self._later, []
        return pieces

    def give_to(self, source: Source) -> FileOrder:
        source.fetch(self)
        return self

    @property
    def whole(self) -> bool:
        """Whether all of every file came."""
        return all(
            self.got.get((path, index)) == self._true(path, index)
            for path, data in self.files.items()
            for index in range(piece_count(len(data)))
        )
