"""CAR files into the store: every block is checked, and all of a file is taken or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from integrity.core.anycid import AnyCid, read_cid
from integrity.core.car import CarReader, Read, Section, car_header, car_section
from integrity.disk.system import sync_directory
from integrity.errors import BlockMismatch, DiskError, FormatError, StoreError, StoreFull
from integrity.ports import Progress, Report
from integrity.store.database import Store
from integrity.store.entries import StoredImport

_ENTRY = struct.Struct("<BQI")
_SEEN = 1 << 20
_REPORT_EVERY = 256
_PART = ".part"


@dataclass(frozen=True, slots=True)
class Imported:
    """``already`` says that the very same blocks had been imported before."""

    stored: StoredImport
    roots: list[AnyCid]
    already: bool


def import_car(
    store: Store, read: Read, *, quota: int | None = None, report: Report | None = None
) -> Imported:
    """Copy a CAR (version 1 or 2) into the store, block by block, each held against its CID.

    ``quota`` is how many bytes all imports together may have. Raises FormatError for what is no CAR
    or is cut off, LimitExceeded, HashUnsupported, BlockMismatch for a block that is not its CID's,
    StoreFull, DiskError or StoreError; the store is then as it was.
    """
    folder = store.imports_folder
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = folder / f"{secrets.token_hex(8)}{_PART}"
        try:
            with part.open("xb") as file, part.with_suffix(".index").open("x+b") as index:
                return _import(store, read, file, index, _room(store, quota), report)
        finally:
            for left in (part, part.with_suffix(".index")):
                left.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(f"cannot write to {folder}: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class _Room:
    """Bytes that are left of the quota, and that the largest import has: no more than that may be
    written before it shows that the very same was imported before, and needs no room.
    """

    left: int
    largest: int


def _room(store: Store, quota: int | None) -> _Room:
    sizes = [known.size for known in store.imports()]
    left = sys.maxsize if quota is None else max(0, quota - sum(sizes))
    return _Room(left, max(sizes, default=0))


def _import(
    store: Store, read: Read, file: BinaryIO, index: BinaryIO, room: _Room,
    report: Report | None,
) -> Imported:  # fmt: skip
    car = CarReader(read)
    copy = _Copy(file, index, room)
    copy.write(car_header(bytes(root) for root in car.roots))
    for number, section in enumerate(car):
        _check(section)
        copy.add(section)
        if report and number % _REPORT_EVERY == 0:
            report(Progress("importing", car.offset))
    if report:
        report(Progress("importing", car.offset))
    file.flush()
    os.fsync(file.fileno())
    name = f"{copy.digest.hexdigest()}.car"
    target = Path(file.name).with_name(name)
    already = _is_known(store, name)
    if copy.size > room.left and not already:
        raise _full(room)
    os.replace(file.name, target)
    try:
        sync_directory(os.fspath(target.parent))
        stored = store.add_import(name, b"".join(map(bytes, car.roots)), copy.size, copy.entries())
    except BaseException:
        with contextlib.suppress(StoreError, OSError):
            if not _is_known(store, name):
                target.unlink()
        raise
    return Imported(stored, car.roots, already)


def _full(room: _Room) -> StoreFull:
    return StoreFull(
        f"the store's quota leaves {room.left} bytes for imports, and this one has more"
    )


def _is_known(store: Store, name: str) -> bool:
    return any(known.name == name for known in store.imports())


def _check(section: Section) -> None:
    if not section.cid.is_of(section.block):
        raise BlockMismatch(
            f"the block at byte {section.offset} of the CAR is not {section.cid}",
            evidence={
                "cid": str(section.cid),
                "offset": section.offset,
                "length": len(section.block),
                "sha256": hashlib.sha256(section.block).hexdigest(),
            },
        )


class _Copy:
    """The store's own CARv1 while it is written, with an index of it beside it."""

    def __init__(self, file: BinaryIO, index: BinaryIO, room: _Room) -> None:
        self._file = file
        self._index = index
        self._room = room
        self._seen: set[bytes] = set()
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > max(self._room.left, self._room.largest):
            raise _full(self._room)
        self.digest.update(data)
        self._file.write(data)

    def add(self, section: Section) -> None:
        key = section.cid.key
        if section.cid.inlined is not None or key in self._seen:
            return
        if len(self._seen) < _SEEN:  # later ones may stand there twice
            self._seen.add(key)
        self.write(car_section(bytes(section.cid), len(section.block)))
        self._index.write(_ENTRY.pack(len(key), self.size, len(section.block)) + key)
        self.write(section.block)

    def entries(self) -> Iterator[tuple[bytes, int, int]]:
        """(key, offset, length) of every block."""
        self._index.seek(0)
        while head := self._index.read(_ENTRY.size):
            size, offset, length = _ENTRY.unpack(head)
            yield self._index.read(size), offset, length


def decode_roots(raw: bytes) -> list[AnyCid]:
    """The roots of an import as the store keeps them; those that cannot be read are left out."""
    roots, at = [], 0
    with contextlib.suppress(FormatError):
        while at < len(raw):
            root, at = read_cid(raw, at)
            roots.append(root)
    return roots
