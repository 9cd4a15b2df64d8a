"""What manifests say: which release has which file, and what its publisher tells of it.

A file is found by what the manifest knows it by: one of at most a piece by its SHA-256, a larger one by the
list of its pieces (the SHA-256 of their digests, one after another, is the key here), and either by the
digests under ``also``, which nobody has checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import NamedTuple

from integrity.core.manifest import FileEntry, Header
from integrity.core.pieces import DIGEST_SIZE
from integrity.index.database import Index
from integrity.index.words import terms

SHA256, PIECES, ALSO_SHA256, SHA1, ED2K, TTH = range(6)
KINDS = ("sha256", "pieces", "also.sha256", "also.sha1", "also.ed2k", "also.tth")
"""How a file was found, by the number in the database."""

_ALSO = {"sha256": ALSO_SHA256, "sha1": SHA1, "ed2k": ED2K, "tth": TTH}
_BATCH = 4096


class Held(NamedTuple):
    """A manifest of which something is in the index. ``files`` says that its files are, ``followed`` that
    it is not (only) there because the store has it.
    """

    number: int
    chain_id: int
    manifest: bytes
    publisher: bytes
    package: str
    version: str
    files: bool
    followed: bool


class HeldFile(NamedTuple):
    """A file of such a manifest, and by which of :data:`KINDS` it was found."""

    held: Held
    path: str
    size: int
    kind: str


def file_key(digests: bytes) -> tuple[int, bytes]:
    """(kind, key) of a file by its pieces' digests, as they stand in a manifest."""
    if len(digests) == DIGEST_SIZE:
        return SHA256, digests
    return PIECES, hashlib.sha256(digests).digest()


def also_key(name: str, text: str) -> tuple[int, bytes]:
    """The same of a digest under ``also``."""
    return _ALSO[name], text.encode() if name == "tth" else bytes.fromhex(text)


_COLUMNS = "held.id, chain_id, manifest, address, package, version, files, followed"


def _held(row: tuple[int, int, bytes, bytes, str, str, int, int]) -> Held:
    number, chain_id, manifest, address, package, version, files, followed = row
    return Held(
        number, chain_id, bytes(manifest), bytes(address), package, version, bool(files), bool(followed)
    )  # fmt: skip


def held(index: Index) -> list[Held]:
    """Every manifest of which something is known. Raises StoreError."""
    with index.file.translated(), index.file.lock:
        rows = index.file.connection.execute(f"SELECT {_COLUMNS} FROM held").fetchall()  # noqa: S608
    return [_held(row) for row in rows]


def note_header(
    index: Index, chain_id: int, manifest: bytes, header: Header, *, followed: bool
) -> int:
    """Put in what a manifest tells of its release, if it is not there -> its row. Raises StoreError."""
    db = index.file.connection
    with index.file.translated(), index.file.transaction():
        made = db.execute(
            "INSERT OR IGNORE INTO held (chain_id, address, package, version, manifest, files, followed) "
            "VALUES (?, ?, ?, ?, ?, 0, ?)",
            (
                chain_id, bytes.fromhex(header.publisher[2:]), header.package, header.version, manifest,
                followed,
            ),
        ).rowcount  # fmt: skip
        (number,) = db.execute(
            "SELECT id FROM held WHERE manifest = ? AND chain_id = ?", (manifest, chain_id)
        ).fetchone()
        if made and header.meta:
            words = dict.fromkeys(terms(header.package))
            for text in header.meta.values():
                words.update(dict.fromkeys(terms(text)))
            db.execute(
                "INSERT INTO described (rowid, terms) VALUES (?, ?)", (number, " ".join(words))
            )
    return int(number)


def note_files(index: Index, number: int, entries: Iterable[FileEntry]) -> None:
    """Put in the files of a manifest whose header was; all of them, or none. Raises StoreError, and
    whatever the iterable raises.
    """
    db = index.file.connection
    with index.file.translated(), index.file.transaction():
        (last,) = db.execute("SELECT coalesce(max(id), 0) FROM file").fetchone()
        files: list[tuple[int, int, str, int]] = []
        digests: list[tuple[bytes, int, int]] = []

        def write() -> None:
            db.executemany("INSERT INTO file VALUES (?, ?, ?, ?)", files)
            digests.sort()
            db.executemany("INSERT INTO digest VALUES (?, ?, ?)", digests)
            files.clear()
            digests.clear()

        if not _is_without_files(index, number):
            return  # another process did the same meanwhile
        for row, entry in enumerate(entries, last + 1):
            files.append((row, number, entry.path, entry.size))
            kind, key = file_key(entry.digests)
            digests.append((key, kind, row))
            for name, text in entry.also.items():
                kind, key = also_key(name, text)
                digests.append((key, kind, row))
            if len(files) == _BATCH:
                write()
        write()
        db.execute("UPDATE held SET files = 1 WHERE id = ?", (number,))


def _is_without_files(index: Index, number: int) -> bool:
    query = "SELECT 1 FROM held WHERE id = ? AND NOT files"
    return index.file.connection.execute(query, (number,)).fetchone() is not None


def drop(index: Index, numbers: Collection[int]) -> None:
    """Forget manifests, with all they said. Raises StoreError."""
    db = index.file.connection
    with index.file.translated(), index.file.transaction():
        for number in numbers:
            db.execute(
                "DELETE FROM digest WHERE file IN (SELECT id FROM file WHERE held = ?)", (number,)
            )
            db.execute("DELETE FROM file WHERE held = ?", (number,))
            db.execute("DELETE FROM described WHERE rowid = ?", (number,))
            db.execute("DELETE FROM held WHERE id = ?", (number,))


def find_files(
    index: Index, keys: Iterable[tuple[int, bytes]], size: int | None, limit: int
) -> list[HeldFile]:
    """The files known by one of these (kind, key), of this size if that is known. Raises StoreError."""
    query = (
        f"SELECT path, size, kind, {_COLUMNS} FROM digest JOIN file ON file.id = file "  # noqa: S608
        "JOIN held ON held.id = held WHERE key = ? AND kind = ? AND (? IS NULL OR size = ?) "
        "ORDER BY held.id DESC, path LIMIT ?"
    )
    found: list[HeldFile] = []
    with index.file.translated(), index.file.lock:
        for kind, key in keys:
            rows = index.file.connection.execute(query, (key, kind, size, size, limit)).fetchall()
            found += [
                HeldFile(_held(row), path, length, KINDS[kind]) for path, length, kind, *row in rows
            ]
    return found[:limit]
