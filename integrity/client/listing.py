"""What files a release has, without any of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from integrity.client.manifests import ManifestFile
from integrity.client.session import Session
from integrity.client.verifying import bring_manifest
from integrity.core.links import Link
from integrity.core.manifest import FileEntry
from integrity.core.selection import Selection
from integrity.fetch.engine import Fetcher
from integrity.ports import Source
from integrity.verifier.record import Record


@dataclass(frozen=True, slots=True)
class Listing:
    """Those files that were asked for, of ``size`` bytes; ``entries`` can be gone through once."""

    record: Record
    files: int
    size: int
    entries: Iterator[FileEntry]


@contextlib.contextmanager
def listing(
    session: Session,
    link: Link,
    *,
    sources: Sequence[Source] = (),
    only: Selection = Selection(),  # noqa: B008 - it never changes
) -> Iterator[Listing]:
    """The files of the link's manifest, which is taken from this home's store or from the sources, and
    checked against the record. Raises what resolving raises, UsageError for a pattern that matches no
    file, ManifestInvalid, WrongRelease, SourcesLied or SourcesUnavailable.
    """
    with ManifestFile(session) as file:
        record, header = bring_manifest(session, file, link, Fetcher(sources), beside=None)
        files, size = (header.files, header.size) if only.is_all else only.check(file.entries())
        yield Listing(record, files, size, only.of(file.entries()))
