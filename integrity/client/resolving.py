"""From a link to a record, and to a package's history."""

from __future__ import annotations

from dataclasses import dataclass

from integrity.client.session import Session
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
    ReleaseNotFound,
    Revoked,
    RpcAnswerInvalid,
    RpcUnavailable,
    Unfinalized,
)
from integrity.ports import ChainReader, ReleasedEvent
from integrity.verifier.record import (
    ONE_RPC,
    Record,
    RecordVerifier,
    Registry,
    check_chain,
    check_code,
    check_publisher,
)

FINALIZED = "finalized"
_NONE = bytes(32)
_EVENTS_AT_ONCE = 64


def resolve(session: Session, link: Link, *, version_hint: str | None = None) -> Record:
    """The record of a release, read at one finalized block (steps 1 to 4 of the verifier).

    Without a version the package's latest is meant; its name is looked for in ``version_hint`` and
    in the registry's events, and the state decides. Raises UnknownPublisher, PublisherMismatch,
    ChainMismatch, RegistryMismatch, ReleaseNotFound, Unfinalized, Revoked, RpcUnavailable.
    """
    check_publisher(link, session.named_publisher, session.trusts(link))
    reader = session.reader(link.chain_id)
    block = reader.block(FINALIZED)
    version = link.version
    if version is None:
        version = version_hint or _latest_version(session, reader, link, block)
    try:
        record = read_record(session, reader, link, version, block)
    except ReleaseNotFound:
        if link.version is None and version_hint:
            return resolve(session, link)
        if link.version is None:
            raise _not_latest(link, version) from None
        if _is_waiting(reader, session.registry, link, version):
            raise _unfinalized(f"{link.package}@{version} is recorded, but not", block) from None
        raise
    if link.version is None and record.sequence != record.head.latest:
        # A manifest may call itself by another version's name; the events tell which one is meant.
        if version_hint:
            return resolve(session, link)
        raise _not_latest(link, version)
    return record


def still_stands(
    session: Session, link: Link, record: Record, kept: str, warnings: list[str]
) -> Record:
    """A record that was read before a download, as it is after it: it may have been revoked, or the
    chain may have dropped it. ``kept`` says where the download is. A version that became the latest
    meanwhile changes nothing.

    Raises what :func:`resolve` raises for a version, and ReleaseNotFound for another record in its
    place; if no node can be asked any more, that is a warning, as the record was proven once.
    """
    try:
        reader = session.reader(link.chain_id)
        block = reader.block(FINALIZED)
        if block == record.block:
            return record
        now = read_record(session, reader, link, record.version, block)
    except ReleaseNotFound as error:
        raise _gone(record, kept) from error
    except RpcUnavailable as error:
        warnings.append(f"whether the record still stands could not be looked at: {error.message}")
        return record
    except Revoked as error:
        error.next = (
            f"What was downloaded is in {kept}, for whoever looks into it. {error.next}".rstrip()
        )
        raise
    if (now.manifest, now.sequence) != (record.manifest, record.sequence):
        raise _gone(record, kept)
    return now


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


def read_record(
    session: Session, reader: ChainReader, link: Link, version: str, block: Block
) -> Record:
    """Gather the evidence of one release at one block, and have it verified in order."""
    registry = session.registry
    verifier = RecordVerifier(link, version, registry)
    verifier.step1_publisher(session.named_publisher, session.trusts(link))
    verifier.step2_block(reader.chain_id(), block)
    verifier.step3_account(reader.code(registry.address, block))
    head, release, manifest = _words(reader, registry, link, version, block)
    return verifier.step4_record(head, release, manifest)


def _words(
    reader: ChainReader, registry: Registry, link: Link, version: str, block: Block
) -> tuple[bytes, bytes, bytes]:
    """The words of head, release and manifest digest, all at one block."""
    names = (link.publisher, link.package)
    slots = [head_slot(*names), release_slot(*names, version)]
    head, release = reader.words(registry.address, slots, block)
    sequence = decode_release(release).sequence
    if sequence == 0:
        return head, release, _NONE
    (manifest,) = reader.words(registry.address, [manifest_slot(*names, sequence)], block)
    return head, release, manifest


def _is_waiting(reader: ChainReader, registry: Registry, link: Link, version: str) -> bool:
    slot = release_slot(link.publisher, link.package, version)
    (word,) = reader.words(registry.address, [slot], reader.block("latest"))
    return decode_release(word).sequence != 0


def latest_manifest(session: Session, link: Link) -> bytes:
    """The digest of the package's latest manifest at a finalized block, 32 bytes.

    Enough to fetch that manifest and learn its version, which :func:`resolve` then verifies.
    """
    check_publisher(link, session.named_publisher, session.trusts(link))
    reader = session.reader(link.chain_id)
    return _latest(session, reader, link, reader.block(FINALIZED))[1]


