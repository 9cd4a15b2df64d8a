"""A trustless gateway as a source: raw blocks by CID, CARs of folders (specs.ipfs.tech/http-gateways)."""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Callable
from urllib.parse import quote

from integrity.core.car import CarReader
from integrity.core.cid import raw_cid
from integrity.errors import FormatError, SourceError
from integrity.ports import Order, Piece
from integrity.sources.blockwise import Blockwise, NotHere
from integrity.sources.http import Answer, HttpServer

_ABSENT = frozenset((404, 410, 451))
_NODES = 1 << 20
"""Bytes that the nodes of a folder may have beyond a fair share of each file's."""

_NODE_SHARE = 1 << 10
_AHEAD = 256 << 10


class GatewaySource(Blockwise):
    """One gateway; safe to use from several threads, which get a connection each."""

    def __init__(self, url: str, connections: int = 4) -> None:
        self._server = HttpServer(url, connections)
        self.name = self._server.url
        self.connections = connections
        self._has_cars = True
        self._without_car: set[str] = set()

    def close(self) -> None:
        self._server.close()

    def fetch(self, order: Order) -> None:
        """See :class:`integrity.ports.Source`."""
        tree = order.tree
        if tree is None or not self._has_cars or tree in self._without_car:
            super().fetch(order)
            return
        self._without_car.add(tree)  # whatever goes wrong, its blocks are asked for the next time
        if not self._fetch_car(order, tree):
            super().fetch(order)

    def read(self, digest: bytes, buffer: memoryview) -> int:
        """A raw CID is asked for whatever the block is, since block stores go by multihash."""
        path = f"/ipfs/{raw_cid(digest)}?format=raw"
        with self._server.asked(path, {"accept": "application/vnd.ipld.raw"}) as answer:
            if answer.status in _ABSENT:
                raise NotHere(answer.refused().message)
            if answer.status != 200:
                raise answer.refused()
            got = answer.read_into(buffer)
            is_short = got < len(buffer) - 1 and answer.may_be_cut
            if is_short and hashlib.sha256(buffer[:got]).digest() != digest:
                # Whoever loses a connection is no liar.
                raise SourceError(f"{self.name}: the answer ends too soon, or it is another block")
            return got

    # --- many small files at once --------------------------------------------------------------

    def _fetch_car(self, order: Order, tree: str) -> bool:
        """Whether there is a CAR of it; what it has not got of the order is left to others."""
        path = f"/ipfs/{quote(tree)}?format=car&dag-scope=all&car-dups=n"
        with self._server.asked(path, {"accept": "application/vnd.ipld.car"}) as answer:
            if answer.status != 200:
                self._has_cars = answer.status in _ABSENT
                return False
            try:
                return self._take_car(order, answer)
            except FormatError as error:
                raise SourceError(f"{self.name}: its CAR is malformed: {error.message}") from error

    def _take_car(self, order: Order, answer: Answer) -> bool:
        wanted: dict[bytes, list[Piece]] = defaultdict(list)
        for piece in order.pieces:
            wanted[piece.digest].append(piece)
        limit = _NODES + sum(piece.room + _NODE_SHARE for piece in order.pieces)
        limit += limit // 2  # what else is in the folder
        for section in CarReader(_reader(answer)):
            limit -= len(section.block)
            if limit < 0:
                raise SourceError(f"{self.name}: sends more than the folder has")
            block = memoryview(section.block)
            for piece in wanted.pop(section.cid.key, ()):
                if order.wants(piece) and not order.take(piece, block):
                    return True
        for pieces in wanted.values():
            for piece in pieces:
                order.lacks(piece, f"{self.name}: its CAR lacks a file")
        return True


def _reader(answer: Answer) -> Callable[[int], bytes]:
    return io.BufferedReader(_Body(answer), _AHEAD).read


class _Body(io.RawIOBase):
    """An answer's body as Python's buffered files want it."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._answer.read_some(len(buffer))
        buffer[: len(data)] = data
        return len(data)
