"""The store's SQLite database: which digest stands where.

Pieces are referenced in the publisher's own files (path, piece, and the stat they had when they were
hashed); directory and file nodes and manifests are small and live in the database. A reference is
only a claim: whoever serves it hashes the bytes first (integrity.store.reading).
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from integrity.core.manifest import FileEntry, Header
from integrity.core.pieces import split_digests
from integrity.disk.sqlite import WAIT_SECONDS, Database
from integrity.store import schema
from integrity.store.entries import Place, StoredImport, StoredRelease
from integrity.store.paths import AT_OR_BELOW, above, at_or_below
from integrity.store.rows import (
    IMPORT,
    RELEASE,
    batches,
    block_place,
    checked,
    of_kind,
    piece_place,
)

_RELEASE = "manifest, chain_id, publisher, package, version, content, folder, files, size"


class Store:
    """One database file; safe to use from several threads and several processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = Database(
            path, "store", schema.VERSION, schema.statements, durable=True,
            mend="Move it away, and publish the same folders again: what is recorded already is put into the "
            'store, and nothing is sent (docs/using.md, "The home").',
        )  # fmt: skip
        self._lock, self._db = self._file.lock, self._file.connection
        self._transaction, self._translated = self._file.transaction, self._file.translated

    @property
    def imports_folder(self) -> Path:
        """Where the store's own copies of imported CAR files are."""
        return self.path.with_name("imports")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- writing -------------------------------------------------------------------------------

    def add_release(
        self,
        header: Header,
        chain_id: int,
        manifest: bytes,
        folder: bytes,
        files: Iterable[tuple[FileEntry, bytes]],
        nodes: Iterable[tuple[bytes, bytes]],
    ) -> None:
        """Put a release in, all or nothing: (entry, absolute path) of each file below ``folder``, and
        the (digest, block) of every node and of the manifest.

        A file that stood there before with other bytes loses its old pieces. Raises StoreError, and
        whatever the iterables raise.
        """
        with self._translated(), self._transaction():
            self._forget_files(folder)
            for file_batch in batches(files):
                self._add_files(file_batch)
            for node_batch in batches(nodes):
                node_batch.sort()
                self._db.executemany("INSERT OR REPLACE INTO node VALUES (?, ?)", node_batch)
            self._db.execute(
                "INSERT OR REPLACE INTO release VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    manifest, chain_id, header.publisher, header.package, header.version,
                    header.content.digest, folder, header.files, header.size, int(time.time()),
                ),
            )  # fmt: skip

    def add_files(self, files: Iterable[tuple[FileEntry, bytes]]) -> None:
        """Put more files of a release in, as :meth:`add_release` is given them; what is known of one is
        left as it is.
        """
        with self._translated(), self._transaction():
            for batch in batches(files):
                self._add_files([(entry, path) for entry, path in batch if not self._knows(path)])

    def _knows(self, path: bytes) -> bool:
        return self._db.execute("SELECT 1 FROM file WHERE path = ?", (path,)).fetchone() is not None

    def count_files(self, folder: bytes) -> int:
        """How many files it knows at this path, or below it."""
        with self._translated(), self._lock:
            query = f"SELECT count(*) FROM file WHERE {AT_OR_BELOW}"  # noqa: S608
            (count,) = self._db.execute(query, at_or_below(folder)).fetchone()
        return int(count)

    def move_release(self, manifest: bytes, folder: bytes) -> None:
        """Say that the files of a release stand in another folder now, in the same order and as they
        were. What was told of that folder before is forgotten.
        """
        with self._translated(), self._transaction():
            row = self._db.execute(
                "SELECT folder FROM release WHERE manifest = ?", (manifest,)
            ).fetchone()
            if row is None:
                return
            old = bytes(row[0])
            self._db.execute(
                "DELETE FROM release WHERE folder = ? AND manifest != ?", (folder, manifest)
            )
            self._forget_files(folder)
            self._db.execute(
                "UPDATE file SET path = CAST(? || substr(path, ?) AS BLOB) WHERE path >= ? AND path < ?",
                (folder, len(old) + 1, old + b"/", old + b"0"),
            )
            self._db.execute("UPDATE release SET folder = ? WHERE manifest = ?", (folder, manifest))

    def _forget_files(self, folder: bytes) -> None:
        """What stood at this path, or below it, before: it is about to be told anew."""
        below = at_or_below(folder)
        self._db.execute(
            f"DELETE FROM piece WHERE file IN (SELECT id FROM file WHERE {AT_OR_BELOW})",  # noqa: S608
            below,
        )
        self._db.execute(f"DELETE FROM file WHERE {AT_OR_BELOW}", below)  # noqa: S608

    def _add_files(self, batch: list[tuple[FileEntry, bytes]]) -> None:
        (last,) = self._db.execute("SELECT coalesce(max(id), 0) FROM file").fetchone()
        files: list[tuple[int, bytes, int]] = []
        pieces: list[tuple[bytes, int, int]] = []
        for number, (entry, path) in enumerate(batch, last + 1):
            files.append((number, path, entry.size))
            pieces += [(d, number, i) for i, d in enumerate(split_digests(entry.digests))]
        pieces.sort()
        self._db.executemany("INSERT INTO file VALUES (?, ?, ?)", files)
        self._db.executemany("INSERT INTO piece VALUES (?, ?, ?)", pieces)

    def add_import(
        self, name: str, roots: bytes, size: int, blocks: Iterable[tuple[bytes, int, int]]
    ) -> StoredImport:
        """Put in a CAR file that stands in ``imports_folder`` under this name, all or nothing: the
        (key, offset, length) of each of its blocks. One of this name that is there stays as it is.
        """
        with self._translated(), self._transaction():
            known = self._imports("WHERE name = ?", name)
            if known:
                return known[0]
            row = self._db.execute(
                "INSERT INTO import (name, roots, blocks, size, added) VALUES (?, ?, 0, ?, ?)",
                (name, roots, size, int(time.time())),
            ).lastrowid
            for batch in batches(blocks):
                batch.sort()
                self._db.executemany(
                    "INSERT OR IGNORE INTO block VALUES (?, ?, ?, ?)",
                    [(key, row, offset, length) for key, offset, length in batch],
                )
            self._db.execute(
                "UPDATE import SET blocks = (SELECT count(*) FROM block WHERE import = id) WHERE id = ?",
                (row,),
            )
            return self._imports("WHERE id = ?", row)[0]

    # --- reading -------------------------------------------------------------------------------

    def node(self, digest: bytes) -> bytes | None:
        """The block of a directory, file or manifest node, or None."""
        row = self._one("SELECT block FROM node WHERE digest = ?", digest)
        return None if row is None else bytes(row[0])

    def places(self, key: bytes) -> list[Place]:
        """Where a block is said to stand, by its :attr:`AnyCid.key`: the pieces of published files,
        and what was imported. Empty when the store never saw it.
        """
        return self.places_of([key])[key]

    def places_of(self, keys: Sequence[bytes]) -> dict[bytes, list[Place]]:
        """The same for up to some hundred blocks at once, which costs little more than one."""
        found: dict[bytes, list[Place]] = {key: [] for key in keys}
        marks = ",".join("?" * len(keys))
        with self._translated(), self._lock:
            pieces = self._db.execute(
                f"SELECT digest, {_PIECE} WHERE digest IN ({marks})", keys
            ).fetchall()
            blocks = self._db.execute(
                f"SELECT key, {_BLOCK} WHERE key IN ({marks})", keys
            ).fetchall()
        with of_kind(self.path):
            for key, *row in pieces:
                found[key].append(piece_place(*row))
            for key, *row in blocks:
                found[key].append(block_place(self.imports_folder, *row))
        return found

    def releases(self) -> list[StoredRelease]:
        """Everything that can be served, in the order in which it was put in."""
        return self._releases("ORDER BY added, manifest")

    def release(self, manifest: bytes) -> StoredRelease | None:
        """The release of this manifest, if it is served."""
        return next(iter(self._releases("WHERE manifest = ?", manifest)), None)

    def _releases(self, condition: str, *values: object) -> list[StoredRelease]:
        query = f"SELECT {_RELEASE} FROM release {condition}"  # noqa: S608
        with self._translated(), self._lock:
            rows = self._db.execute(query, values).fetchall()
        with of_kind(self.path):
            return [StoredRelease(*checked(row, RELEASE)) for row in rows]

    def imports(self) -> list[StoredImport]:
        """The imported CAR files, in the order in which they were put in."""
        with self._translated(), self._lock:
            return self._imports("")

    def each_node(self) -> Iterator[tuple[bytes, bytes]]:
        """(digest, block) of every node, as of one moment."""
        for digest, block in self._snapshot("SELECT digest, block FROM node"):
            yield bytes(digest), bytes(block)

    def each_place(self) -> Iterator[tuple[bytes, Place]]:
        """(key, place) of every block that stands in a file, file by file, as of one moment."""
        for key, *row in self._snapshot(f"SELECT digest, {_PIECE} ORDER BY file, number"):
            with of_kind(self.path):
                place = piece_place(*row)
            yield bytes(key), place
        for key, *row in self._snapshot(f"SELECT key, {_BLOCK} ORDER BY import, offset"):
            with of_kind(self.path):
                place = block_place(self.imports_folder, *row)
            yield bytes(key), place

    def _snapshot(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Over a connection of its own, so that others go on meanwhile."""
        with self._translated():
            own = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
            with contextlib.closing(own):
                yield from own.execute(query)

    # --- taking away ---------------------------------------------------------------------------

    def remove_release(self, manifest: bytes) -> None:
        """Forget a release; what nothing else needs is left to :meth:`collect`."""
        with self._translated(), self._transaction():
            self._db.execute("DELETE FROM release WHERE manifest = ?", (manifest,))

    def remove_import(self, number: int) -> None:
        """Forget an import, and delete the store's copy of it."""
        with self._translated():
            with self._transaction():
                known = self._imports("WHERE id = ?", number)
                self._db.execute("DELETE FROM block WHERE import = ?", (number,))
                self._db.execute("DELETE FROM import WHERE id = ?", (number,))
            for entry in known:
                (self.imports_folder / entry.name).unlink(missing_ok=True)

    def collect(self, needed: Callable[[Callable[[bytes], bytes | None]], Iterable[bytes]]) -> int:
        """Delete every node that is not among the digests ``needed`` gives, and every file that no
        release's folder has -> how many nodes and files that were. ``needed`` is given a way to read
        nodes; nothing is added meanwhile.
        """
        with self._translated(), self._transaction():
            self._db.execute("CREATE TEMP TABLE needed (digest BLOB PRIMARY KEY) WITHOUT ROWID")
            try:
                self._db.executemany(
                    "INSERT OR IGNORE INTO needed VALUES (?)", ((d,) for d in needed(self.node))
                )
                gone = self._db.execute(
                    "DELETE FROM node WHERE digest NOT IN (SELECT digest FROM needed)"
                ).rowcount
            finally:
                self._db.execute("DROP TABLE needed")
            return int(gone) + self._collect_files()

    def _collect_files(self) -> int:
        with of_kind(self.path):
            folders = {bytes(f) for (f,) in self._db.execute("SELECT DISTINCT folder FROM release")}
            gone = [
                (number,)
                for number, path in self._db.execute("SELECT id, path FROM file").fetchall()
                if not any(folder in folders for folder in above(bytes(path)))
            ]
        self._db.executemany("DELETE FROM piece WHERE file = ?", gone)
        self._db.executemany("DELETE FROM file WHERE id = ?", gone)
        return len(gone)

    def shrink(self) -> None:
        """Give the room of what was deleted back to the disk; not while others are at it."""
        with self._translated(), self._lock, contextlib.suppress(sqlite3.OperationalError):
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _imports(self, condition: str, *values: object) -> list[StoredImport]:
        query = f"SELECT id, name, roots, blocks, size FROM import {condition} ORDER BY id"  # noqa: S608
        with of_kind(self.path):
            return [StoredImport(*checked(row, IMPORT)) for row in self._db.execute(query, values)]

    def _one(self, query: str, *values: object) -> tuple[bytes, ...] | None:
        with self._translated(), self._lock:
            row: tuple[bytes, ...] | None = self._db.execute(query, values).fetchone()
            return row


_PIECE = "path, number, size FROM piece JOIN file ON file.id = piece.file"
_BLOCK = "name, offset, length FROM block JOIN import ON id = import"
