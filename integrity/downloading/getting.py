"""Getting a release: record -> manifest -> pieces -> disk, and nothing unverified on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from integrity.client.manifests import ManifestFile, digest_beside
from integrity.client.receipts import receipt_of, ship_receipt, write_receipt
from integrity.client.resolving import still_stands
from integrity.client.session import Session
from integrity.client.verifying import UNCHANGED, VERIFIED, bring_manifest, compare
from integrity.core.links import Link
from integrity.core.manifest import FileEntry, Header
from integrity.core.reading import iter_files
from integrity.core.selection import Selection
from integrity.disk.files import named, read_chunks
from integrity.disk.sidecars import sidecar_path, write_sidecar
from integrity.disk.staging import (
    Staging,
    check_replaceable,
    check_target,
    settle,
    tree_of,
)
from integrity.disk.system import Signature, signature
from integrity.disk.walk import Walker
from integrity.downloading.filling import fill
from integrity.downloading.sharing import Share
from integrity.errors import (
    IntegrityError,
    PathRefused,
    ReleaseNotFound,
    Revoked,
    UsageError,
)
from integrity.fetch.engine import Fetcher, Terms
from integrity.fetch.tallies import SourceTally
from integrity.ports import Report, Source
from integrity.sources.folder import FolderSource
from integrity.verifier.record import Record
from integrity.verifier.verdict import Step, completeness_step, manifest_step, pieces_step


@dataclass(frozen=True, slots=True)
class Got:
    """A release that is at ``path``. ``verdict`` is ``verified``, or ``unchanged`` when all was there
    and no file's stat moved since it was verified. ``files`` and ``size`` are those that were asked
    for. ``present`` are bytes that were right before any source was asked: of an earlier run, or
    cloned; ``fetched`` those that sources gave, the manifest's included.
    """

    verdict: str
    path: Path
    header: Header
    record: Record
    files: int
    size: int
    present: int
    fetched: int
    sources: Sequence[SourceTally] = ()
    warnings: list[str] = field(default_factory=list)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those of the verifier, all of which were passed."""
        return (
            *self.record.steps,
            manifest_step(self.header, self.record.manifest),
            pieces_step(self.files, self.size, hashed=self.verdict == VERIFIED),
            completeness_step(self.files, self.header.files),
        )


def get(
    session: Session,
    link: Link,
    target: Path | None = None,
    *,
    sources: Sequence[Source] = (),
    terms: Terms | None = None,
    only: Selection = Selection(),  # noqa: B008 - it never changes
    replace: bool = False,
    share: bool = False,
    sidecar: bool = True,
    report: Report | None = None,
) -> Got:
    """Download a release, or ``only`` some of its files, into ``target`` (``PACKAGE-VERSION`` here when
    it is None).

    The folder appears under its name whole and verified, or not at all; what was verified stays
    beside it in ``target.part``, so that the same call goes on where it stopped. With ``replace`` a
    folder that stands there gives what did not change, and is exchanged for the new one in one step.
    With ``share`` this home offers the release to others from its first piece on. The record is looked
    at once more at the end: one that was revoked meanwhile, or that the chain dropped, is not verified.
    Raises what resolving raises, UsageError for a target without a name, PathRefused when something else
    stands at it, Locked, SourcesLied, SourcesUnavailable, UnsafePath or DiskError.
    """
    if not sources:
        raise UsageError(
            "no source is named to get the files from",
            next=_how_to_name_one(link),
        )
    fetcher = Fetcher(sources, terms)
    target = None if target is None else named(target)
    with ManifestFile(session) as file:
        if target is None and link.version is not None:
            target = _default_target(link.package, link.version)
        record, header = bring_manifest(session, file, link, fetcher, beside=target)
        target = (target or _default_target(header.package, header.version)).absolute()
        asked = _Asked(file, only, header, record)
        warnings = settle(target)
        stands = check_target(target)
        got = _already(session, target, asked, report, replace=replace) if stands else None
        if got is None:
            got = _download(
                session, link, target, asked, fetcher, report, share=share, replace=stands,
                sidecar=sidecar,
            )  # fmt: skip
        else:
            # A run may have been killed before it told the store.
            Share(session, tree_of(target), got.warnings).moved(record.manifest, target)
            if share:
                asked.offer(Share(session, target, got.warnings))
            if sidecar and record.is_proven:
                ship_receipt(session, record.link, target, got.warnings)
        if sidecar and digest_beside(target) != record.manifest:
            write_sidecar(target, file.chunks(), got.warnings)
        got.warnings[:0] = warnings
        return got


