"""The index's SQLite database: a registry's events up to a mark, step by step.

Each step is one transaction, and the mark moves with it: what is killed in the middle has done nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from integrity.core.events import DelegateSet, Endorsed, Event, LatestChanged, Released, Revoked
from integrity.disk.sqlite import Database
from integrity.index import schema
from integrity.index.words import document
from integrity.ports import EventStep

MARKS = 1000
"""How many marks are kept of each registry."""

_KNOWN_LIMIT = 1 << 17

_V = TypeVar("_V", bytes, str)


class Mark(NamedTuple):
    """A block up to which all events are in; ``final`` says that it was taken for one that stays."""

    number: int
    hash: bytes
    final: bool


class Scope(NamedTuple):
    """Which registry: its chain, and its address there (EIP-55)."""

    chain_id: int
    address: str


class Index:
    """One database file; safe to use from several threads and several processes at once. Every method
    raises StoreError when it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = Database(
            path, "index", schema.VERSION, schema.statements, durable=False,
            mend="Delete it; it is made anew.",
        )  # fmt: skip
        self._db = self.file.connection
        self._publishers: dict[tuple[int, bytes], int] = {}
        self._packages: dict[tuple[int, str], int] = {}
        self._version = -1

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- how far it is -------------------------------------------------------------------------

    def registry(self, scope: Scope) -> int | None:
        """The row of a registry of which something is known."""
        with self.file.translated(), self.file.lock:
            row = self._db.execute(
                "SELECT id FROM registry WHERE chain_id = ? AND address = ?", scope
            ).fetchone()
        return None if row is None else int(row[0])

    def scopes(self) -> list[Scope]:
        """The registries of which something is known."""
        with self.file.translated(), self.file.lock:
            rows = self._db.execute("SELECT chain_id, address FROM registry ORDER BY id").fetchall()
        return [Scope(*row) for row in rows]

    def mark(self, scope: Scope) -> Mark | None:
        """How far it is; None when nothing of this registry was read yet."""
        found = self.marks(scope, 1)
        return found[0] if found else None

    def marks(self, scope: Scope, limit: int = MARKS) -> list[Mark]:
        """The marks that are kept, newest first."""
        with self.file.translated(), self.file.lock:
            rows = self._db.execute(
                "SELECT number, hash, final FROM mark WHERE registry = "
                "(SELECT id FROM registry WHERE chain_id = ? AND address = ?) "
                "ORDER BY number DESC LIMIT ?",
                (*scope, limit),
            ).fetchall()
        return [Mark(number, bytes(block_hash), bool(final)) for number, block_hash, final in rows]

    # --- a step --------------------------------------------------------------------------------

    def add(self, scope: Scope, after: Mark | None, step: EventStep, *, final: bool) -> bool:
        """Put a step in that begins after a mark -> whether it was; not if the mark has moved meanwhile,
        as another process did the same.
        """
        try:
            with self.file.translated(), self.file.transaction():
                self._notice_others()
                if self.mark(scope) != after:
                    return False
                self._add(self._registry(scope), step, final=final)
        except BaseException:
            self._forget()
            raise
        return True

    def _notice_others(self) -> None:
        """Rows that another process may have taken out and put in again have other numbers, too."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._version = version
            self._forget()

    def _forget(self) -> None:
        """Rows that were numbered and not written have other numbers the next time."""
        self._publishers.clear()
        self._packages.clear()

    def _registry(self, scope: Scope) -> int:
        self._db.execute("INSERT OR IGNORE INTO registry (chain_id, address) VALUES (?, ?)", scope)
        number = self.registry(scope)
        assert number is not None, "it was put in just now"
        return number

    def _add(self, registry: int, step: EventStep, *, final: bool) -> None:
        self._number_packages(registry, step.events)
        blocks: dict[int, bytes] = {}
        releases, latest, revocations, endorsements = [], [], [], []
        for event in step.events:
            block, block_hash, position, sent, _ = event.place
            blocks[block] = block_hash
            if isinstance(event, DelegateSet):
                continue
            if isinstance(event, Endorsed):
                endorsements.append((
                    registry, event.manifest, event.endorser, block, position, event.kind, sent,
                ))  # fmt: skip
                continue
            publisher = self._publishers[registry, event.publisher]
            package = self._packages[publisher, event.package]
            if isinstance(event, Released):
                releases.append((
                    package, event.sequence, block, position, event.version, event.manifest, event.by,
                    event.latest, sent,
                ))  # fmt: skip
            elif isinstance(event, LatestChanged):
                latest.append((package, block, position, event.version, event.sequence, sent))
            else:
                revocations.append((
                    package, event.sequence, block, position, event.reason, event.text, sent,
                ))  # fmt: skip
        many = self._db.executemany
        many("INSERT INTO release VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", releases)
        many("INSERT INTO latest VALUES (?, ?, ?, ?, ?, ?)", latest)
        many("INSERT INTO revocation VALUES (?, ?, ?, ?, ?, ?, ?)", revocations)
        many("INSERT INTO endorsement VALUES (?, ?, ?, ?, ?, ?, ?)", endorsements)
        many(
            "INSERT INTO block VALUES (?, ?, ?)",
            [(registry, number, block_hash) for number, block_hash in blocks.items()],
        )
        self._db.execute(
            "INSERT INTO mark VALUES (?, ?, ?, ?)", (registry, step.last, step.hash, final)
        )
        self._db.execute(
            "DELETE FROM mark WHERE registry = ? AND number <= (SELECT number FROM mark "
            "WHERE registry = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
            (registry, registry, MARKS),
        )

    def _number_packages(self, registry: int, events: Sequence[Event]) -> None:
        """Have the rows of all publishers and packages of a step, and their words."""
        if len(self._packages) > _KNOWN_LIMIT:
            self._forget()
        named = dict.fromkeys(
            (e.publisher, e.package)
            for e in events
            if isinstance(e, Released | LatestChanged | Revoked)
        )
        addresses = [(registry, address) for address in dict.fromkeys(a for a, _ in named)]
        self._number("publisher", "registry", "address", self._publishers, addresses)
        packages = [(self._publishers[registry, address], name) for address, name in named]
        made = self._number("package", "publisher", "name", self._packages, packages)
        self._db.executemany(
            "INSERT INTO word (rowid, terms) VALUES (?, ?)",
            [(number, document(name, publisher, registry)) for number, publisher, name in made],
        )

    def _number(
        self,
        table: str,
        above: str,
        key: str,
        known: dict[tuple[int, _V], int],
        rows: list[tuple[int, _V]],
    ) -> list[tuple[int, int, _V]]:
        """Have ``known`` say the row of each of these -> (row, above, key) of those that were made."""
        (last,) = self._db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()  # noqa: S608
        find = f"SELECT id FROM {table} WHERE {above} = ? AND {key} = ?"  # noqa: S608
        made: list[tuple[int, int, _V]] = []
        for parent, value in rows:
            if (parent, value) in known:
                continue
            found = self._db.execute(find, (parent, value)).fetchone()
            if found is None:
                last += 1
                made.append((last, parent, value))
            known[parent, value] = last if found is None else found[0]
        self._db.executemany(
            f"INSERT INTO {table} (id, {above}, {key}) VALUES (?, ?, ?)",  # noqa: S608
            made,
        )
        return made

    # --- going back ----------------------------------------------------------------------------

    def roll_back(self, scope: Scope, at: Mark, to: Mark | None) -> bool:
        """Take out what came after a mark, or everything -> whether that was done; not if it is not ``at``
        that mark any more.
        """
        self._forget()
        with self.file.translated(), self.file.transaction():
            if self.mark(scope) != at:
                return False
            registry = self._registry(scope)
            after = -1 if to is None else to.number
            for table in ("mark", "block"):
                self._db.execute(
                    f"DELETE FROM {table} WHERE registry = ? AND number > ?",  # noqa: S608
                    (registry, after),
                )
            self._db.execute(
                "DELETE FROM endorsement WHERE registry = ? AND block > ?", (registry, after)
            )
            for table in ("release", "latest", "revocation"):
                self._db.execute(
                    f"DELETE FROM {table} WHERE block > ? AND package IN (SELECT package.id "  # noqa: S608
                    "FROM package JOIN publisher ON publisher.id = package.publisher WHERE registry = ?)",
                    (after, registry),
                )
            self._forget_packages(registry)
        return True

    def _forget_packages(self, registry: int) -> None:
        """Those of which nothing is left, and their words; publishers' rows stay, for their numbers."""
        gone = list(self._without_releases(registry))
        self._db.executemany("INSERT INTO word (word, rowid, terms) VALUES ('delete', ?, ?)", gone)
        self._db.executemany("DELETE FROM package WHERE id = ?", [(number,) for number, _ in gone])

    def _without_releases(self, registry: int) -> Iterator[tuple[int, str]]:
        rows = self._db.execute(
            "SELECT package.id, name, publisher.id FROM package "
            "JOIN publisher ON publisher.id = package.publisher WHERE registry = ? "
            "AND NOT EXISTS (SELECT 1 FROM release WHERE release.package = package.id) "
            "AND NOT EXISTS (SELECT 1 FROM latest WHERE latest.package = package.id) "
            "AND NOT EXISTS (SELECT 1 FROM revocation WHERE revocation.package = package.id)",
            (registry,),
        ).fetchall()
        for number, name, publisher in rows:
            yield number, document(name, publisher, registry)
