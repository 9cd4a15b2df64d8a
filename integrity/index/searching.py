"""Packages by their words, in a time that does not grow with how common a word is.

What few packages have is all looked at, and ranked. Of what many have, those are taken whose whole name is
asked for, those of trusted publishers, and the newest: nothing is gathered only to be sorted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from integrity.index.database import Index, Scope
from integrity.index.words import Word, expression, folded, registry_term

RANKED = 1000
"""Packages that are all looked at; when there are more, the newest so many are, and are not ranked."""

_PUBLISHERS = 200
_TRUSTED = 500


class Hit(NamedTuple):
    """A package, and the release of it that is meant: its latest as the events tell it, else the newest,
    or the newest of the versions that were asked for. ``releases`` is the highest sequence.
    """

    publisher: bytes
    package: str
    version: str
    sequence: int
    manifest: bytes
    releases: int


@dataclass(frozen=True, slots=True)
class Hits:
    """``is_ranked`` says that all there is was looked at and put in order, not only the newest."""

    hits: list[Hit]
    is_ranked: bool


@dataclass(frozen=True, slots=True)
class Query:
    """Every word has to be in a package's name, or be one that its publisher is called by (``called``: of
    each word the addresses, 20 bytes each), or stand in what a manifest says of it. ``only`` is the one
    publisher to look at, ``trusted`` whose packages come first.
    """

    words: Sequence[Word]
    called: Sequence[Collection[bytes]]
    trusted: Collection[bytes] = ()
    only: bytes | None = None
    limit: int = 20


class _Candidate(NamedTuple):
    number: int
    name: str
    publisher: bytes


class Searching:
    """The searches of one registry."""

    def __init__(self, index: Index, scope: Scope) -> None:
        self._index = index
        self._scope = scope
        self._db = index.file.connection

    def run(self, query: Query) -> Hits:
        """The packages, at most ``limit``. Raises StoreError."""
        with self._index.file.translated(), self._index.file.lock:
            registry = self._index.registry(self._scope)
            if registry is None:
                return Hits([], is_ranked=True)
            return self._run(registry, query)

    def _run(self, registry: int, query: Query) -> Hits:
        match = self._expression(registry, query)
        if match is None:
            return Hits([], is_ranked=True)
        found = self._newest(match, RANKED + 1)
        described = self._described(registry, query)
        if len(found) > RANKED:
            hits = self._hits(self._in_turn(registry, query, match, found, described), query)
            return Hits(hits, is_ranked=False)
        every = self._candidates(dict.fromkeys(found + described))
        candidates = sorted(every, key=lambda one: _rank(one, query))
        return Hits(self._hits(iter(candidates), query), is_ranked=True)

    # --- the words -----------------------------------------------------------------------------

    def _expression(self, registry: int, query: Query) -> str | None:
        """None when nothing can match."""
        publishers = [
            [*self._rows(registry, called), *self._beginning(registry, word.text)]
            for word, called in zip(query.words, query.called, strict=True)
        ]
        match = expression(query.words, publishers)
        parts = [match] if match else []
        if query.only is not None:
            rows = self._rows(registry, [query.only])
            if not rows:
                return None
            parts.append(expression([Word("")], [rows]))
        if self._is_not_alone(registry) or not parts:
            parts.append(f'"{registry_term(registry)}"')
        return " AND ".join(parts)

    def _is_not_alone(self, registry: int) -> bool:
        row = self._db.execute("SELECT 1 FROM registry WHERE id != ?", (registry,)).fetchone()
        return row is not None

    def _rows(self, registry: int, addresses: Collection[bytes]) -> list[int]:
        query = "SELECT id FROM publisher WHERE registry = ? AND address = ?"
        found = (self._db.execute(query, (registry, one)).fetchone() for one in addresses)
        return [row[0] for row in found if row is not None]

    def _beginning(self, registry: int, text: str) -> list[int]:
        """Publishers whose address begins so; of three digits and more, as else nearly every one does."""
        digits = text.removeprefix("0x")
        if not text.startswith("0x") or not 3 <= len(digits) <= 40:
            return []
        try:
            low, high = (bytes.fromhex(digits.ljust(40, fill)) for fill in "0f")
        except ValueError:
            return []
        query = "SELECT id FROM publisher WHERE registry = ? AND address BETWEEN ? AND ? LIMIT ?"
        return [n for (n,) in self._db.execute(query, (registry, low, high, _PUBLISHERS))]

    # --- the packages --------------------------------------------------------------------------

    def _newest(self, match: str, limit: int) -> list[int]:
        query = "SELECT rowid FROM word WHERE word MATCH ? ORDER BY rowid DESC LIMIT ?"
        return [number for (number,) in self._db.execute(query, (match, limit))]

    def _described(self, registry: int, query: Query) -> list[int]:
        """Packages of which a manifest that is held here says these words."""
        match = expression(query.words, [()] * len(query.words))
        if not match:
            return []
        rows = self._db.execute(
            "SELECT DISTINCT package.id FROM described JOIN held ON held.id = described.rowid "
            "JOIN publisher ON publisher.registry = ? AND publisher.address = held.address "
            "JOIN package ON package.publisher = publisher.id AND package.name = held.package "
            "WHERE described MATCH ? AND held.chain_id = ? AND (? IS NULL OR held.address = ?) LIMIT ?",
            (registry, match, self._scope.chain_id, query.only, query.only, RANKED),
        )
        return [number for (number,) in rows]

    def _in_turn(
        self, registry: int, query: Query, match: str, found: list[int], described: list[int]
    ) -> Iterator[_Candidate]:
        """Each candidate once: whole names, trusted publishers, what manifests say, and the newest."""
        trusted = self._rows(registry, list(query.trusted)[:_TRUSTED])
        first = self._of_this_name(registry, query)
        if trusted:
            theirs = expression([Word("")], [trusted])
            first += self._newest(f"{match} AND {theirs}", query.limit)
        begin = sorted(
            self._candidates(dict.fromkeys(first + described)), key=lambda one: _rank(one, query)
        )
        yield from begin
        told = {one.number for one in begin}
        yield from self._candidates([number for number in found if number not in told])

    def _of_this_name(self, registry: int, query: Query) -> list[int]:
        """Packages that are called just like the one word there is."""
        if len(query.words) != 1 or not query.words[0].text:
            return []
        rows = self._db.execute(
            "SELECT named.id FROM "
            "(SELECT id, publisher FROM package WHERE name = ? ORDER BY id DESC LIMIT ?) AS named "
            "JOIN publisher ON publisher.id = named.publisher "
            "WHERE registry = ? AND (? IS NULL OR address = ?)",
            (query.words[0].text, RANKED, registry, query.only, query.only),
        )
        return [number for (number,) in rows]

    def _candidates(self, numbers: Iterable[int]) -> Iterator[_Candidate]:
        query = (
            "SELECT name, address FROM package JOIN publisher ON publisher.id = package.publisher "
            "WHERE package.id = ?"
        )
        for number in numbers:
            row = self._db.execute(query, (number,)).fetchone()
            if row is not None:
                yield _Candidate(number, row[0], bytes(row[1]))

    # --- their releases ------------------------------------------------------------------------

    def _hits(self, candidates: Iterator[_Candidate], query: Query) -> list[Hit]:
        versions = [word.version for word in query.words if word.version is not None]
        hits: list[Hit] = []
        for candidate in candidates:
            if len(hits) == query.limit:
                break
            release = self._release(candidate.number, versions)
            if release is not None:
                hits.append(Hit(candidate.publisher, candidate.name, *release))
        return hits

    def _release(self, package: int, versions: Sequence[str]) -> tuple[str, int, bytes, int] | None:
        """(version, sequence, manifest, highest sequence) of the release that is meant, if any is."""
        newest = self._db.execute(
            "SELECT version, sequence, manifest FROM release WHERE package = ? "
            "ORDER BY sequence DESC LIMIT 1",
            (package,),
        ).fetchone()
        if newest is None:
            return None
        count = newest[1]
        if versions:
            newest = self._db.execute(
                "SELECT version, sequence, manifest FROM release WHERE package = ?"  # noqa: S608
                + " AND substr(version, 1, ?) = ?" * len(versions)
                + " ORDER BY sequence DESC LIMIT 1",
                (package, *(value for v in versions for value in (len(v), v))),
            ).fetchone()
        else:
            newest = self._latest(package) or newest
        return None if newest is None else (newest[0], newest[1], bytes(newest[2]), count)

    def _latest(self, package: int) -> tuple[str, int, bytes] | None:
        """What the events say is the latest release."""
        sequence = latest_sequence(self._index, package)
        found: tuple[str, int, bytes] | None = self._db.execute(
            "SELECT version, sequence, manifest FROM release WHERE package = ? AND sequence = ?",
            (package, sequence),
        ).fetchone()
        return found


def latest_sequence(index: Index, package: int) -> int:
    """Which release the events say is the latest of a package; 0 when none was made so."""
    row = index.file.connection.execute(
        "SELECT sequence FROM (SELECT * FROM (SELECT sequence, block, position FROM release "
        "WHERE package = ? AND latest ORDER BY sequence DESC LIMIT 1) UNION ALL "
        "SELECT * FROM (SELECT sequence, block, position FROM latest WHERE package = ? "
        "ORDER BY block DESC, position DESC LIMIT 1)) ORDER BY block DESC, position DESC LIMIT 1",
        (package, package),
    ).fetchone()
    return 0 if row is None else int(row[0])


def _rank(one: _Candidate, query: Query) -> tuple[bool, bool, bool, bool, int, int]:
    """Trusted publishers first, then whole names, then what begins as asked, then what has it as it was
    asked, then short names, and of these the newest.
    """
    texts = [word.text for word in query.words if word.text]
    name = folded(one.name)
    return (
        one.publisher not in query.trusted,
        name not in texts,
        not any(name.startswith(text) for text in texts),
        not any(text in name for text in texts),
        len(name),
        -one.number,
    )
