"""From a link to a record, and to a package's history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from integrity.client.session import Session
from integrity.client.viewing import View
from integrity.core.links import Link
from integrity.core.registry import (
    Head,
    decode_head,
    decode_release,
    endorsement_slot,
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
    Rollback,
    RpcAnswerInvalid,
    RpcUnavailable,
    StaleBlock,
    Unfinalized,
)
from integrity.verifier.checks import Mark, check_seen, not_recorded
from integrity.verifier.policy import FINALIZED, LATEST, SAFE
from integrity.verifier.record import Record, RecordVerifier
from integrity.verifier.state import CHECKPOINT
from integrity.verifier.verdict import Verdict

_TAGS = (FINALIZED, SAFE, LATEST)
_NO_RECORD = (ReleaseNotFound, RecordUnproven)


def resolve(session: Session, link: Link, *, version_hint: str | None = None) -> Record:
    """The record of a release, read at one block (steps 1 to 5 of the verifier).

    Without a version the package's latest is meant; its name is looked for in ``version_hint`` and
    in the registry's events, and the state decides. Raises UnknownPublisher, PublisherMismatch,
    ChainMismatch, RegistryMismatch, ReleaseNotFound, RecordUnproven, Unfinalized, Revoked, ProofInvalid,
    DelegateRefused, NotEndorsed, Rollback, PublisherCompromised, what vouching for a block raises, or
    RpcUnavailable.
    """
    verifier, view = begin(session, link)
    with verifier.at(4):
        version = link.version or version_hint or _latest_version(session, view, link)
        evidence = _gathered(verifier, view, link, version)
        try:
            record = _verified(session, verifier, view, link, version, evidence)
        except _NO_RECORD:
            if evidence.sequence:  # there is a record; what is not proven is something else
                raise
            if link.version is None and version_hint:
                return resolve(session, link)
            if link.version is None:
                raise _not_latest(link, version) from None
            if _is_waiting(session, link, version):
                what = f"{link.package}@{version} is recorded, but not"
                raise _unfinalized(what, view) from None
            raise
        if link.version is None and record.sequence != record.head.latest:
            # A manifest may call itself by another version's name; the events tell which one is meant.
            if version_hint:
                return resolve(session, link)
            raise _not_latest(link, version)
    return record


def explain(session: Session, link: Link) -> Verdict:
    """The same as a verdict with its steps: why a record is believed, or at which step it is not."""
    try:
        return Verdict(resolve(session, link).steps)
    except IntegrityError as error:
        return Verdict(error.passed or (), error)


def begin(session: Session, link: Link, view: View | None = None) -> tuple[RecordVerifier, View]:
    """Steps 1 and 2 of the verifier: the publisher, and the block to read at, unless that is known. Raises
    what they do.
    """
    verifier = verifier_of(session, link)
    with verifier.at(2):
        view = view or session.view(link)
    verifier.step2_block(view.chain_id, view.block, view.vouched)
    return verifier, view


def verifier_of(session: Session, link: Link) -> RecordVerifier:
    """A verifier with what this home asks of the link's records, past step 1. Raises UnknownPublisher or
    PublisherMismatch.
    """
    policy = session.policy(link.chain_id, link)
    registry = session.registry(link.chain_id, link.publisher)
    verifier = RecordVerifier(link, registry, policy)
    verifier.step1_publisher(session.named_publisher, session.trusts(link))
    return verifier


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
        verifier, view = begin(session, link)
        now = read_record(session, verifier, view, link, record.version)
    except ReleaseNotFound as error:
        raise _gone(record, kept) from error
    except (RpcUnavailable, NoQuorum, StaleBlock) as error:
        warnings.append(f"whether the record still stands could not be looked at: {error.message}")
        return record, None
    except (Revoked, Rollback, RecordUnproven) as error:
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


def read_record(
    session: Session, verifier: RecordVerifier, view: View, link: Link, version: str
) -> Record:
    """Steps 3 to 5: gather the evidence of one release at one block, and have it verified in order."""
    evidence = _gathered(verifier, view, link, version)
    return _verified(session, verifier, view, link, version, evidence)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The words of one release, 32 bytes each; no sequence, no release."""

    head: bytes
    release: bytes
    sequence: int
    manifest: bytes = bytes(32)
    endorsements: Mapping[str, bytes] = field(default_factory=dict)


