"""Verifying what is on this disk: against a record, or against a manifest alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from integrity.client.manifests import ManifestFile
from integrity.client.receipts import check_receipt
from integrity.client.resolving import latest_manifest, resolve
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.manifest import FileEntry, Header
from integrity.core.selection import Selection
from integrity.disk.comparing import Comparison, Problem
from integrity.disk.remembered import Stats
from integrity.disk.sidecars import sidecar_path
from integrity.errors import (
    FormatError,
    IntegrityError,
    SourcesUnavailable,
    StoreError,
    UsageError,
)
from integrity.fetch.engine import Fetcher
from integrity.ports import Progress, Report, Source
from integrity.verifier.content import manifest_digest
from integrity.verifier.record import Record
from integrity.verifier.verdict import (
    Step,
    after,
    at_step,
    completeness_step,
    manifest_step,
    pieces_step,
)

VERIFIED, FAILED, UNKNOWN, UNCHANGED = "verified", "failed", "unknown", "unchanged"


@dataclass(frozen=True, slots=True)
class Verification:
    """``verdict`` is ``verified``, ``failed`` (there is evidence) or ``unknown`` (something could
    not be read). ``against`` says what it was held against: ``record`` or ``manifest``. ``extra``
    are files that the release does not have; they are reported and do no harm. ``steps`` are those of the
    verifier that were passed; those of a record are missing against a manifest. ``hint`` is what may be
    meant instead, if it failed.
    """

    verdict: str
    against: str
    header: Header
    manifest: bytes
    record: Record | None
    files: int
    size: int
    problems: list[Problem] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    steps: tuple[Step, ...] = ()
    hint: str = ""


def verify(
    session: Session,
    path: Path,
    link: Link | None = None,
    *,
    manifest: Path | None = None,
    receipt: bytes | None = None,
    sources: tuple[Source, ...] = (),
    only: Selection = Selection(),  # noqa: B008 - it never changes
    report: Report | None = None,
) -> Verification:
    """Hash everything at ``path`` and hold it against the link's record (steps 1 to 8), or against
    a manifest file alone, which proves nothing about who made it. With a ``receipt`` the record is the one
    that it proves, and no chain is asked.

    With a link the manifest is the one beside the folder, or in this home's store, or is fetched
    from ``sources``. Raises what resolving raises, ManifestMismatch, ManifestInvalid, WrongRelease,
    SourcesUnavailable; of a broken manifest file FormatError.
    """
    if (link is None and receipt is None) == (manifest is None):
        raise UsageError(
            "a folder is verified against either a link or a manifest file",
            next="Name the release's link after the folder, or a file with --manifest.",
        )
    if not os.path.exists(path):
        raise UsageError(f"there is nothing at {str(path)!r}")
    with ManifestFile(session) as file:
        record = None
        if manifest is not None:
            file.copy(manifest)
            try:
                header = file.check_alone()
            except FormatError as error:
                error.message = f"{str(manifest)!r} is no well-formed manifest: {error.message}"
                raise
            digest = manifest_digest(file.chunks)
        else:
            fetcher = Fetcher(sources)
            if receipt is None:
                assert link is not None
                record, header = bring_manifest(session, file, link, fetcher, beside=path)
            else:
                record = check_receipt(session, receipt, link)
                header = bring_recorded(session, file, record, fetcher, beside=path)
            digest = record.manifest
        files, size = (header.files, header.size) if only.is_all else only.check(file.entries())
        problems, extra, stats = compare(path, only.of(file.entries()), size, report)
        hint = _other_meant(file, link, path, header.version) if problems and link else ""
    verdict = VERIFIED
    if problems:
        verdict = FAILED if any(problem.certain for problem in problems) else UNKNOWN
    elif record is not None and only.is_all:
        session.remembered.keep(path, digest, stats)
    steps = (*(() if record is None else record.steps), manifest_step(header, digest))
    if verdict == VERIFIED:
        steps += (pieces_step(files, size), completeness_step(files, header.files, len(extra)))
    return Verification(
        verdict, "manifest" if record is None else "record", header, digest, record,
        files, size, problems, extra, steps, hint,
    )  # fmt: skip


def compare(
    path: Path, entries: Iterable[FileEntry], size: int, report: Report | None
) -> tuple[list[Problem], list[str], Stats]:
    """Steps 7 and 8 on a folder that is to have these files, of ``size`` bytes in all: its problems,
    the files that are too many, and the files' stats.
    """
    problems: list[Problem] = []
    stats = Stats()
    comparison = Comparison(path, entries)
    for number, checked in enumerate(comparison):
        problems += checked.problems
        if checked.signature is not None:
            stats.add(checked.signature)
        if report and number % 256 == 0:
            report(Progress("verifying", comparison.hashed_bytes, size))
    if report:
        report(Progress("verifying", size, size))
    return problems, comparison.extra, stats


def bring_manifest(
    session: Session, file: ManifestFile, link: Link, fetcher: Fetcher, beside: Path | None
) -> tuple[Record, Header]:
    """The link's record and its checked manifest: from beside ``beside``, from this home's store, or
    from the fetcher's sources, wherever its digest is found first.
    """
    if link.version is not None:
        record = resolve(session, link)
        return record, bring_recorded(session, file, record, fetcher, beside)
    digest = latest_manifest(session, link)
    try:
        _bring(session, file, digest, fetcher, beside)
    except SourcesUnavailable as error:
        if beside is not None:
            error.next = _other_meant(file, link, beside, None) or error.next
        raise
    record = resolve(session, link, version_hint=_version(file))
    if record.manifest == digest:
        return record, _checked(file, record)
    return record, bring_recorded(session, file, record, fetcher, beside)


def bring_recorded(
    session: Session, file: ManifestFile, record: Record, fetcher: Fetcher, beside: Path | None
) -> Header:
    """The same of a record that is known."""
    with after(record.steps), at_step(6):
        _bring(session, file, record.manifest, fetcher, beside)
        return _checked(file, record)


def _checked(file: ManifestFile, record: Record) -> Header:
    return file.check(record.manifest, (record.publisher, record.package, record.version))


def _version(file: ManifestFile) -> str | None:
    try:
        return file.header().version
    except IntegrityError:
        return None


def _other_meant(file: ManifestFile, link: Link, beside: Path, version: str | None) -> str:
    """What to say where a link without a version means another one than the data's own manifest has."""
    if link.version is not None:
        return ""
    try:
        file.copy(sidecar_path(beside))
    except IntegrityError:
        return ""
    try:
        told = file.header()
    except IntegrityError:
        return ""
    if (told.publisher, told.package) != (link.publisher, link.package) or told.version == version:
        return ""
    return (
        "The link names no version and means the latest release; the manifest beside the data calls it "
        f"{told.version}: name {link}@{told.version}, if that is the one you mean."
    )


