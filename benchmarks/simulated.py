"""``python -m benchmarks.simulated GIB``: a download of one file of so many GiB, all zeros, from a
source in this process. Everything of the engine and the receiver runs, but that no zeros are written.
Prints the seconds, the processor seconds, and the largest memory in MiB.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from integrity.core.manifest import FileEntry
from integrity.core.pieces import PIECE_SIZE
from integrity.disk.safetree import SafeTree
from integrity.downloading.receiving import Receiver
from integrity.fetch.engine import Fetcher
from integrity.fetch.plan import batches
from integrity.ports import Order, Piece


class Zeros:
    """A source that has any number of zeros."""

    name = "zeros"
    connections = 4
    is_local = False
    may_gain = False

    def fetch(self, order: Order) -> None:
        for piece in order.pieces:
            if order.wants(piece) and not order.take(piece, order.buffer[: piece.room]):
                return

    def close(self) -> None:
        """It has nothing open."""


class Sparse(Receiver):
    """Leaves holes where zeros belong."""

    def keep(self, piece: Piece, data: memoryview) -> None:
        with self._files.writing(piece.path, piece.size):
            self._note(piece.number, len(data))


def main(gibibytes: int) -> None:
    size = gibibytes << 30
    digests = hashlib.sha256(bytes(PIECE_SIZE)).digest() * (size // PIECE_SIZE)
    entry = FileEntry(path="zeros", size=size, digests=digests, also={}, executable=False)
    fetcher = Fetcher([Zeros()])
    started = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder, SafeTree(Path(folder)) as tree,
        Sparse(tree, lambda: iter([entry]), Path(folder)) as receiver,
    ):  # fmt: skip
        fetcher.run(lambda: batches(receiver.lacks()), receiver)
        assert fetcher.missing is None
        assert receiver.bytes == size
        receiver.complete()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - started,
                "cpu": usage.ru_utime + usage.ru_stime,
                "memory": usage.ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
