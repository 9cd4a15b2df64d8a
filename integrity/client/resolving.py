"""From a link to a record, and to a package's history."""

from __future__ import annotations

from dataclasses import dataclass

from integrity.client.session import Session
from integrity.client.viewing import View
from integrity.core.links import Link
from integrity.core.registry import (
    REVOCATION_REASONS,
    Block,
    Head,
    decode_head,
    decode_release,
    head_slot,
    manifest_slot,
    release_slot,
)
from integrity.errors import (
    IntegrityError,
    NoQuorum,
    RecordUnproven,
    ReleaseNotFound,
    Revoked,
    RpcAnswerInvalid,
    RpcUnavailable,
    StaleBlock,
    Unfinalized,
)
from integrity.ports import ReleasedEvent
from integrity.verifier.policy import LATEST
from integrity.verifier.record import Record, RecordVerifier, check_publisher, not_recorded
from integrity.verifier.state import basis

_NO_RECORD = (ReleaseNotFound, RecordUnproven)
_NONE = bytes(32)
_EVENTS_AT_ONCE = 64


def resolve(session: Session, link: Link, *, version_hint: str | None = None) -> Record:
    """The record of a release, read at one block (steps 1 to 4 of the verifier).

    Without a version the package's latest is meant; its name is looked for in ``version_hint`` and
    in the registry's events, and the state decides. Raises UnknownPublisher, PublisherMismatch,
    ChainMismatch, RegistryMismatch, ReleaseNotFound, RecordUnproven, Unfinalized, Revoked, ProofInvalid,
    what vouching for a block raises, or RpcUnavailable.
    """
    check_publisher(link, session.named_publisher, session.trusts(link))
    view = session.view(link)
    version = link.version
    if version is None:
        version = version_hint or _latest_version(session, view, link)
    try:
        record = read_record(session, view, link, version)
    except _NO_RECORD:
        if link.version is None and version_hint:
            return resolve(session, link)
        if link.version is None:
            raise _not_latest(link, version) from None
        if _is_waiting(session, link, version):
            what = f"{link.package}@{version} is recorded, but not"
            raise _unfinalized(what, view.block) from None
        raise
    if link.version is None and record.sequence != record.head.latest:
        # A manifest may call itself by another version's name; the events tell which one is meant.
        if version_hint:
            return resolve(session, link)
        raise _not_latest(link, version)
    return record


def still_stands(
    session: Session, link: Link, record: Record, kept: str, warnings: list[str]
) -> tuple[Record, View | None]:
    """A record that was read before a download, as it is after it, and where it was read: it may have
    been revoked, or the chain may have dropped it. ``kept`` says where the download is. A version that
    became the latest meanwhile changes nothing.

    Raises what :func:`resolve` raises for a version, and ReleaseNotFound for another record in its
    place; if no node can be asked any more, that is a warning, as the record was proven once.
    """
    try:
        view = session.view(link)
        now = read_record(session, view, link, record.version)
    except _NO_RECORD as error:
        raise _gone(record, kept) from error
    except (RpcUnavailable, NoQuorum, StaleBlock) as error:
        warnings.append(f"whether the record still stands could not be looked at: {error.message}")
        return record, None
    except Revoked as error:
        error.next = (
            f"What was downloaded is in {kept}, for whoever looks into it. {error.next}".rstrip()
        )
        raise
    if (now.manifest, now.sequence) != (record.manifest, record.sequence):
        raise _gone(record, kept)
    return now, view


def _gone(record: Record, kept: str) -> ReleaseNotFound:
    return ReleaseNotFound(
        f"the record of {record.package}@{record.version} was there at block {record.block.number} and is "
        "there no more: the chain dropped it while the files were downloaded",
        next=f"They are kept in {kept}, and not called verified. Run the same command again later: "
        "it goes on with them once there is a record.",
    )


def _not_latest(link: Link, version: str) -> RpcAnswerInvalid:
    return RpcAnswerInvalid(
        f"{version} is not the latest release of {link.package}, as the RPC's state has it",
        next="Name the version in the link.",
    )


def read_record(session: Session, view: View, link: Link, version: str) -> Record:
    """Gather the evidence of one release at one block, and have it verified in order."""
    verifier = RecordVerifier(link, version, view.registry)
    verifier.step1_publisher(session.named_publisher, session.trusts(link))
    verifier.step2_block(view.chain_id, view.block, view.vouched)
    names = (link.publisher, link.package)
    head, release = view.words([head_slot(*names), release_slot(*names, version)])
    sequence = decode_release(release).sequence
    manifest = _NONE
    if sequence:
        (manifest,) = view.words([manifest_slot(*names, sequence)])
    verifier.step3_account(view.code_hash, proven=view.is_proven)
    record = verifier.step4_record(head, release, manifest)
    mark = session.seen.mark(link.chain_id, record.registry, *names)
    since = session.trust.compromised_since(link.chain_id, link.publisher)
    verifier.step5_rollback(record, mark, since)
    session.seen.note(record)
    return record


