"""Getting a release: record -> manifest -> pieces -> disk, and nothing unverified on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from integrity.client.manifests import ManifestFile
from integrity.client.receiving import Receiver
from integrity.client.session import Session
from integrity.client.sidecars import write_sidecar
from integrity.client.verifying import UNCHANGED, VERIFIED, bring_manifest, compare
from integrity.core.links import Link
from integrity.core.manifest import Header
from integrity.disk.safetree import SafeTree
from integrity.disk.staging import Staging, check_target
from integrity.disk.system import Signature, regular_signature
from integrity.errors import PathRefused, UsageError
from integrity.fetch.engine import Fetcher, SourceTally, Want, failure
from integrity.ports import Progress, Report, Source
from integrity.verifier.record import Record

THREADS = 4
_REPORT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Got:
    """A release that is at ``path``. ``verdict`` is ``verified``, or ``unchanged`` when all was there
    and no file's stat moved since it was verified. ``fetched`` is in bytes.
    """

    verdict: str
    path: Path
    header: Header
    record: Record
    fetched: int
    sources: Sequence[SourceTally] = ()
    warnings: list[str] = field(default_factory=list)


def get(
    session: Session,
    link: Link,
    target: Path | None = None,
    *,
    sources: Sequence[Source] = (),
    sidecar: bool = True,
    report: Report | None = None,
) -> Got:
    """Download a release into ``target`` (``PACKAGE-VERSION`` here when it is None).

    The folder appears under its name whole and verified, or not at all; what was verified stays
    beside it in ``target.part``, so that the same call goes on where it stopped. Raises what
    resolving raises, PathRefused when something else stands at the target, Locked, SourcesLied,
    SourcesUnavailable, UnsafePath or DiskError.
    """
    if not sources:
        raise UsageError(
            "no source is named to get the files from",
            next=_how_to_name_one(link),
        )
    fetcher = Fetcher(sources, THREADS)
    with ManifestFile(session) as file:
        if target is None and link.version is not None:
            target = _default_target(link.package, link.version)
        record, header = bring_manifest(session, file, link, fetcher, beside=target)
        target = (target or _default_target(header.package, header.version)).absolute()
        if check_target(target):
            return _already(session, target, file, record, header, report)
        with Staging(target) as staging:
            signatures = _download(staging, file, header, fetcher, report)
            staging.finish()
        session.remembered.keep(target, record.manifest, signatures)
        warnings: list[str] = []
        if sidecar:
            write_sidecar(target, file.chunks(), warnings)
    fetched = sum(tally.bytes for tally in fetcher.tallies)
    return Got(VERIFIED, target, header, record, fetched, fetcher.tallies, warnings)


def _default_target(package: str, version: str) -> Path:
    return Path(f"{package}-{version}")


def _how_to_name_one(link: Link) -> str:
    """A link's own hints are told, and not followed: a stranger chose them (docs/adr/0005)."""
    if link.sources:
        return f"The link suggests {', '.join(link.sources)}; name it with --from if you wish."
    return (
        "Name one with --from: a gateway's URL, `ipfs` for a Kubo daemon, or `store` for what this "
        "home keeps. Any will do, since none is trusted."
    )


def _already(
    session: Session, target: Path, file: ManifestFile, record: Record, header: Header,
    report: Report | None,
) -> Got:  # fmt: skip
    """Something stands at the target: fine if it is this very release, refused otherwise."""
    if session.remembered.matches(target, record.manifest, _stats(target, file)):
        return Got(UNCHANGED, target, header, record, 0)
    problems, extra, signatures = compare(target, file, header, report)
    if problems or extra:
        first = problems[0].path if problems else extra[0]
        raise PathRefused(
            f"{str(target)!r} exists and is not {link_name(record)}: {first!r} differs, for one",
            next="Choose another folder with -o, or move that one away; nothing in it was changed.",
            evidence={"path": first},
        )
    session.remembered.keep(target, record.manifest, signatures)
    return Got(VERIFIED, target, header, record, 0)


def link_name(record: Record) -> str:
    """A release in words."""
    return f"{record.package}@{record.version}"


def _stats(target: Path, file: ManifestFile) -> Iterator[Signature | None]:
    base = os.fspath(target)
    for entry in file.entries():
        try:
            yield regular_signature(os.lstat(f"{base}/{entry.path}"))
        except OSError:
            yield None


def _download(
    staging: Staging, file: ManifestFile, header: Header, fetcher: Fetcher, report: Report | None
) -> list[Signature]:
    """Fill the staging tree until every piece of it is verified -> every file's stat."""
    done = 0
    told = 0
    with SafeTree(staging.tree) as tree, Receiver(tree, file.entries) as receiver:
        present = receiver.scan(report)

        def on_piece(want: Want) -> None:
            nonlocal done, told
            done += want.length or 0
            if report and done - told >= _REPORT_BYTES:
                told = done
                report(Progress("fetching", present + done, header.size))

        fetcher.run(receiver.wants(), on_piece)
        if fetcher.missing:
            path, index = fetcher.missing[0]
            raise failure(fetcher.tallies, f"pieces are missing, {path!r} piece {index} for one")
        if report:
            report(Progress("fetching", header.size, header.size))
        return receiver.complete()