def _gathered(verifier: RecordVerifier, view: View, link: Link, version: str) -> _Evidence:
    names = (link.publisher, link.package)
    head, release = view.words([head_slot(*names), release_slot(*names, version)])
    sequence = decode_release(release).sequence
    if not sequence:
        return _Evidence(head, release, sequence)
    (manifest,) = view.words([manifest_slot(*names, sequence)])
    endorsements = _endorsements(view, verifier.policy.endorsers, manifest)
    return _Evidence(head, release, sequence, manifest, endorsements)


def _verified(
    session: Session, verifier: RecordVerifier, view: View, link: Link, version: str, found: _Evidence
) -> Record:  # fmt: skip
    verifier.step3_account(view.code_hash, proven=view.is_proven)
    with verifier.at(5):
        mark = _mark(session, view, link)
    record = verifier.step4_record(
        version, found.head, found.release, found.manifest, found.endorsements, mark
    )
    since = session.trust.compromised_since(link.chain_id, link.publisher)
    record = verifier.step5_rollback(record, mark, since)
    session.seen.note(record)
    return record


def _endorsements(view: View, endorsers: Sequence[str], manifest: bytes) -> dict[str, bytes]:
    """The word of each endorser."""
    if not endorsers:
        return {}
    words = view.words([endorsement_slot(one, manifest) for one in endorsers])
    return dict(zip(endorsers, words, strict=True))


def _is_waiting(session: Session, link: Link, version: str) -> bool:
    """Whether it is in the newest block: a hint for people, which is not proven by anybody's quorum."""
    view = session.newest(link.chain_id, link.publisher)
    (word,) = view.words([release_slot(link.publisher, link.package, version)])
    return decode_release(word).sequence != 0


def latest_manifest(session: Session, link: Link) -> bytes:
    """The digest of the package's latest manifest at a finalized block, 32 bytes.

    Enough to fetch that manifest and learn its version, which :func:`resolve` then verifies.
    """
    verifier, view = begin(session, link)
    with verifier.at(4):
        return _latest(session, view, link)[1]


def head_of(session: Session, view: View, link: Link) -> Head:
    """The head of the link's package, held against what this home has seen of it. Raises Rollback,
    StaleBlock, and what :meth:`View.words` raises.
    """
    head = _head(view, link)
    check_seen(link, head, view.block, view.vouched, _mark(session, view, link))
    return head


def _mark(session: Session, view: View, link: Link) -> Mark | None:
    """How far this home has seen the package; nothing is held against a checkpoint."""
    if view.vouched.how == CHECKPOINT:
        return None
    return session.seen.mark(link.chain_id, view.registry.address, link.publisher, link.package)


def _head(view: View, link: Link) -> Head:
    (word,) = view.words([head_slot(link.publisher, link.package)])
    return decode_head(word)


def no_release(session: Session, view: View, link: Link) -> IntegrityError:
    """What to raise where the link's package has none."""
    if _head(session.newest(link.chain_id, link.publisher), link).count:
        return _unfinalized(f"{link.package} has releases, but none", view)
    what = f"no release of {link.package} of {link.publisher} on chain {link.chain_id}"
    return not_recorded(what, view.block, view.vouched, proven=view.is_proven)


def _unfinalized(what: str, view: View) -> Unfinalized:
    number, finality = view.block.number, view.vouched.finality
    if view.vouched.how == CHECKPOINT:
        return Unfinalized(
            f"{what} yet in the checkpoint's block {number}",
            next="Name a newer checkpoint, or none.",
        )
    where = f"a {finality} block" if finality in _TAGS else f"a block with {finality}"
    return Unfinalized(f"{what} yet in {where} (the newest is {number})")


def _latest(session: Session, view: View, link: Link) -> tuple[int, bytes]:
    """(sequence, manifest digest) of the latest release."""
    head = head_of(session, view, link)
    if head.count == 0:
        raise no_release(session, view, link)
    if head.latest > head.count:
        raise RpcAnswerInvalid(
            f"what the chain is said to have of {link.package} contradicts itself"
        )
    if head.latest == 0:
        if _head(session.newest(link.chain_id, link.publisher), link).latest:
            raise _unfinalized(f"{link.package} has a latest release, but not", view)
        what = f"none of the {head.count} releases of {link.package} was made its latest"
        error = not_recorded(what, view.block, view.vouched, proven=view.is_proven)
        error.next = "Name a version in the link; `integrity log` lists them."
        raise error
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
