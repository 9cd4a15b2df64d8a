"""The manifests that this home holds or follows, told to the index.

Those of the store come by themselves, and go with it. Those of packages under ``follow`` in config.toml are
fetched when there are sources to fetch from; of them nothing but what the index says is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from integrity.client.manifests import ManifestFile
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.manifest import Header
from integrity.core.names import checksum_address
from integrity.core.pieces import split_digests
from integrity.core.reading import manifest_leaves, read_header
from integrity.errors import FormatError, IntegrityError, StoreError, VerificationError
from integrity.fetch.engine import Fetcher
from integrity.finding.history import history
from integrity.index.database import Index
from integrity.index.manifests import Held, drop, held, note_files, note_header
from integrity.ports import Progress, Report, Source
from integrity.store.database import Store
from integrity.store.entries import StoredRelease
from integrity.store.reading import BlockReader


def note_headers(session: Session, index: Index) -> None:
    """Have the index say what the headers of the store's manifests do, and of no others but followed ones.
    Raises StoreError, or UsageError for a follow that is no link.
    """
    kept = {(r.chain_id, r.manifest): r for r in _stored(session)}
    followed = {link.of_package for link in follows(session)}
    known = {(one.chain_id, one.manifest): one for one in held(index)}
    drop(index, [
        one.number
        for place, one in known.items()
        if place not in kept and not (one.followed and _package(one) in followed)
    ])  # fmt: skip
    new = [release for place, release in kept.items() if place not in known]
    if not new:
        return
    with Store(session.home.store) as store:
        reader = BlockReader(store)
        for release in new:
            header = _header(reader, release)
            if header is not None:
                note_header(index, release.chain_id, release.manifest, header, followed=False)


def _stored(session: Session) -> list[StoredRelease]:
    if not session.home.store.exists():
        return []
    with Store(session.home.store) as store:
        return store.releases()


def _header(reader: BlockReader, release: StoredRelease) -> Header | None:
    """The header of a manifest in the store; None when it is not there, or is none of this release."""
    try:
        block = reader.read(release.manifest)
        leaves = None if block is None else manifest_leaves(block)
        if leaves is not None:
            block = reader.read(split_digests(leaves[1])[0])
        header = None if block is None else read_header([block])
    except FormatError:
        return None
    names = (release.publisher, release.package, release.version)
    if header is None or (header.publisher, header.package, header.version) != names:
        return None
    return header


def note_contents(session: Session, index: Index, report: Report | None = None) -> list[str]:
    """Have the index say which files are in the store's manifests -> what is to be told to people. Raises
    StoreError or UsageError.
    """
    note_headers(session, index)
    warnings: list[str] = []
    waiting = [one for one in held(index) if not one.files]
    if waiting:
        with Store(session.home.store) as store:
            reader = BlockReader(store)
            for number, one in enumerate(waiting):
                _tell(report, number, len(waiting))
                warnings += _note_stored(session, index, reader, one)
    return warnings


def note_followed(
    session: Session, index: Index, sources: Sequence[Source], report: Report | None = None
) -> list[str]:
    """The same of the manifests of followed packages, as far as the sources have them."""
    warnings: list[str] = []
    for link in follows(session):
        warnings += _follow(session, index, link, sources, report)
    return warnings


def follows(session: Session) -> list[Link]:
    """The packages under ``follow`` in config.toml. Raises LinkMalformed or UsageError."""
    return session.followed()


def _note_stored(session: Session, index: Index, reader: BlockReader, one: Held) -> list[str]:
    with ManifestFile(session) as file:
        try:
            if file.take(reader.read, one.manifest):
                file.check(one.manifest, None)
                note_files(index, one.number, file.entries())
                return []
        except StoreError:
            raise
        except (FormatError, VerificationError) as error:
            return [f"the manifest of {one.package}@{one.version}: {error.message}"]
    return [f"the manifest of {one.package}@{one.version} is not whole in the store"]


def _follow(
    session: Session, index: Index, link: Link, sources: Sequence[Source], report: Report | None
) -> list[str]:
    """The manifests of a package's releases that are not known yet; who wrote down to follow it named its
    publisher.
    """
    named = replace(session, publisher=link.publisher)
    try:
        found = history(named, link)
    except StoreError:
        raise
    except IntegrityError as error:
        return [f"{link} could not be followed: {error.message}"]
    releases, warnings = found.releases, list(found.warnings)
    known = {one.manifest for one in held(index) if _package(one) == link.of_package and one.files}
    missing = [entry for entry in releases if entry.manifest not in known]
    if missing and not sources:
        told = f"{len(missing)} manifests of {link} are not known here"
        return [*warnings, f"{told}; name a source that has them with --from"]
    for number, entry in enumerate(missing):
        _tell(report, number, len(missing))
        names = (link.publisher, link.package, entry.version)
        with ManifestFile(session) as file:
            try:
                file.fetch(Fetcher(sources), entry.manifest)
                header = file.check(entry.manifest, names)
            except StoreError:
                raise
            except IntegrityError as error:
                warnings.append(f"{link}@{entry.version}: {error.message}")
                continue
            row = note_header(index, link.chain_id, entry.manifest, header, followed=True)
            note_files(index, row, file.entries())
    return warnings


def _package(one: Held) -> tuple[int, str, str]:
    return one.chain_id, checksum_address(one.publisher), one.package


def _tell(report: Report | None, done: int, total: int) -> None:
    if report:
        report(Progress("reading", done, total, "manifests"))