def _check_registry(session: Session, reader: ChainReader, link: Link, block: Block) -> None:
    """Steps 2 and 3, before anything is believed of a package's state."""
    check_chain(link.chain_id, reader.chain_id())
    registry = session.registry
    check_code(registry, link.chain_id, reader.code(registry.address, block))


def _head(reader: ChainReader, address: str, link: Link, block: Block) -> Head:
    (word,) = reader.words(address, [head_slot(link.publisher, link.package)], block)
    return decode_head(word)


def _no_release(
    reader: ChainReader, address: str, link: Link, block: Block
) -> ReleaseNotFound | Unfinalized:
    if _head(reader, address, link, reader.block("latest")).count:
        return _unfinalized(f"{link.package} has releases, but none", block)
    return ReleaseNotFound(
        f"no release of {link.package} of {link.publisher} on chain {link.chain_id}, "
        f"as one RPC says of block {block.number}"
    )


def _unfinalized(what: str, block: Block) -> Unfinalized:
    return Unfinalized(f"{what} yet in a finalized block (the newest is {block.number})")


def _latest(session: Session, reader: ChainReader, link: Link, block: Block) -> tuple[int, bytes]:
    """(sequence, manifest digest) of the latest release."""
    _check_registry(session, reader, link, block)
    address = session.registry.address
    names = (link.publisher, link.package)
    head = _head(reader, address, link, block)
    if head.count == 0:
        raise _no_release(reader, address, link, block)
    if head.latest == 0:
        raise ReleaseNotFound(
            f"none of the {head.count} releases of {link.package} was made its latest",
            next="Name a version in the link; `integrity log` lists them.",
        )
    (manifest,) = reader.words(address, [manifest_slot(*names, head.latest)], block)
    return head.latest, manifest


def _latest_version(session: Session, reader: ChainReader, link: Link, block: Block) -> str:
    latest, _ = _latest(session, reader, link, block)
    events = reader.released(session.registry.address, link.publisher, link.package, block)
    for event in events:
        if event.sequence == latest:
            return event.version
    raise RpcAnswerInvalid(
        f"the RPC {reader.name} does not give the event of release {latest} of {link.package}",
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
    basis: str = ONE_RPC


def history(session: Session, link: Link) -> History:
    """Every release of the link's package at a finalized block, oldest first.

    Raises RpcAnswerInvalid when events and state do not tell the same story.
    """
    check_publisher(link, session.named_publisher, session.trusts(link))
    reader = session.reader(link.chain_id)
    block = reader.block(FINALIZED)
    _check_registry(session, reader, link, block)
    address = session.registry.address
    head = _head(reader, address, link, block)
    if head.count == 0:
        raise _no_release(reader, address, link, block)
    events = reader.released(address, link.publisher, link.package, block)
    entries: list[HistoryEntry] = []
    for start in range(0, len(events), _EVENTS_AT_ONCE):
        some = events[start : start + _EVENTS_AT_ONCE]
        entries += _entries(reader, address, some, head.latest, block)
    if [entry.sequence for entry in entries] != list(range(1, head.count + 1)):
        raise RpcAnswerInvalid(
            f"the RPC {reader.name} gives {len(entries)} events of {link.package}, "
            f"but the state has {head.count} releases",
            next="Use an RPC that keeps all events.",
        )
    return History(entries, head.count, block)


def _entries(
    reader: ChainReader, address: str, events: list[ReleasedEvent], latest: int, block: Block
) -> list[HistoryEntry]:
    """The events as the state has them, all of it read in one round trip."""
    slots: list[bytes] = []
    for event in events:
        names = (event.publisher, event.package)
        slots += [release_slot(*names, event.version), manifest_slot(*names, event.sequence)]
    words = reader.words(address, slots, block)
    return [
        _entry(reader, event, words[2 * i], words[2 * i + 1], latest)
        for i, event in enumerate(events)
    ]


def _entry(
    reader: ChainReader, event: ReleasedEvent, word: bytes, manifest: bytes, latest: int
) -> HistoryEntry:
    release = decode_release(word)
    if release.sequence != event.sequence or manifest != event.manifest:
        raise RpcAnswerInvalid(f"the RPC {reader.name} gives an event that its state contradicts")
    revoked = None
    if release.revocation:
        revoked = REVOCATION_REASONS.get(release.revocation, str(release.revocation))
    return HistoryEntry(
        event.version, event.sequence, manifest, release.published_at, release.by, revoked,
        event.sequence == latest, event.block, event.transaction,
    )  # fmt: skip
