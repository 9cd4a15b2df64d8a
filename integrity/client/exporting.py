"""A release out of this home's store, as one CAR file."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from integrity.client.manifests import ManifestFile
from integrity.client.session import Session
from integrity.client.verifying import bring_manifest
from integrity.core.anycid import AnyCid, release_roots
from integrity.core.car import car_portions
from integrity.core.dag import BlockMissing, Scope, Walk, checked_load
from integrity.core.links import Link
from integrity.disk.files import write_new
from integrity.errors import PathRefused, SourcesUnavailable
from integrity.fetch.engine import Fetcher
from integrity.ports import Progress, Report
from integrity.store.database import Store
from integrity.store.reading import BlockReader
from integrity.verifier.record import Record


class Sink(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes, /) -> int:
        """All of it -> its length."""
        ...


@dataclass(frozen=True, slots=True)
class Exported:
    """``size`` is that of the CAR in bytes, ``roots`` are the folder's CID and the manifest's."""

    record: Record
    roots: list[AnyCid]
    size: int


def export_car(
    session: Session, link: Link, target: Path | Sink, *, report: Report | None = None
) -> Exported:
    """Write a release with its manifest, all out of this home's store, into a CARv1: to a file that
    does not exist yet and appears as a whole, or to an open one.

    Raises what resolving raises, PathRefused when something stands at the target, SourcesUnavailable
    when the store has not got all of it, DiskError.
    """
    if isinstance(target, Path) and os.path.lexists(target):
        raise PathRefused(f"{str(target)!r} exists", next="Name another file with -o.")
    with ManifestFile(session) as file:
        try:
            record, header = bring_manifest(session, file, link, Fetcher([]), beside=None)
        except SourcesUnavailable as error:
            raise SourcesUnavailable(
                error.message, next="Only what this home published or imported can be exported."
            ) from error
        roots = release_roots(header.content, record.manifest, file.path.stat().st_size)
    with Store(session.home.store) as store:
        portions = _reported(_portions(store, roots), report)
        try:
            size = (
                write_new(target, portions)
                if isinstance(target, Path)
                else _write(target, portions)
            )
        except BlockMissing as missing:
            raise SourcesUnavailable(
                f"this home's store has not got all of {record.package}@{record.version}: {missing}",
                next="`integrity store check` tells which file changed; publish or import it again.",
            ) from missing
    return Exported(record, roots, size)


def _portions(store: Store, roots: list[AnyCid]) -> Iterator[bytes]:
    reader = BlockReader(store).lookahead()

    walk = Walk(checked_load(lambda cid: reader.read(cid.key)), dups=False, expect=reader.expect)
    walks = (walk.run([], root, Scope.ALL, None) for root in roots)
    return car_portions(roots, itertools.chain.from_iterable(walks))


def _reported(portions: Iterator[bytes], report: Report | None) -> Iterator[bytes]:
    done = 0
    for portion in portions:
        done += len(portion)
        if report:
            report(Progress("exporting", done))
        yield portion


def _write(file: Sink, portions: Iterator[bytes]) -> int:
    return sum(file.write(portion) for portion in portions)