def _is_waiting(session: Session, link: Link, version: str) -> bool:
    """Whether it is in the newest block: a hint for people, which is not proven by anybody's quorum."""
    view = session.view(link, LATEST)
    (word,) = view.words([release_slot(link.publisher, link.package, version)])
    return decode_release(word).sequence != 0


def latest_manifest(session: Session, link: Link) -> bytes:
    """The digest of the package's latest manifest at a finalized block, 32 bytes.

    Enough to fetch that manifest and learn its version, which :func:`resolve` then verifies.
    """
    check_publisher(link, session.named_publisher, session.trusts(link))
    return _latest(session, session.view(link), link)[1]


def _head(view: View, link: Link) -> Head:
    (word,) = view.words([head_slot(link.publisher, link.package)])
    return decode_head(word)


def _no_release(session: Session, view: View, link: Link) -> IntegrityError:
    if _head(session.view(link, LATEST), link).count:
        return _unfinalized(f"{link.package} has releases, but none", view.block)
    what = f"no release of {link.package} of {link.publisher} on chain {link.chain_id}"
    return not_recorded(what, view.block, view.vouched, proven=view.is_proven)


def _unfinalized(what: str, block: Block) -> Unfinalized:
    return Unfinalized(f"{what} yet in a finalized block (the newest is {block.number})")


def _latest(session: Session, view: View, link: Link) -> tuple[int, bytes]:
    """(sequence, manifest digest) of the latest release."""
    head = _head(view, link)
    if head.count == 0:
        raise _no_release(session, view, link)
    if head.latest == 0:
        raise ReleaseNotFound(
            f"none of the {head.count} releases of {link.package} was made its latest",
            next="Name a version in the link; `integrity log` lists them.",
        )
    (manifest,) = view.words([manifest_slot(link.publisher, link.package, head.latest)])
    return head.latest, manifest


def _latest_version(session: Session, view: View, link: Link) -> str:
    latest, _ = _latest(session, view, link)
    for event in view.released(link.publisher, link.package):
        if event.sequence == latest:
            return event.version
    raise RpcAnswerInvalid(
        f"the RPC {view.node.name} does not give the event of release {latest} of {link.package}",
        next="Name the version in the link, or use an RPC that keeps all events.",
    )


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One release of a package; found by its event, and as the state has it."""

    version: str
    sequence: int
    manifest: bytes
    published_at: int
    by: str
    revoked: str | None
    latest: bool
    block: Block
    transaction: bytes


@dataclass(frozen=True, slots=True)
class History:
    """``count`` is how many releases the state says there are."""

    releases: list[HistoryEntry]
    count: int
    block: Block
    basis: str


def history(session: Session, link: Link) -> History:
    """Every release of the link's package at a finalized block, oldest first.

    Raises RpcAnswerInvalid when events and state do not tell the same story.
    """
    check_publisher(link, session.named_publisher, session.trusts(link))
    return history_at(session, session.view(link), link)


def history_at(session: Session, view: View, link: Link) -> History:
    """The same at the block of a view; found in this home's index, which is brought up to it."""
    from integrity.client.indexing import released_events

    head = _head(view, link)
    if head.count == 0:
        raise _no_release(session, view, link)
    events = released_events(session, view, link)
    entries: list[HistoryEntry] = []
    for start in range(0, len(events), _EVENTS_AT_ONCE):
        entries += _entries(view, events[start : start + _EVENTS_AT_ONCE], head.latest)
    if [entry.sequence for entry in entries] != list(range(1, head.count + 1)):
        raise RpcAnswerInvalid(
            f"the RPC {view.node.name} gives {len(entries)} events of {link.package}, "
            f"but the state has {head.count} releases",
            next=f"Use an RPC that keeps all events, and delete {session.home.index}: it is made anew.",
        )
    return History(entries, head.count, view.block, basis(view.vouched, proven=view.is_proven))


def _entries(view: View, events: list[ReleasedEvent], latest: int) -> list[HistoryEntry]:
    """The events as the state has them, all of it read in one round trip."""
    slots: list[bytes] = []
    for event in events:
        names = (event.publisher, event.package)
        slots += [release_slot(*names, event.version), manifest_slot(*names, event.sequence)]
    words = view.words(slots)
    return [
        _entry(view, event, words[2 * i], words[2 * i + 1], latest)
        for i, event in enumerate(events)
    ]


def _entry(
    view: View, event: ReleasedEvent, word: bytes, manifest: bytes, latest: int
) -> HistoryEntry:
    release = decode_release(word)
    if release.sequence != event.sequence or manifest != event.manifest:
        raise RpcAnswerInvalid(
            f"the RPC {view.node.name} gives an event that the state contradicts"
        )
    revoked = None
    if release.revocation:
        revoked = REVOCATION_REASONS.get(release.revocation, str(release.revocation))
    return HistoryEntry(
        event.version, event.sequence, manifest, release.published_at, release.by, revoked,
        event.sequence == latest, event.block, event.transaction,
    )  # fmt: skip
