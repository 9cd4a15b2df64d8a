"""The nodes of a release on their way into a store: too many to hold, and needed once."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from integrity.core.unixfs import Emit

_NODE = struct.Struct("<32sI")


class NodeSpool:
    """A temporary file of (digest, block); iterate over it as often as need be."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def writing(self) -> Iterator[Emit]:
        """What is to be given each node; behind those that are there already. Raises OSError."""
        with self._path.open("ab") as file:
            yield _emit_to(file)

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        with self._path.open("rb") as nodes:
            while head := nodes.read(_NODE.size):
                digest, size = _NODE.unpack(head)
                yield digest, nodes.read(size)


def _emit_to(file: BinaryIO) -> Emit:
    def emit(digest: bytes, block: bytes) -> None:
        file.write(_NODE.pack(digest, len(block)))
        file.write(block)

    return emit
