"""The tables of the store, and how those of an older release become today's."""

from __future__ import annotations

VERSION = 2

_RELEASES = """
CREATE TABLE release (
    manifest BLOB PRIMARY KEY, chain_id INTEGER NOT NULL, publisher TEXT NOT NULL,
    package TEXT NOT NULL, version TEXT NOT NULL, content BLOB NOT NULL, folder BLOB NOT NULL,
    files INTEGER NOT NULL, size INTEGER NOT NULL, added INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX release_name ON release (chain_id, publisher, package, version);
CREATE TABLE file (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER NOT NULL);
CREATE TABLE piece (
    digest BLOB NOT NULL, file INTEGER NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (digest, file, number)
) WITHOUT ROWID;
CREATE INDEX piece_file ON piece (file);
CREATE TABLE node (digest BLOB PRIMARY KEY, block BLOB NOT NULL) WITHOUT ROWID;
"""

# An import is a CAR file of the store's own; its blocks are found by their keys (AnyCid.key).
_IMPORTS = """
CREATE TABLE import (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, roots BLOB NOT NULL,
    blocks INTEGER NOT NULL, size INTEGER NOT NULL, added INTEGER NOT NULL
);
CREATE TABLE block (
    key BLOB NOT NULL, import INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    PRIMARY KEY (key, import)
) WITHOUT ROWID;
CREATE INDEX block_import ON block (import);
"""

# Files were held against the stat they had when they were published; now each is hashed instead, so
# that one which was copied, or whose disk has another number since, is served still.
_WITHOUT_STATS = """
ALTER TABLE file DROP COLUMN mtime;
ALTER TABLE file DROP COLUMN ctime;
ALTER TABLE file DROP COLUMN inode;
ALTER TABLE file DROP COLUMN device;
"""

_STEPS = {0: _RELEASES + _IMPORTS, 1: _WITHOUT_STATS + _IMPORTS}


def statements(version: int) -> list[str] | None:
    """What makes today's layout out of the one with that number; None when it is a newer one."""
    if version == VERSION:
        return []
    text = _STEPS.get(version)
    return None if text is None else [part for part in text.split(";") if part.strip()]
