"""Whom this home believes: an alias for each publisher, kept in ``trust.toml``.

A record proves who says something, never that they should be believed; that is this file's part.
"""

from __future__ import annotations

import time
import tomllib
from functools import lru_cache
from pathlib import Path

from integrity.disk.settings import changing, load_toml, put, read_text, subtable, write_settings
from integrity.errors import UsageError
from integrity.home import Home
from integrity.trust.reading import ALIAS_RULE, IS_ALIAS, Trust, TrustedPublisher

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
            self._path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
        )

    def add(self, *entries: TrustedPublisher) -> None:
        """Add entries, all of them or none; an alias that means somebody else already is refused
        (UsageError).
        """
        import tomlkit  # only those who write need it

        for entry in entries:
            if not IS_ALIAS.fullmatch(entry.alias):
                raise UsageError(f"not an alias: {entry.alias[:80]!r}", next=ALIAS_RULE)
        with changing(self._path):
            new = [entry for entry in entries if not self._is_known(entry)]
            if not new:
                return
            document = tomlkit.parse(read_text(self._path))
            publishers = subtable(document, "publishers", is_super_table=True)
            for entry in new:
                put(
                    publishers, entry.alias, {"chain": entry.chain_id, "publisher": entry.publisher}
                )
            write_settings(self._path, tomlkit.dumps(document))

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
        import tomlkit  # only those who write need it

        self.read().find(alias)  # a home that has nothing gets no file for that
        with changing(self._path):
            entry = self.read().find(alias)
            document = tomlkit.parse(read_text(self._path))
            del document["publishers"][alias]
            text = tomlkit.dumps(document)
            try:
                Trust(self._path, tomllib.loads(text))
            except UsageError as error:
                raise UsageError(
                    f"{alias!r} is named by a policy of {self._path}, which could not be kept without it",
                    next="Take it out of the policy first.",
                ) from error
            write_settings(self._path, text)
        return entry


def _parse(path: Path) -> Trust:
    return Trust(path, load_toml(path))


@lru_cache(maxsize=4)
def _parsed(path: Path, *_identity: int) -> Trust:
    """The same; it is asked for several times for each record, and may have thousands of entries."""
    return _parse(path)
