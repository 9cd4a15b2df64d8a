"""One SQLite file of this home, as each of them is opened: write-ahead log, layout, errors."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from integrity.errors import StoreError

WAIT_SECONDS = 30.0
_CACHE = 16 << 20  # digests come in no order: with SQLite's 2 MiB each would cost a page

Statements = Callable[[int], list[str] | None]
"""What makes today's layout out of the one with that number; None when it is a newer one."""


class Database:
    """One file; safe to use from several threads and several processes at once. ``what`` it is called in
    messages, ``layout`` the number of today's, ``mend`` what to do when it is damaged. What is not
    ``durable`` survives every crash of a process, and of the machine only as a whole, without the last steps.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        layout: int,
        statements: Statements,
        *,
        durable: bool,
        mend: str,
    ) -> None:
        self.path = path
        self._mend = mend
        self._what = what
        self._layout = layout
        self._statements = statements
        self.lock = threading.RLock()
        with self.translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(
                path, timeout=WAIT_SECONDS, check_same_thread=False, isolation_level=None
            )
            self._use_wal()
            self.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self.connection.execute(f"PRAGMA cache_size = -{_CACHE >> 10}")
            self._migrate()
            if os.name == "posix" and path.stat().st_mode & 0o077:
                os.chmod(path, 0o600)

    def _use_wal(self) -> None:
        """Change to the write-ahead log, waiting for who else is at it: SQLite's own waiting does
        not cover this change.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def _migrate(self) -> None:
        if not self._missing_statements():  # without waiting for who writes
            return
        with self.transaction():
            for statement in self._missing_statements():
                self.connection.execute(statement)
            self.connection.execute(f"PRAGMA user_version = {self._layout}")

    def _missing_statements(self) -> list[str]:
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        statements = self._statements(version)
        if statements is None:
            raise StoreError(
                f"the {self._what} {self.path} has the layout {version}, made by a newer release",
                next="Update this program, or set INTEGRITY_HOME to another folder.",
            )
        return statements

    def close(self) -> None:
        with self.lock:
            self.connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Around what is written as one, or not at all."""
        with self.lock:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Around every use: what SQLite and the system say is a StoreError."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            damaged = code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
            raise StoreError(
                f"the {self._what} {self.path} cannot be used: {error}",
                next=self._mend if damaged else "Look at the disk's room and permissions.",
            ) from error