def _bring(
    session: Session, file: ManifestFile, digest: bytes, fetcher: Fetcher, beside: Path | None
) -> None:
    candidate = None if beside is None else sidecar_path(beside)
    if candidate is not None and _take_sidecar(file, candidate, digest):
        return
    if session.home.store.is_file():
        from integrity.store.database import Store
        from integrity.store.reading import BlockReader

        with contextlib.suppress(StoreError), Store(session.home.store) as store:
            if file.take(BlockReader(store).read, digest) and _digest(file) == digest:
                return
    if not fetcher.tallies:
        what = "is neither beside the data nor in this home's store"
        if candidate is not None and os.path.isfile(candidate):
            what = f"is not in this home's store, and {str(candidate)!r} is another one"
        raise SourcesUnavailable(
            f"the recorded manifest {digest.hex()} {what}",
            next="Name a source that has it with --from; or check that this is the release you mean.",
        )
    file.fetch(fetcher, digest)


def _take_sidecar(file: ManifestFile, candidate: Path, digest: bytes) -> bool:
    """Whether it is there and the right one; one that cannot be read is as good as none."""
    if not os.path.isfile(candidate):
        return False
    try:
        file.copy(candidate)
    except (UsageError, FormatError):
        return False
    return _digest(file) == digest


def _digest(file: ManifestFile) -> bytes | None:
    try:
        return manifest_digest(file.chunks)
    except IntegrityError:
        return None
