"""What a verified folder looked like, so that a second run may say *unchanged* without hashing.

One small file a target: the manifest's digest, and a digest of every file's stat in the manifest's
order. *Unchanged* is never *verified*: it says that no file's stat moved since it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections.abc import Iterable
from pathlib import Path

from integrity.disk.files import write_whole
from integrity.disk.system import Signature, real_path
from integrity.errors import DiskError

_MAGIC = b"integrity stat 2\n"
_RECORD = struct.Struct("<QqqQQ")


class Stats:
    """The stats of any number of files, in the manifest's order, as one digest."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, stat: Signature) -> None:
        self._hash.update(_RECORD.pack(*stat))

    @property
    def digest(self) -> bytes:
        return self._hash.digest()


class Remembered:
    """The memory of one home."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, target: Path) -> Path:
        name = hashlib.sha256(real_path(target)).hexdigest()
        return self._folder / name

    def keep(self, target: Path, manifest: bytes, stats: Stats) -> None:
        """Remember a target that was verified just now. Failing to is no error."""
        with contextlib.suppress(DiskError):
            write_whole(self._path(target), _MAGIC + manifest + stats.digest, private=True)

    def matches(
        self, target: Path, manifest: bytes, signatures: Iterable[Signature | None]
    ) -> bool:
        """Whether the target was verified against this manifest and no stat moved since; None among
        the signatures is for what is not as it was.
        """
        try:
            data = self._path(target).read_bytes()
        except OSError:
            return False
        if not data.startswith(_MAGIC + manifest):
            return False
        stats = Stats()
        for one in signatures:
            if one is None:
                return False
            stats.add(one)
        return data == _MAGIC + manifest + stats.digest
