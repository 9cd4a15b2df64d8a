"""The store's SQLite database: which digest stands where.

Pieces are referenced in the publisher's own files (path, piece, and the stat they had when they were
hashed); directory and file nodes and manifests are small and live in the database. A reference is
only a claim: whoever serves it hashes the bytes first (integrity.store.reading).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from integrity.core.manifest import FileEntry, Header
from integrity.core.pieces import PIECE_SIZE, piece_length, split_digests
from integrity.disk.system import Signature
from integrity.errors import StoreError

_T = TypeVar("_T")

_SCHEMA_VERSION = 1
_BATCH = 4096
_WAIT_SECONDS = 30.0
_CACHE = 16 << 20  # digests come in no order: with SQLite's 2 MiB each would cost a page
_SCHEMA = """
CREATE TABLE release (
    manifest BLOB PRIMARY KEY, chain_id INTEGER NOT NULL, publisher TEXT NOT NULL,
    package TEXT NOT NULL, version TEXT NOT NULL, content BLOB NOT NULL, folder BLOB NOT NULL,
    files INTEGER NOT NULL, size INTEGER NOT NULL, added INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX release_name ON release (chain_id, publisher, package, version);
CREATE TABLE file (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
    mtime INTEGER NOT NULL, ctime INTEGER NOT NULL, inode TEXT NOT NULL, device TEXT NOT NULL
);
CREATE TABLE piece (
    digest BLOB NOT NULL, file INTEGER NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (digest, file, number)
) WITHOUT ROWID;
CREATE INDEX piece_file ON piece (file);
CREATE TABLE node (digest BLOB PRIMARY KEY, block BLOB NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a piece should stand: bytes [offset, offset + length) of a file with this signature."""

    path: bytes
    offset: int
    length: int
    signature: Signature


@dataclass(frozen=True, slots=True)
class StoredRelease:
    """A release this store can serve; ``folder`` is where its files are."""

    manifest: bytes
    chain_id: int
    publisher: str
    package: str
    version: str
    content: bytes
    folder: bytes
    files: int
    size: int


class Store:
    """One database file; safe to use from several threads and several processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=_WAIT_SECONDS, check_same_thread=False, isolation_level=None
            )
            self._use_wal()
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(f"PRAGMA cache_size = -{_CACHE >> 10}")
            self._migrate()
            if os.name == "posix" and path.stat().st_mode & 0o077:
                os.chmod(path, 0o600)

    def _use_wal(self) -> None:
        """Change to the write-ahead log, waiting for who else is at it: SQLite's own waiting does
        not cover this change.
        """
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == _SCHEMA_VERSION:  # without waiting for who writes
            return
        with self._transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            elif version != _SCHEMA_VERSION:
                raise StoreError(
                    f"the store {self.path} has the layout {version}, made by a newer release",
                    next="Update this program, or set INTEGRITY_HOME to another folder.",
                )

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # --- writing -------------------------------------------------------------------------------

    def add_release(
        self,
        header: Header,
        chain_id: int,
        manifest: bytes,
        folder: bytes,
        files: Iterable[tuple[FileEntry, bytes, Signature]],
        nodes: Iterable[tuple[bytes, bytes]],
    ) -> None:
        """Put a release in, all or nothing: (entry, absolute path, stat when hashed) of each file
        below ``folder``, and the (digest, block) of every node and of the manifest.

        A file that stood there before with other bytes loses its old pieces. Raises StoreError, and
        whatever the iterables raise.
        """
        with _translated(self.path), self._transaction():
            self._forget_files(folder)
            for file_batch in _batches(files):
                self._add_files(file_batch)
            for node_batch in _batches(nodes):
                node_batch.sort()
                self._db.executemany("INSERT OR REPLACE INTO node VALUES (?, ?)", node_batch)
            self._db.execute(
                "INSERT OR REPLACE INTO release VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    manifest, chain_id, header.publisher, header.package, header.version,
                    header.content.digest, folder, header.files, header.size, int(time.time()),
                ),
            )  # fmt: skip

    def _forget_files(self, folder: bytes) -> None:
        """What stood at this path, or below it, before: it is about to be told anew."""
        below = (folder, folder + b"/", folder + b"0")  # "0" is the byte after "/"
        condition = "path = ? OR (path >= ? AND path < ?)"
        self._db.execute(
            f"DELETE FROM piece WHERE file IN (SELECT id FROM file WHERE {condition})",  # noqa: S608
            below,
        )
        self._db.execute(f"DELETE FROM file WHERE {condition}", below)  # noqa: S608

    def _add_files(self, batch: list[tuple[FileEntry, bytes, Signature]]) -> None:
        (last,) = self._db.execute("SELECT coalesce(max(id), 0) FROM file").fetchone()
        files: list[tuple[int, bytes, int, int, int, str, str]] = []
        pieces: list[tuple[bytes, int, int]] = []
        for number, (entry, path, signature) in enumerate(batch, last + 1):
            size, mtime, ctime, inode, device = signature
            # Inodes and devices may have all 64 bits, which SQLite's integers have not.
            files.append((number, path, size, mtime, ctime, str(inode), str(device)))
            pieces += [(d, number, i) for i, d in enumerate(split_digests(entry.digests))]
        pieces.sort()
        self._db.executemany("INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?)", files)
        self._db.executemany("INSERT INTO piece VALUES (?, ?, ?)", pieces)

    # --- reading -------------------------------------------------------------------------------

    def node(self, digest: bytes) -> bytes | None:
        """The block of a directory, file or manifest node, or None."""
        row = self._one("SELECT block FROM node WHERE digest = ?", digest)
        return None if row is None else bytes(row[0])

    def places(self, digest: bytes) -> list[Place]:
        """Where a piece was when it was hashed; empty when the store never saw it."""
        query = (
            "SELECT path, number, size, mtime, ctime, inode, device "
            "FROM piece JOIN file ON file.id = piece.file WHERE digest = ?"
        )
        with _translated(self.path), self._lock:
            rows = self._db.execute(query, (digest,)).fetchall()
        try:
            return [_place(*row) for row in rows]
        except (TypeError, ValueError, OverflowError) as error:
            raise StoreError(
                f"the store {self.path} is damaged: {error}",
                next="Move it away and publish your folders again: the same releases cost nothing.",
            ) from error

    def releases(self) -> list[StoredRelease]:
        """Everything that can be served, in the order in which it was put in."""
        query = (
            "SELECT manifest, chain_id, publisher, package, version, content, folder, files, size "
            "FROM release ORDER BY added, manifest"
        )
        with _translated(self.path), self._lock:
            rows = self._db.execute(query).fetchall()
        return [StoredRelease(*row) for row in rows]

    def _one(self, query: str, *values: object) -> tuple[bytes, ...] | None:
        with _translated(self.path), self._lock:
            row: tuple[bytes, ...] | None = self._db.execute(query, values).fetchone()
            return row


def _place(
    path: bytes, number: int, size: int, mtime: int, ctime: int, inode: str, device: str
) -> Place:
    if not all(type(value) is int for value in (number, size, mtime, ctime)):
        raise TypeError("a number that is none")
    stat = (size, mtime, ctime, int(inode), int(device))
    return Place(path, number * PIECE_SIZE, piece_length(size, number), stat)


def _batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    batch: list[_T] = []
    for item in items:
        batch.append(item)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"the store {path} cannot be used: {error}",
            next="Look at the disk's room and permissions; `integrity doctor` tells more.",
        ) from error
