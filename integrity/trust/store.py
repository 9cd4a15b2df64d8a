"""Whom this home believes: an alias for each publisher, kept in ``trust.toml``.

A record proves who says something, never that they should be believed; that is this file's part.
"""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from integrity.core.links import IS_ALIAS
from integrity.disk.settings import change_settings, changing, load_toml
from integrity.errors import UsageError
from integrity.home import Home
from integrity.trust.reading import ALIAS_RULE, Trust, TrustedPublisher

_SETTLED_SECONDS = 2.0
"""A file that was changed so long ago shows by its times when it is changed again."""


class TrustStore:
    """The file of one home; every change is written at once."""

    def __init__(self, home: Home) -> None:
        self._path = home.trust_file

    def read(self) -> Trust:
        """What it says now. Raises UsageError."""
        try:
            found = self._path.stat()
        except OSError:  # none, or one that cannot be read, which reading says
            return _parse(self._path)
        changed = max(found.st_mtime, found.st_ctime)
        if time.time() - changed < _SETTLED_SECONDS:
            return _parse(self._path)
        return _parsed(
            self._path,
            found.st_dev,
            found.st_ino,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
        )

    def add(self, *entries: TrustedPublisher) -> None:
        """Add entries, all of them or none; an alias that means somebody else already is refused
        (UsageError).
        """
        for entry in entries:
            if not IS_ALIAS.fullmatch(entry.alias):
                raise UsageError(f"not an alias: {entry.alias[:80]!r}", next=ALIAS_RULE)
        with changing(self._path):
            new = [entry for entry in entries if not self._is_known(entry)]
            if not new:
                return
            tables: dict[tuple[str, ...], dict[str, Any]] = {
                ("publishers", entry.alias): {
                    "chain": entry.chain_id,
                    "publisher": entry.publisher,
                }
                for entry in new
            }
            change_settings(self._path, lambda meant: Trust(self._path, meant), tables)

    def _is_known(self, entry: TrustedPublisher) -> bool:
        """Raises UsageError when its alias means somebody else."""
        known = next((one for one in self.read().all() if one.alias == entry.alias), None)
        if known is None:
            return False
        if (known.chain_id, known.publisher) != (entry.chain_id, entry.publisher):
            raise UsageError(
                f"the alias {entry.alias!r} means {known.publisher} on chain {known.chain_id}",
                next="Choose another alias, or remove that one first.",
            )
        return True

    def remove(self, alias: str) -> TrustedPublisher:
        """Take an entry out and return it; raises UsageError when there is none, or a policy names it."""
        self.read().find(alias)  # a home that has nothing gets no file for that

        def check(meant: dict[str, Any]) -> None:
            try:
                Trust(self._path, meant)
            except UsageError as error:
                raise UsageError(
                    f"{alias!r} is named by a policy of {self._path}, which could not be kept without it",
                    next="Take it out of the policy first.",
                ) from error

        with changing(self._path):
            entry = self.read().find(alias)
            change_settings(self._path, check, gone=("publishers", alias))
        return entry


def _parse(path: Path) -> Trust:
    return Trust(path, load_toml(path))


@lru_cache(maxsize=4)
def _parsed(path: Path, *_identity: int) -> Trust:
    """The same; it is asked for several times for each record, and may have thousands of entries."""
    return _parse(path)
