"""Repairing a folder: exactly the pieces that are damaged or missing are fetched again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from integrity.client.manifests import ManifestFile
from integrity.client.session import Session
from integrity.client.verifying import bring_manifest
from integrity.core.links import Link
from integrity.core.manifest import Header
from integrity.disk.durable import make_durable
from integrity.disk.files import named
from integrity.disk.safetree import write_refused
from integrity.disk.sidecars import write_sidecar
from integrity.disk.staging import Staging
from integrity.downloading.filling import fill
from integrity.errors import UsageError
from integrity.fetch.engine import Fetcher, Terms
from integrity.fetch.tallies import SourceTally
from integrity.ports import Report, Source
from integrity.verifier.record import Record


@dataclass(frozen=True, slots=True)
class Repaired:
    """``pieces`` and ``bytes`` were put right, and ``mended`` lengths and execute bits of files. ``extra``
    are files that the release does not have, and that were left alone.
    """

    path: Path
    header: Header
    record: Record
    pieces: int
    bytes: int
    mended: int = 0
    extra: list[str] = field(default_factory=list)
    sources: Sequence[SourceTally] = ()
    warnings: list[str] = field(default_factory=list)


def repair(
    session: Session,
    path: Path,
    link: Link,
    *,
    sources: Sequence[Source],
    terms: Terms | None = None,
    report: Report | None = None,
) -> Repaired:
    """Make the folder what the link's record says. Only what is wrong is written, each piece after it
    was checked, so that whatever happens nothing that was right is lost. The manifest is put beside it.

    Raises what resolving raises, UsageError when there is no folder, Locked, SourcesLied,
    SourcesUnavailable, UnsafePath or DiskError.
    """
    if path.is_symlink() or not path.is_dir():
        raise UsageError(f"there is no folder {str(path)!r} to repair", next="`integrity get` it.")
    fetcher = Fetcher(sources, terms)
    path = named(path)
    with ManifestFile(session) as file, Staging(path) as staging:
        record, header = bring_manifest(session, file, link, fetcher, beside=path)
        filled = fill(
            path, staging.tree.parent, file.entries, header.content, header.size, fetcher, report,
            clear=False,
        )  # fmt: skip
        try:
            make_durable(path)
        except OSError as error:
            raise write_refused(path, error) from error
        if not filled.pieces and filled.before is not None:
            # Of what is somebody's own only the stats from before it was hashed are to be trusted.
            session.remembered.keep(path, record.manifest, filled.before)
        warnings = staging.warnings + filled.warnings
        write_sidecar(path, file.chunks(), warnings)
    return Repaired(
        path,
        header,
        record,
        filled.pieces,
        filled.bytes,
        filled.mended,
        filled.extra,
        fetcher.tallies,
        warnings,
    )
