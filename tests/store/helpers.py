"""What the tests of the store share: bytes, and releases put in without a chain."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from integrity.core.manifest import FileEntry
from integrity.core.pieces import piece_digest
from integrity.disk.building import Naming, ReleaseBuilder
from integrity.store.database import Store

MIB = 1 << 20
CHAIN = 31337
PUBLISHER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def pattern(size: int, start: int = 0) -> bytes:
    """``size`` bytes of a 251-byte pattern, so that no two pieces of a file are alike."""
    cycle = bytes((start + i) % 251 for i in range(251))
    return (cycle * (size // 251 + 1))[:size]


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def put(store: Store, folder: Path, files: Mapping[str, bytes] | None = None) -> bytes:
    """Write the files, put the release of the folder in -> the manifest's digest."""
    for path, data in (files or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    with ReleaseBuilder(folder, Naming(PUBLISHER, folder.name, "1")) as built:
        header = built.build()
        store.add_release(
            header, CHAIN, built.digest, built.place, built.unchanged_files(), built.nodes()
        )
        return built.digest


def entries(folder: Path) -> list[tuple[FileEntry, bytes]]:
    """What `put` would tell the store of each file."""
    with ReleaseBuilder(folder, Naming(PUBLISHER, folder.name, "1")) as built:
        built.build()
        return list(built.unchanged_files())


def piece(data: bytes, index: int) -> bytes:
    """The digest of a piece of these bytes."""
    return piece_digest(
        b"".join(digest(data[at : at + MIB]) for at in range(0, max(1, len(data)), MIB)), index
    )
