"""The tables of the index. Whatever is in them can be made anew."""

from __future__ import annotations

VERSION = 1

# A mark is a block up to which everything is in: the newest one is where the next step begins, the older
# ones are where to go back to when the chain turns out to be another. Rows know their block, so that what
# came after a mark can be taken out.
_EVENTS = """
CREATE TABLE registry (
    id INTEGER PRIMARY KEY, chain_id INTEGER NOT NULL, address TEXT NOT NULL,
    UNIQUE (chain_id, address)
);
CREATE TABLE mark (
    registry INTEGER NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL, final INTEGER NOT NULL,
    PRIMARY KEY (registry, number)
) WITHOUT ROWID;
CREATE TABLE block (
    registry INTEGER NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL,
    PRIMARY KEY (registry, number)
) WITHOUT ROWID;
CREATE TABLE publisher (
    id INTEGER PRIMARY KEY, registry INTEGER NOT NULL, address BLOB NOT NULL,
    UNIQUE (registry, address)
);
CREATE TABLE package (
    id INTEGER PRIMARY KEY, publisher INTEGER NOT NULL, name TEXT NOT NULL,
    UNIQUE (publisher, name)
);
CREATE INDEX package_name ON package (name);
CREATE TABLE release (
    package INTEGER NOT NULL, sequence INTEGER NOT NULL, block INTEGER NOT NULL,
    position INTEGER NOT NULL, version TEXT NOT NULL, manifest BLOB NOT NULL, sent_by BLOB NOT NULL,
    latest INTEGER NOT NULL, sent BLOB NOT NULL,
    PRIMARY KEY (package, sequence, block, position)
) WITHOUT ROWID;
CREATE TABLE latest (
    package INTEGER NOT NULL, block INTEGER NOT NULL, position INTEGER NOT NULL,
    version TEXT NOT NULL, sequence INTEGER NOT NULL, sent BLOB NOT NULL,
    PRIMARY KEY (package, block, position)
) WITHOUT ROWID;
CREATE TABLE revocation (
    package INTEGER NOT NULL, sequence INTEGER NOT NULL, block INTEGER NOT NULL,
    position INTEGER NOT NULL, reason INTEGER NOT NULL, text TEXT NOT NULL, sent BLOB NOT NULL,
    PRIMARY KEY (package, sequence, block, position)
) WITHOUT ROWID;
CREATE TABLE endorsement (
    registry INTEGER NOT NULL, manifest BLOB NOT NULL, endorser BLOB NOT NULL,
    block INTEGER NOT NULL, position INTEGER NOT NULL, kind INTEGER NOT NULL, sent BLOB NOT NULL,
    PRIMARY KEY (registry, manifest, endorser, block, position)
) WITHOUT ROWID;
"""

# One document for each package. Its words are prepared (integrity.index.words), and none but whole words and
# their beginnings are asked for, so neither places nor the text are kept. Beginnings of up to ten characters
# are indexed as such: without that a common one has to be gathered from half the index first.
_WORDS = """
CREATE VIRTUAL TABLE word USING fts5 (
    terms, content = '', columnsize = 0, detail = none, prefix = '1 2 3 4 5 6 7 8 9 10',
    tokenize = ascii
);
"""

# Documents come in by the thousand, and are put together less often than SQLite would by itself.
_MERGE = "INSERT INTO word (word, rank) VALUES ('automerge', 16);\n"

# What manifests say that are held here, or were read for who follows them.
_MANIFESTS = """
CREATE TABLE held (
    id INTEGER PRIMARY KEY, chain_id INTEGER NOT NULL, address BLOB NOT NULL,
    package TEXT NOT NULL, version TEXT NOT NULL, manifest BLOB NOT NULL,
    files INTEGER NOT NULL, followed INTEGER NOT NULL, UNIQUE (manifest, chain_id)
);
CREATE TABLE file (
    id INTEGER PRIMARY KEY, held INTEGER NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL
);
CREATE INDEX file_held ON file (held);
CREATE TABLE digest (
    key BLOB NOT NULL, kind INTEGER NOT NULL, file INTEGER NOT NULL,
    PRIMARY KEY (key, kind, file)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE described USING fts5 (
    terms, columnsize = 0, detail = none, prefix = '1 2 3 4 5 6',
    tokenize = ascii
);
"""


def statements(version: int) -> list[str] | None:
    """What makes today's layout out of the one with that number; None when it is a newer one."""
    if version == VERSION:
        return []
    if version:
        return None
    return [part for part in (_EVENTS + _WORDS + _MERGE + _MANIFESTS).split(";\n") if part.strip()]