class _Asked:
    """The files that are asked for, and of which release."""

    def __init__(self, file: ManifestFile, only: Selection, header: Header, record: Record) -> None:
        self.header, self.record = header, record
        self.is_all = only.is_all
        self._file = file
        self._only = only
        self.files, self.size = header.files, header.size
        if not only.is_all:
            self.files, self.size = only.check(file.entries())

    def entries(self) -> Iterator[FileEntry]:
        return self._only.of(self._file.entries())

    def release(self) -> Iterator[FileEntry]:
        """All of them, whatever is asked for."""
        return self._file.entries()

    def offer(self, share: Share) -> None:
        share.offer(self._file, self.entries(), self.header, self.record)


def _download(
    session: Session, link: Link, target: Path, asked: _Asked, fetcher: Fetcher,
    report: Report | None, *, share: bool, replace: bool,
    sidecar: bool,
) -> Got:  # fmt: skip
    """All that is missing, beside the target; then the whole in its place."""
    with contextlib.ExitStack() as stack:
        staging = stack.enter_context(Staging(target))
        if replace:
            fetcher.add(stack.enter_context(contextlib.closing(FolderSource(target))))
        offered = Share(session, staging.tree, staging.warnings)
        if share:
            asked.offer(offered)
        content = asked.header.content
        filled = fill(
            staging.tree,
            staging.tree.parent,
            asked.entries,
            content,
            asked.size,
            fetcher,
            report,
            clear=True,
            release=None if asked.is_all else asked.release,
        )
        try:
            kept = repr(str(staging.tree.parent))
            record, view = still_stands(session, link, asked.record, kept, staging.warnings)
        except (Revoked, ReleaseNotFound):
            offered.withdraw()
            raise
        if replace:
            staging.exchange(lambda old: is_as_it_was(session, target, old))
        else:
            staging.finish()
        offered.moved(record.manifest, target)
        warnings = staging.warnings + filled.warnings
        if sidecar and view is not None and record.is_proven:
            write_receipt(
                target,
                receipt_of(session, view, record),
                warnings,
            )
    if asked.is_all:
        session.remembered.keep(target, record.manifest, filled.stats)
    return Got(
        VERIFIED, target, asked.header, record, asked.files, asked.size, filled.present,
        sum(tally.bytes for tally in fetcher.tallies), fetcher.tallies, warnings,
    )  # fmt: skip


def _default_target(package: str, version: str) -> Path:
    return Path(f"{package}-{version}")


def _how_to_name_one(link: Link) -> str:
    """A link's own hints are told, and not followed: a stranger chose them (docs/adr/0005)."""
    if link.sources:
        return f"The link suggests {', '.join(link.sources)}; name it with --from if you wish."
    return (
        "Name one with --from: the URL of a gateway or a mirror, a folder, `ipfs` for a Kubo daemon, "
        "or `store` for what this home keeps. Any will do, since none is trusted."
    )


def _already(
    session: Session, target: Path, asked: _Asked, report: Report | None, *, replace: bool
) -> Got | None:
    """Something stands at the target: fine if it is this very release, else refused, unless it may be
    replaced.
    """
    record, size = asked.record, asked.size
    verdict = UNCHANGED
    if not session.remembered.matches(target, record.manifest, _stats(target, asked.entries())):
        problems, extra, stats = compare(target, asked.entries(), size, report)
        if problems or extra:
            if replace:
                check_replaceable(target)
                return None
            first = problems[0].path if problems else extra[0]
            what = "differs" if problems else "is too many"
            if problems and problems[0].reason == "missing":
                what = "is missing"
            raise PathRefused(
                f"{str(target)!r} exists and is not {link_name(record)}: {first!r} {what}, for one",
                next="Nothing in it was changed. Choose another folder with -o, or put the release in "
                "its place with --replace; `integrity repair` mends a damaged one.",
                evidence={"path": first},
            )
        session.remembered.keep(target, record.manifest, stats)
        verdict = VERIFIED
    return Got(verdict, target, asked.header, record, asked.files, size, size, 0)


def is_as_it_was(session: Session, target: Path, now: Path | None = None) -> bool:
    """Whether a folder is what was downloaded there, so that nothing is lost with it; ``now`` is where it
    stands since, if it was renamed.
    """
    sidecar = sidecar_path(target)
    digest = digest_beside(target)
    if digest is None:
        return False
    try:
        stats = _stats(now or target, iter_files(read_chunks(sidecar)))
        return session.remembered.matches(target, digest, stats)
    except (OSError, IntegrityError):
        return False


def link_name(record: Record) -> str:
    """A release in words."""
    return f"{record.package}@{record.version}"


def _stats(target: Path, entries: Iterable[FileEntry]) -> Iterator[Signature | None]:
    """Every file's stat; None for one that is missing or too many, or is no file."""
    odd: list[str] = []
    found = Walker(target, on_odd=lambda path, _: odd.append(path))
    for file, entry in zip_longest(found, entries):
        same = file is not None and entry is not None and file.path == entry.path
        yield signature(file.info) if same else None
    if odd:
        yield None
