"""A package's history out of the index."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from integrity.index.database import Index, Scope


class ReleaseRow(NamedTuple):
    """A release as its event told it; hashes and digests are 32 bytes."""

    version: str
    sequence: int
    manifest: bytes
    block: int
    block_hash: bytes
    transaction: bytes


class LatestRow(NamedTuple):
    """A change of the latest release to one that was recorded before."""

    version: str
    sequence: int
    block: int
    block_hash: bytes
    transaction: bytes


class RevocationRow(NamedTuple):
    """A revocation; ``text`` is the publisher's own."""

    sequence: int
    reason: int
    text: str
    block: int
    block_hash: bytes
    transaction: bytes


class EndorsementRow(NamedTuple):
    """The last thing that somebody (20 bytes) said of a manifest; ``kind`` 0: it was withdrawn."""

    manifest: bytes
    endorser: bytes
    kind: int
    block: int
    block_hash: bytes
    transaction: bytes


_PACKAGE = (
    "(SELECT package.id FROM package JOIN publisher ON publisher.id = package.publisher "
    "WHERE registry = :registry AND address = :publisher AND name = :package)"
)
_HASH = "(SELECT hash FROM block WHERE registry = :registry AND number = block)"


def releases(
    index: Index, scope: Scope, publisher: bytes, package: str, to: int
) -> list[ReleaseRow]:
    """The releases of a package up to a block, in the order of their sequence. Raises StoreError."""
    query = _of_package("release", "version, sequence, manifest", "sequence")
    return [ReleaseRow(*row) for row in _rows(index, scope, publisher, package, to, query)]


def latest_changes(
    index: Index, scope: Scope, publisher: bytes, package: str, to: int
) -> list[LatestRow]:
    """The changes of a package's latest release up to a block, oldest first. Raises StoreError."""
    query = _of_package("latest", "version, sequence", "block, position")
    return [LatestRow(*row) for row in _rows(index, scope, publisher, package, to, query)]


def revocations(
    index: Index, scope: Scope, publisher: bytes, package: str, to: int
) -> list[RevocationRow]:
    """The revocations of a package's releases up to a block. Raises StoreError."""
    query = _of_package("revocation", "sequence, reason, text", "sequence, block, position")
    return [RevocationRow(*row) for row in _rows(index, scope, publisher, package, to, query)]


def endorsements(
    index: Index,
    scope: Scope,
    manifest: bytes,
    to: int,
    first: Collection[bytes] = (),
    limit: int = 100,
) -> list[EndorsementRow]:
    """The last word of each endorser of a manifest up to a block: of those in ``first``, and of others
    until there are ``limit``. Raises StoreError.
    """
    query = (
        "SELECT manifest, endorser, kind, block, "  # noqa: S608
        f"{_HASH}, sent FROM endorsement AS said WHERE registry = :registry AND manifest = :manifest "
        "AND block <= :to {which} AND NOT EXISTS (SELECT 1 FROM endorsement AS later "
        "WHERE later.registry = said.registry AND later.manifest = said.manifest "
        "AND later.endorser = said.endorser AND later.block <= :to "
        "AND (later.block, later.position) > (said.block, said.position)) {limit}"
    )
    with index.file.translated(), index.file.lock:
        registry = index.registry(scope)
        values = {"registry": registry, "manifest": manifest, "to": to, "limit": limit}
        db = index.file.connection
        rows = db.execute(query.format(which="", limit="LIMIT :limit"), values).fetchall()
        for one in first:
            which = query.format(which="AND endorser = :endorser", limit="")
            rows += db.execute(which, values | {"endorser": one}).fetchall()
    return [EndorsementRow(*row) for row in dict.fromkeys(rows)]


def _of_package(table: str, columns: str, order: str) -> str:
    return (
        f"SELECT {columns}, block, {_HASH}, sent FROM {table} "  # noqa: S608 - words of this file
        f"WHERE package = {_PACKAGE} AND block <= :to ORDER BY {order}"
    )


def _rows(
    index: Index, scope: Scope, publisher: bytes, package: str, to: int, query: str
) -> Sequence[tuple[Any, ...]]:
    with index.file.translated(), index.file.lock:
        values = {
            "registry": index.registry(scope), "publisher": publisher, "package": package, "to": to,
        }  # fmt: skip
        return index.file.connection.execute(query, values).fetchall()
