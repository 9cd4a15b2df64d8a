"""What a verified folder looked like, so that a second run may say *unchanged* without hashing.

One small file a target: the manifest's digest, then every file's stat in the manifest's order.
*Unchanged* is never *verified*: it says that no file's stat moved since it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from integrity.disk.files import write_whole
from integrity.disk.system import Signature
from integrity.errors import DiskError

_MAGIC = b"integrity stat 1\n"
_RECORD = struct.Struct("<QqqQQ")


class Remembered:
    """The memory of one home."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, target: Path) -> Path:
        name = hashlib.sha256(os.fsencode(os.path.realpath(target))).hexdigest()
        return self._folder / name

    def keep(self, target: Path, manifest: bytes, signatures: Iterable[Signature]) -> None:
        """Remember a target that was verified just now. Failing to is no error."""
        data = _MAGIC + manifest + b"".join(_RECORD.pack(*s) for s in signatures)
        with contextlib.suppress(DiskError):
            write_whole(self._path(target), data, private=True)

    def matches(
        self, target: Path, manifest: bytes, signatures: Iterable[Signature | None]
    ) -> bool:
        """Whether the target was verified against this manifest and no stat moved since."""
        try:
            data = self._path(target).read_bytes()
        except OSError:
            return False
        head = len(_MAGIC) + len(manifest)
        if data[:head] != _MAGIC + manifest or (len(data) - head) % _RECORD.size:
            return False
        kept = _RECORD.iter_unpack(memoryview(data)[head:])
        pairs = itertools.zip_longest(signatures, kept, fillvalue=())
        return all(now == before for now, before in pairs)
