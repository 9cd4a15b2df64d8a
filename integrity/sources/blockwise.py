"""Sources that give one block after another, each by its digest."""

from __future__ import annotations

from integrity.ports import Order


class NotHere(Exception):
    """The source has not got this block, in words; that says nothing about others."""


class Blockwise:
    """The frame of such a source: :meth:`read` is what differs."""

    name: str
    connections = 4
    is_local = False
    may_gain = True

    def read(self, digest: bytes, buffer: memoryview) -> int:
        """Put the block of this SHA-256 into the buffer -> its length in bytes.

        The buffer has room for one byte more than belongs there. Raises NotHere, or SourceError for
        whatever else keeps it from answering.
        """
        raise NotImplementedError

    def fetch(self, order: Order) -> None:
        """See :class:`integrity.ports.Source`."""
        for piece in order.pieces:
            if not order.wants(piece):
                continue
            try:
                got = self.read(piece.digest, order.buffer[: piece.room + 1])
            except NotHere as error:
                order.lacks(piece, str(error))
                continue
            if not order.take(piece, order.buffer[:got]):
                return
