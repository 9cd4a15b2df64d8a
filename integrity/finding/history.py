"""A package's history: found by its events, and as the state has it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from integrity.client.resolving import head_of, no_release
from integrity.client.session import Session
from integrity.client.viewing import View
from integrity.core.links import Link
from integrity.core.registry import (
    REVOCATION_REASONS,
    Block,
    Head,
    decode_release,
    manifest_slot,
    release_slot,
)
from integrity.errors import RpcAnswerInvalid, VerificationError
from integrity.finding.indexing import brought_up, released_events
from integrity.ports import ReleasedEvent
from integrity.verifier.checks import check_compromised, check_delegate, check_publisher
from integrity.verifier.policy import Policy
from integrity.verifier.state import basis

if TYPE_CHECKING:
    from integrity.index.database import Index

_EVENTS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One release of a package; found by its event, and as the state has it. ``refused`` is why this home
    takes none of its sender or its time, if that is so.
    """

    version: str
    sequence: int
    manifest: bytes
    published_at: int
    by: str
    revoked: str | None
    latest: bool
    block: Block
    transaction: bytes
    refused: VerificationError | None = None


@dataclass(frozen=True, slots=True)
class History:
    """``count`` is how many releases the state says there are, ``warnings`` what the index has to tell."""

    releases: list[HistoryEntry]
    count: int
    block: Block
    basis: str
    finality: str
    warnings: list[str] = field(default_factory=list)


def history(session: Session, link: Link) -> History:
    """Every release of the link's package at a finalized block, oldest first.

    Raises RpcAnswerInvalid when events and state do not tell the same story.
    """
    check_publisher(link, session.named_publisher, session.trusts(link))
    view = session.view(link)
    _head(session, view, link)
    with brought_up(session, view, link) as (index, warnings):
        return replace(history_at(session, index, view, link), warnings=warnings)


def history_at(session: Session, index: Index, view: View, link: Link) -> History:
    """The same at the block of a view, to which this home's index was brought up."""
    head = _head(session, view, link)
    events = released_events(index, view, link)
    entries: list[HistoryEntry] = []
    for start in range(0, len(events), _EVENTS_AT_ONCE):
        entries += _entries(view, events[start : start + _EVENTS_AT_ONCE], head.latest)
    if [entry.sequence for entry in entries] != list(range(1, head.count + 1)):
        raise RpcAnswerInvalid(
            f"the RPC {view.node.name} gives {len(entries)} events of {link.package}, "
            f"but the state has {head.count} releases",
            next=_where_events_are(session, link.chain_id),
        )
    policy = session.policy(link.chain_id, link)
    since = session.trust.compromised_since(link.chain_id, link.publisher)
    return History(
        [
            replace(entry, refused=_refused(entry, policy, link.publisher, since))
            for entry in entries
        ],
        head.count,
        view.block,
        basis(view.vouched, proven=view.is_proven),
        view.vouched.finality,
    )


def _where_events_are(session: Session, chain_id: int) -> str:
    """What to do when some are missing."""
    keeps = f"se an RPC that keeps all events, and delete {session.home.index}: it is made anew."
    first = session.config.first_block.get(chain_id, 0)
    if not first:
        return "U" + keeps
    return (
        f"{session.home.config_file} has first_block = {first}, and no event before that block is read: "
        f"mend that if the registry is older; else u{keeps}"
    )


def _refused(
    entry: HistoryEntry, policy: Policy, publisher: str, since: int | None
) -> VerificationError | None:
    try:
        check_delegate(policy, publisher, entry.version, entry.by)
        check_compromised(entry.version, entry.published_at, since)
    except VerificationError as error:
        return error
    return None


def _head(session: Session, view: View, link: Link) -> Head:
    """Raises ReleaseNotFound, RecordUnproven or Unfinalized when the package has no release."""
    head = head_of(session, view, link)
    if head.count == 0:
        raise no_release(session, view, link)
    return head


def _entries(view: View, events: list[ReleasedEvent], latest: int) -> list[HistoryEntry]:
    """The events as the state has them, all of it read in one round trip."""
    slots: list[bytes] = []
    for event in events:
        names = (event.publisher, event.package)
        slots += [release_slot(*names, event.version), manifest_slot(*names, event.sequence)]
    words = view.words(slots)
    return [_entry(event, words[2 * i], words[2 * i + 1], latest) for i, event in enumerate(events)]


def _entry(event: ReleasedEvent, word: bytes, manifest: bytes, latest: int) -> HistoryEntry:
    release = decode_release(word)
    if release.sequence != event.sequence or manifest != event.manifest:
        raise RpcAnswerInvalid(
            f"the index has an event of {event.package}@{event.version} that the state contradicts: some "
            "node gave it",
            next="Delete index.db in the home (`integrity doctor` says where that is); it is made anew.",
        )
    revoked = None
    if release.revocation:
        revoked = REVOCATION_REASONS.get(release.revocation, str(release.revocation))
    return HistoryEntry(
        event.version, event.sequence, manifest, release.published_at, release.by, revoked,
        event.sequence == latest, event.block, event.transaction,
    )  # fmt: skip
