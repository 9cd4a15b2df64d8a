"""Whom this home believes: an alias for each publisher, kept in ``trust.toml``.

A record proves who says something, never that they should be believed; that is this file's part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from integrity.core.links import ALIAS
from integrity.core.names import parse_address
from integrity.errors import AddressMalformed, UsageError
from integrity.home import (
    Home,
    changing,
    is_chain_id,
    load_toml,
    read_text,
    subtable,
    write_settings,
)

_ALIAS = re.compile(ALIAS)
_ALIAS_RULE = (
    "Use 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit; no address."
)


@dataclass(frozen=True, slots=True)
class TrustedPublisher:
    """One entry: who is meant by ``alias``, on which chain."""

    alias: str
    chain_id: int
    publisher: str


class TrustStore:
    """The entries of one home; every change is written at once."""

    def __init__(self, home: Home) -> None:
        self._path = home.trust_file

    def all(self) -> list[TrustedPublisher]:
        """Every entry, sorted by alias. Raises UsageError when the file is broken, or says what
        this version does not know: a restriction that is not understood must not be passed over.
        """
        document = load_toml(self._path)
        self._check_known(document, {"publishers"}, "it")
        table = document.get("publishers", {})
        if not isinstance(table, dict):
            raise UsageError(f"{self._path}: publishers is no table")
        return sorted(
            (self._entry(alias, value) for alias, value in table.items()), key=lambda e: e.alias
        )

    def _check_known(self, table: Mapping[str, Any], known: set[str], what: str) -> None:
        unknown = set(table) - known
        if unknown:
            raise UsageError(f"{self._path}: {what} has the unknown setting {min(unknown)!r}")

    def _entry(self, alias: str, value: object) -> TrustedPublisher:
        what = f"[publishers.{alias}]"
        if not isinstance(value, dict) or not is_chain_id(value.get("chain")):
            raise UsageError(f"{self._path}: {what} needs chain = <number>")
        if not _ALIAS.fullmatch(alias):
            raise UsageError(
                f"{self._path}: {what} is no alias that a link can say", next=_ALIAS_RULE
            )
        self._check_known(value, {"chain", "publisher"}, what)
        try:
            publisher = parse_address(str(value.get("publisher", "")))
        except AddressMalformed as error:
            raise UsageError(f"{self._path}: {what}: {error.message}") from error
        return TrustedPublisher(alias, value["chain"], publisher)

    def find(self, alias: str) -> TrustedPublisher:
        """The entry of this alias; raises UsageError when there is none."""
        for entry in self.all():
            if entry.alias == alias:
                return entry
        raise UsageError(
            f"the trust store has no alias {alias!r}",
            next="`integrity trust list` shows those it has; `integrity trust add` adds one.",
        )

    def alias_of(self, chain_id: int, publisher: str) -> str | None:
        """By what name this publisher is trusted on this chain, or None."""
        for entry in self.all():
            if (entry.chain_id, entry.publisher) == (chain_id, publisher):
                return entry.alias
        return None

    def add(self, entry: TrustedPublisher) -> None:
        """Add an entry; an alias that means somebody else already is refused (UsageError)."""
        if not _ALIAS.fullmatch(entry.alias):
            raise UsageError(f"not an alias: {entry.alias[:80]!r}", next=_ALIAS_RULE)
        with changing(self._path):
            self._add(entry)

    def _add(self, entry: TrustedPublisher) -> None:
        import tomlkit

        for known in self.all():
            if known == entry:
                return
            if known.alias == entry.alias:
                raise UsageError(
                    f"the alias {entry.alias!r} means {known.publisher} on chain {known.chain_id}",
                    next="Choose another alias, or remove that one first.",
                )
        document = tomlkit.parse(read_text(self._path))
        publishers = subtable(document, "publishers", is_super_table=True)
        subtable(publishers, entry.alias).update(
            {"chain": entry.chain_id, "publisher": entry.publisher}
        )
        write_settings(self._path, tomlkit.dumps(document))

    def remove(self, alias: str) -> TrustedPublisher:
        """Take an entry out and return it; raises UsageError when there is none."""
        import tomlkit  # only those who write need it

        self.find(alias)  # a home that has nothing gets no file for that
        with changing(self._path):
            entry = self.find(alias)
            document = tomlkit.parse(read_text(self._path))
            del document["publishers"][alias]
            write_settings(self._path, tomlkit.dumps(document))
        return entry
