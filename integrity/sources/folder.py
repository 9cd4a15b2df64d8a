"""A folder on this machine: a copy from a USB stick, or an older release, of which what did not
change is copied instead of fetched.

If the older release's manifest stands beside it (``NAME.integrity``), a file that was renamed since
is found, too.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

from integrity.core.pieces import PIECE_SIZE, split_digests
from integrity.core.reading import iter_files
from integrity.disk.files import read_chunks
from integrity.disk.safetree import SafeTree
from integrity.disk.sidecars import sidecar_path
from integrity.disk.system import read_at
from integrity.errors import FormatError, IntegrityError, SourceError
from integrity.ports import MANIFEST, Order, Piece

_KNOWN = 1 << 18
"""Pieces of which is remembered where they were, in 200 bytes each."""


class FolderSource:
    """Safe to use from several threads. Its bytes are no lie, whatever they are: it is one's own."""

    is_local = True
    may_gain = False
    connections = 2

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._sidecar = sidecar_path(folder)
        self._tree = SafeTree(Path(os.path.realpath(folder)))  # a link that one named is followed
        self._tree.__enter__()
        self._lock = threading.Lock()
        self._places: dict[bytes, tuple[str, int]] | None = None

    def close(self) -> None:
        self._tree.__exit__()

    def manifest(self) -> Iterator[bytes]:
        """The file beside the folder, whatever it is; nothing when there is none. Raises SourceError."""
        try:
            yield from read_chunks(self._sidecar)
        except FileNotFoundError:
            return
        except OSError as error:
            raise SourceError(f"{self._sidecar}: {error.strerror or error}") from error

    def open_file(self, path: str) -> int:
        """See :class:`integrity.ports.FileHolder`."""
        return self._tree.open_read(path)

    def fetch(self, order: Order) -> None:
        """See :class:`integrity.ports.Source`."""
        for piece in order.pieces:
            if order.wants(piece) and not self._give(order, piece):
                return

    def _give(self, order: Order, piece: Piece) -> bool:
        if piece.path == MANIFEST:
            order.lacks(piece, f"{self.name}: has no blocks of the manifest")
            return True
        own = (piece.path, piece.offset)
        places = (self._known().get(piece.digest, own), own)
        data = order.buffer[: piece.room]
        if not any(self._read(*place, data) for place in places):
            order.lacks(piece, f"{self.name}: has not got all of it")
            return True
        return order.take(piece, data)

    def _read(self, path: str, offset: int, data: memoryview) -> bool:
        """Whether there are so many bytes."""
        try:
            fd = self._tree.open_read(path)
            try:
                return read_at(fd, data, offset) == len(data)
            finally:
                os.close(fd)
        except (OSError, IntegrityError):
            return False

    def _known(self) -> dict[bytes, tuple[str, int]]:
        """Where the pieces stand that the manifest beside the folder tells of."""
        with self._lock:
            if self._places is None:
                self._places = {}
                try:
                    for entry in iter_files(self.manifest()):
                        for at, digest in enumerate(split_digests(entry.digests)):
                            self._places[digest] = (entry.path, at * PIECE_SIZE)
                        if len(self._places) > _KNOWN:
                            break
                except (FormatError, SourceError):
                    self._places = {}
            return self._places
