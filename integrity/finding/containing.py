"""Which releases contain a file, and who vouches for them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from integrity.client.session import Session
from integrity.client.viewing import View
from integrity.core.links import Link
from integrity.core.manifest import FILE_ALSO
from integrity.core.names import checksum_address
from integrity.disk.hashing import Hasher, Job
from integrity.disk.system import open_read, regular_signature
from integrity.errors import IntegrityError, SourceChanged, UnavailableError, UsageError
from integrity.finding.endorsing import Endorsement, endorsements_of
from integrity.finding.holding import note_contents, note_followed
from integrity.finding.indexing import bring_up, chain_view, open_index
from integrity.finding.knowing import Acquaintance
from integrity.finding.searching import Match, Prover
from integrity.index.database import Index
from integrity.index.manifests import (
    KINDS,
    SHA256,
    HeldFile,
    also_key,
    file_key,
    find_files,
    held,
)
from integrity.ports import Report, Source

LIMIT = 1000
_DIGEST = re.compile("|".join(f"(?P<{name}>{form.pattern})" for name, form in FILE_ALSO.items()))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for: by which (kind, key) it may be known, its size if that is known, and by what it
    was identified.
    """

    keys: tuple[tuple[int, bytes], ...]
    size: int | None
    how: str


@dataclass(frozen=True, slots=True)
class Containing:
    """A release that contains it, under which path, and how that is known (``by``: ``sha256``, ``pieces``,
    or ``also.…``, which is the publisher's word alone). ``endorsements`` are proven as ``match`` is.
    """

    match: Match
    path: str
    size: int
    by: str
    endorsements: list[Endorsement] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Known:
    """``manifests`` is how many were looked through, ``how`` by what the file was looked for."""

    how: str
    releases: list[Containing]
    manifests: int
    warnings: list[str]


def who(
    session: Session,
    what: str,
    *,
    sources: Sequence[Source] = (),
    sync: bool = True,
    report: Report | None = None,
) -> Known:
    """The releases that contain a file on this disk, or one of a digest (SHA-256, SHA-1, eD2k, TTH), over the
    manifests that this home holds or follows, each held against its record. Without ``sync`` no node and no
    source is asked. Raises UsageError, SourceChanged, StoreError, or UnavailableError when it was nowhere
    found and not everywhere could be looked.
    """
    asked = _asked(what)
    with open_index(session) as index:
        warnings = note_contents(session, index, report)
        if sync:
            warnings += note_followed(session, index, sources, report)
        found = find_files(index, asked.keys, asked.size, LIMIT)
        looked = sum(one.files for one in held(index))
        releases: list[Containing] = []
        for chain_id in dict.fromkeys(one.held.chain_id for one in found):
            here = [one for one in found if one.held.chain_id == chain_id]
            releases += _on_chain(session, index, chain_id, here, warnings, report, sync=sync)
    if not releases and warnings:
        raise UnavailableError(
            f"none of the {looked} manifests that could be looked through has it, and not all could be",
            causes=warnings,
            next="Name a source with --from, or see to what the causes say; --no-sync looks at what is here.",
        )
    releases.sort(key=lambda one: (not one.match.trusted, one.match.record is None))
    return Known(asked.how, releases, looked, warnings)


def _on_chain(
    session: Session,
    index: Index,
    chain_id: int,
    found: Sequence[HeldFile],
    warnings: list[str],
    report: Report | None,
    *,
    sync: bool,
) -> list[Containing]:
    known = Acquaintance.of(session, chain_id)
    matches = [_match(one, known) for one in found]
    if not sync:
        return _containing(found, matches)
    try:
        view = chain_view(session, chain_id)
    except UnavailableError as error:
        return _containing(found, [replace(match, problem=error) for match in matches])
    matches = list(Prover(session, view).prove(matches))
    releases = _containing(found, matches)
    try:
        warnings += bring_up(session, index, view, report=report)
    except UnavailableError as error:
        warnings.append(f"who endorsed these releases could not be read: {error.message}")
        return releases
    return _endorsed(session, index, view, releases, warnings)


def _endorsed(
    session: Session, index: Index, view: View, releases: list[Containing], warnings: list[str]
) -> list[Containing]:
    manifests = dict.fromkeys(one.match.manifest for one in releases if one.match.record)
    try:
        said = endorsements_of(session, index, view, manifests)
    except IntegrityError as error:
        warnings.append(f"who endorsed these releases could not be proven: {error.message}")
        return releases
    return [replace(one, endorsements=said.get(one.match.manifest, [])) for one in releases]


def _containing(found: Sequence[HeldFile], matches: Sequence[Match]) -> list[Containing]:
    return [
        Containing(match, one.path, one.size, one.kind)
        for one, match in zip(found, matches, strict=True)
    ]


def _match(one: HeldFile, known: Acquaintance) -> Match:
    publisher = checksum_address(one.held.publisher)
    link = Link(one.held.chain_id, publisher, one.held.package, one.held.version)
    return Match(
        link, 0, one.held.manifest, 0, known.aliases.get(publisher), known.knows(publisher)
    )


# --- what is asked for -------------------------------------------------------------------------


def _asked(what: str) -> Asked:
    match = _DIGEST.fullmatch(what)
    if match is None:
        return _of_file(Path(what))
    name = str(match.lastgroup)
    keys = [also_key(name, what)]
    if name == "sha256":
        keys.insert(0, (SHA256, bytes.fromhex(what)))
    return Asked(tuple(keys), None, name)


def _of_file(path: Path) -> Asked:
    """A file by its pieces, hashed now. Raises UsageError or SourceChanged."""
    try:
        fd = open_read(path, follow=True)
        before = regular_signature(os.fstat(fd))
        if before is None:
            os.close(fd)
            raise UsageError(f"{str(path)!r} is not a file")
    except OSError as error:
        raise UsageError(
            f"cannot read {str(path)!r}: {error.strerror or error}",
            next="Name a file here, or a digest: 64 hex digits of a SHA-256, 40 of a SHA-1.",
        ) from error
    with Hasher[None](whole=False) as hasher:
        (hashed,) = hasher.run([Job(None, fd, before[0])])
    if hashed.error is not None:
        told = hashed.error.strerror or hashed.error
        raise UsageError(f"cannot read {str(path)!r}: {told}")
    if hashed.after != before or hashed.length != before[0]:
        raise SourceChanged(f"{str(path)!r} changed while it was read")
    kind, key = file_key(hashed.digests)
    return Asked(((kind, key),), before[0], KINDS[kind])
