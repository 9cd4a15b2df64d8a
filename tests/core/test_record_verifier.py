"""The verifier's steps 1 to 7 (spec v1, section 6): what each says no to, and in order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from integrity.core.links import Link, parse_link
from integrity.core.manifest import encode_file, encode_header
from integrity.core.names import keccak256
from integrity.core.reading import ManifestDigest
from integrity.core.registry import Block, Head
from integrity.errors import (
    ChainMismatch,
    DelegateRefused,
    IntegrityError,
    ManifestInvalid,
    ManifestMismatch,
    NotEndorsed,
    PublisherCompromised,
    PublisherMismatch,
    RecordUnproven,
    RegistryMismatch,
    ReleaseNotFound,
    Revoked,
    Rollback,
    RpcAnswerInvalid,
    StaleBlock,
    UnknownPublisher,
    WrongRelease,
)
from integrity.verifier.checks import Mark, Registry
from integrity.verifier.content import manifest_digest, step6_manifest, step7_piece
from integrity.verifier.policy import Policy
from integrity.verifier.record import Record, RecordVerifier
from integrity.verifier.state import CHECKPOINT, ONE_NODE, QUORUM, Vouched
from integrity.verifier.verdict import Verdict

from .releases import PUBLISHER, MemoryScratch, header_of, manifest_of, simple

OTHER = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
CODE = b"\x60\x00"
REGISTRY = Registry("0x4e59b44847b379578588920cA78FbF26c0B4956C", keccak256(CODE))
BLOCK = Block(17, b"\x11" * 32, 1_700_000_000)
DIGEST = bytes(range(32))
CODE_HASH = keccak256(CODE)
VOUCHED = Vouched(ONE_NODE)
RECORD = Record(
    31337, PUBLISHER, "tool", "1.2.0", DIGEST, 2, Head(3, 2, 1_700_000_000), 1_690_000_000, OTHER, BLOCK,
    REGISTRY.address, VOUCHED, True,
)  # fmt: skip


def link_of(text: str = "tool@1.2.0", pin: str = "") -> Link:
    link = parse_link(f"integrity:31337:{PUBLISHER}/{text}{pin}")
    assert isinstance(link, Link)
    return link


def head(count: int = 3, latest: int = 2, updated_at: int = 1_700_000_000) -> bytes:
    return (count | latest << 48 | updated_at << 96).to_bytes(32, "big")


def release(sequence: int = 2, revocation: int = 0, by: str = OTHER) -> bytes:
    word = sequence | 1_690_000_000 << 48 | revocation << 88 | int(by, 16) << 96
    return word.to_bytes(32, "big")


def through(verifier: RecordVerifier, steps: int) -> RecordVerifier:
    """Take the first steps with good evidence."""
    calls: list[Callable[[], Any]] = [
        lambda: verifier.step1_publisher(None, trusted=True),
        lambda: verifier.step2_block(31337, BLOCK, VOUCHED),
        lambda: verifier.step3_account(CODE_HASH, proven=True),
        lambda: verifier.step4_record("1.2.0", head(), release(), DIGEST),
        lambda: verifier.step5_rollback(RECORD, None, None),
    ]
    for call in calls[:steps]:
        call()
    return verifier


def verifier_of(link: Link | None = None) -> RecordVerifier:
    return RecordVerifier(link or link_of(), REGISTRY)


def test_good_evidence_gives_a_record_that_says_on_what_it_rests() -> None:
    record = through(verifier_of(), 3).step4_record("1.2.0", head(), release(), DIGEST)
    assert record == Record(
        chain_id=31337,
        publisher=PUBLISHER,
        package="tool",
        version="1.2.0",
        manifest=DIGEST,
        sequence=2,
        head=record.head,
        published_at=1_690_000_000,
        by=OTHER,
        block=BLOCK,
        registry=REGISTRY.address,
        vouched=VOUCHED,
        is_proven=True,
    )
    assert (record.head.count, record.head.latest, record.head.updated_at) == (3, 2, 1_700_000_000)
    assert record.is_latest
    assert record.basis == "one rpc, proven"


# --- the order -----------------------------------------------------------------------------------

STEPS: dict[int, Callable[[RecordVerifier], Any]] = {
    1: lambda v: v.step1_publisher(None, trusted=True),
    2: lambda v: v.step2_block(31337, BLOCK, VOUCHED),
    3: lambda v: v.step3_account(CODE_HASH, proven=True),
    4: lambda v: v.step4_record("1.2.0", head(), release(), DIGEST),
    5: lambda v: v.step5_rollback(RECORD, None, None),
}


@pytest.mark.parametrize("done", range(6))
@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_taken_after_the_one_before_and_once(done: int, step: int) -> None:
    verifier = through(verifier_of(), done)
    if step == done + 1:
        STEPS[step](verifier)
        return
    with pytest.raises(RuntimeError) as caught:
        STEPS[step](verifier)
    assert not isinstance(caught.value, IntegrityError)


REFUSALS: dict[int, tuple[Callable[[RecordVerifier], Any], type[IntegrityError]]] = {
    1: (lambda v: v.step1_publisher(None, trusted=False), UnknownPublisher),
    2: (lambda v: v.step2_block(1, BLOCK, VOUCHED), ChainMismatch),
    3: (lambda v: v.step3_account(keccak256(b""), proven=True), RegistryMismatch),
    4: (lambda v: v.step4_record("1.2.0", head(), release(revocation=1), DIGEST), Revoked),
}


@pytest.mark.parametrize("step", REFUSALS)
def test_no_step_is_taken_after_one_that_said_no(step: int) -> None:
    """Whoever swallows the error must not get any further."""
    verifier = through(verifier_of(), step - 1)
    refused, error = REFUSALS[step]
    with pytest.raises(error):
        refused(verifier)
    with pytest.raises(RuntimeError):
        STEPS[step + 1](verifier)


# --- step 1 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "trusted", "error"),
    [
        (None, False, UnknownPublisher),
        (OTHER, False, PublisherMismatch),
        (OTHER, True, PublisherMismatch),
        (PUBLISHER.lower(), False, PublisherMismatch),
    ],
)
def test_step_1_a_link_alone_makes_nobody_known(
    named: str | None, trusted: bool, error: type[IntegrityError]
) -> None:
    with pytest.raises(error):
        verifier_of().step1_publisher(named, trusted)


@pytest.mark.parametrize(
    ("named", "trusted"), [(PUBLISHER, False), (PUBLISHER, True), (None, True)]
)
def test_step_1_a_publisher_is_named_or_trusted(named: str | None, trusted: bool) -> None:
    verifier = verifier_of()
    verifier.step1_publisher(named, trusted)
    verifier.step2_block(31337, BLOCK, VOUCHED)


# --- steps 2 and 3 -------------------------------------------------------------------------------


def test_step_2_threat_9_another_chain_is_no_answer_about_this_one() -> None:
    with pytest.raises(ChainMismatch) as caught:
        through(verifier_of(), 1).step2_block(1, BLOCK, VOUCHED)
    assert caught.value.evidence == {"expected": 31337, "actual": 1}


@pytest.mark.parametrize("code", [b"", b"\x60\x01", CODE + b"\x00"])
def test_step_3_threat_10_another_contract_is_not_the_registry(code: bytes) -> None:
    with pytest.raises(RegistryMismatch) as caught:
        through(verifier_of(), 2).step3_account(keccak256(code), proven=True)
    assert caught.value.evidence["address"] == REGISTRY.address


# --- step 4 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((bytes(32), bytes(32), bytes(32)), ReleaseNotFound),
        ((head(), release(0), DIGEST), ReleaseNotFound),
        ((head(), release(), bytes(32)), RpcAnswerInvalid),
        ((bytes(32), release(), DIGEST), RpcAnswerInvalid),
        ((head(count=1, latest=1), release(2), DIGEST), RpcAnswerInvalid),
        ((head(count=2, latest=3), release(2), DIGEST), RpcAnswerInvalid),
        ((head(), release(revocation=2), DIGEST), Revoked),
        ((head(latest=3), release(revocation=255), DIGEST), Revoked),
    ],
    ids=["nothing", "no release", "no manifest", "no head", "sequence over count",
         "latest over count", "revoked", "revoked for a reason without a name"],
)  # fmt: skip
def test_step_4_words_that_make_no_record(
    words: tuple[bytes, bytes, bytes], error: type[IntegrityError]
) -> None:
    with pytest.raises(IntegrityError) as caught:
        through(verifier_of(), 3).step4_record("1.2.0", *words)
    assert type(caught.value) is error


@pytest.mark.parametrize(("code", "reason"), [(1, "unspecified"), (2, "compromised"), (9, "9")])
def test_step_4_a_revocation_says_why(code: int, reason: str) -> None:
    with pytest.raises(Revoked) as caught:
        through(verifier_of(), 3).step4_record("1.2.0", head(), release(revocation=code), DIGEST)
    assert caught.value.evidence == {"reason": reason, "code": code}


def test_step_4_a_pin_holds() -> None:
    pinned = link_of(pin="#" + DIGEST.hex())
    record = through(verifier_of(pinned), 3).step4_record("1.2.0", head(), release(), DIGEST)
    assert record.manifest == DIGEST
    with pytest.raises(ManifestMismatch) as caught:
        through(verifier_of(pinned), 3).step4_record("1.2.0", head(), release(), b"\x01" * 32)
    assert caught.value.evidence == {"expected": DIGEST.hex(), "actual": (b"\x01" * 32).hex()}


def test_step_4_an_older_release_is_no_latest() -> None:
    record = through(verifier_of(), 3).step4_record("1.2.0", head(latest=3), release(), DIGEST)
    assert not record.is_latest


def test_step_4_an_absence_is_an_answer_only_if_it_is_proven() -> None:
    with pytest.raises(ReleaseNotFound) as proven:
        through(verifier_of(), 3).step4_record("1.2.0", head(), release(0), DIGEST)
    assert proven.value.exit_code == 4
    assert proven.value.evidence["block"] == BLOCK.number
    verifier = through(verifier_of(), 2)
    verifier.step3_account(CODE_HASH, proven=False)
    with pytest.raises(RecordUnproven) as told:
        verifier.step4_record("1.2.0", head(), release(0), DIGEST)
    assert told.value.exit_code == 3


# --- step 5 --------------------------------------------------------------------------------------


def rolled(mark: Mark | None, since: int | None = None, how: str = QUORUM) -> Record:
    record = replace(RECORD, vouched=Vouched(how))
    return through(verifier_of(), 4).step5_rollback(record, mark, since)


@pytest.mark.parametrize(
    "mark",
    [None, Mark(0, 0, 0), Mark(3, 1_700_000_000, 17), Mark(2, 1_600_000_000, 16)],
    ids=["nothing seen", "all zero", "the same", "less"],
)
def test_step_5_what_is_no_less_than_was_seen_goes_on(mark: Mark | None) -> None:
    assert rolled(mark).sequence == 2


@pytest.mark.parametrize("how", [QUORUM, ONE_NODE])
@pytest.mark.parametrize(
    "mark",
    [Mark(4, 1_700_000_000, 17), Mark(3, 1_700_000_001, 17), Mark(2**48 - 1, 2**40 - 1, 17)],
    ids=["a release less", "a revocation less", "as far as can be"],
)
def test_step_5_threat_4_less_than_was_seen_is_a_rollback(mark: Mark, how: str) -> None:
    with pytest.raises(Rollback) as caught:
        rolled(mark, how=how)
    assert caught.value.evidence["seen_count"] == mark.count


def test_step_5_threat_5_a_node_that_is_behind_could_not_be_checked() -> None:
    with pytest.raises(StaleBlock) as caught:
        rolled(Mark(3, 1_700_000_000, 18))
    assert caught.value.exit_code == 3


def test_step_5_a_checkpoint_is_read_whatever_was_seen_later() -> None:
    assert rolled(Mark(9, 1_800_000_000, 99), how=CHECKPOINT).sequence == 2


def test_step_5_threat_44_releases_since_a_compromise_are_refused_and_no_earlier_ones() -> None:
    with pytest.raises(PublisherCompromised):
        rolled(None, since=1_690_000_000)
    assert rolled(None, since=1_690_000_001).sequence == 2


# --- steps 6 and 7 -------------------------------------------------------------------------------

MANIFEST = manifest_of([simple("a"), simple("b/c")])
NAMES = (PUBLISHER, "tool", "1.2.0")


def check(manifest: bytes, expected: bytes | None = None, names: Any = NAMES) -> Any:
    digest = hashlib.sha256(manifest).digest() if expected is None else expected
    return step6_manifest(lambda: [manifest], digest, MemoryScratch(), names)


def test_step_6_the_recorded_manifest_is_accepted() -> None:
    assert check(MANIFEST) == header_of([simple("a"), simple("b/c")])
    assert manifest_digest(lambda: [MANIFEST]) == hashlib.sha256(MANIFEST).digest()


@pytest.mark.parametrize("other", [b"", MANIFEST[:-1], MANIFEST + b"\n", MANIFEST[::-1]])
def test_step_6_other_bytes_are_not_the_recorded_manifest(other: bytes) -> None:
    with pytest.raises(ManifestMismatch):
        check(other, hashlib.sha256(MANIFEST).digest())


def test_step_6_a_root_block_is_not_the_manifest_whose_digest_it_has() -> None:
    """Else whoever sends the block in the manifest's place would make the publisher look guilty."""
    manifest = manifest_of(simple(f"{n:06d}") for n in range(12_000))
    blocks: dict[bytes, bytes] = {}
    digest = ManifestDigest(blocks.__setitem__)
    digest.update(manifest)
    recorded = digest.finish()
    assert check(manifest, recorded).files == 12_000
    assert hashlib.sha256(blocks[recorded]).digest() == recorded
    with pytest.raises(ManifestMismatch):
        check(blocks[recorded], recorded)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"", "FormatError"),
        (b"\x00\n", "FormatError"),
        (MANIFEST[:-1], "NonCanonical"),
        (MANIFEST.replace(b'"files":2', b'"files":3'), "TotalsMismatch"),
    ],
)
def test_step_6_a_broken_manifest_under_its_digest_is_evidence(broken: bytes, reason: str) -> None:
    with pytest.raises(ManifestInvalid) as caught:
        check(broken)
    assert caught.value.evidence["reason"] == reason


@pytest.mark.parametrize(
    "names", [(OTHER, "tool", "1.2.0"), (PUBLISHER, "tools", "1.2.0"), (PUBLISHER, "tool", "1.2.1")]
)
def test_step_6_threat_13_a_manifest_of_another_release_is_not_this_ones(
    names: tuple[str, str, str],
) -> None:
    with pytest.raises(WrongRelease):
        check(MANIFEST, names=names)


def test_step_6_threat_13_a_newer_header_over_older_lines_is_refused() -> None:
    newer = [simple("a", b"new"), simple("b/c")]
    mixed = encode_header(header_of(newer)) + encode_file(simple("a", b"old")) + encode_file(
        simple("b/c")
    )  # fmt: skip
    with pytest.raises(ManifestInvalid) as caught:
        check(mixed)
    assert caught.value.evidence["reason"] == "TotalsMismatch"


def test_step_7_a_piece_has_its_digest_or_says_which_it_has() -> None:
    expected = hashlib.sha256(b"piece").digest()
    assert step7_piece(memoryview(b"piece"), expected) is None
    for other in (b"Piece", b"piece\0", b"piec", b""):
        assert step7_piece(memoryview(other), expected) == hashlib.sha256(other).digest()


# --- what a policy asks of a release -------------------------------------------------------------

AUDITOR, SCANNER = "0x" + "11" * 20, "0x" + "22" * 20
NOTHING = bytes(32)


def endorsed(kind: int = 1) -> bytes:
    return (1_700_000_000 | kind << 40).to_bytes(32, "big")


def under(
    policy: Policy, words: dict[str, bytes] | None = None, by: str = OTHER, *, proven: bool = True
) -> Record:
    verifier = RecordVerifier(link_of(), REGISTRY, policy)
    verifier.step1_publisher(None, trusted=True)
    verifier.step2_block(31337, BLOCK, VOUCHED)
    verifier.step3_account(CODE_HASH, proven=proven)
    return verifier.step4_record("1.2.0", head(), release(by=by), DIGEST, words)


def test_as_many_endorsements_as_the_policy_asks_for_have_to_be_there() -> None:
    policy = Policy(endorsements=1, endorsers=(AUDITOR, SCANNER))
    words = {AUDITOR: NOTHING, SCANNER: endorsed()}
    assert under(policy, words).endorsed_by == (SCANNER,)
    with pytest.raises(NotEndorsed) as caught:
        under(replace(policy, endorsements=2), words)
    assert caught.value.evidence["missing"] == [AUDITOR]
    assert caught.value.step == 4


def test_an_endorsement_of_another_kind_does_not_count() -> None:
    policy = Policy(endorsements=1, endorsers=(AUDITOR,), endorsement_kinds=(2,))
    with pytest.raises(NotEndorsed):
        under(policy, {AUDITOR: endorsed(kind=3)})
    assert under(policy, {AUDITOR: endorsed(kind=2)}).endorsed_by == (AUDITOR,)


def test_a_publisher_does_not_endorse_its_own() -> None:
    policy = Policy(endorsements=1, endorsers=(PUBLISHER,))
    with pytest.raises(NotEndorsed):
        under(policy, {PUBLISHER: endorsed()})


def test_an_endorsement_that_is_absent_without_proof_is_not_known() -> None:
    policy = Policy(endorsements=1, endorsers=(AUDITOR,))
    with pytest.raises(RecordUnproven):
        under(policy, {AUDITOR: NOTHING}, proven=False)
    with pytest.raises(RecordUnproven):
        under(policy, {})


def test_a_release_by_an_account_that_the_policy_does_not_name_is_refused() -> None:
    nobody = Policy(delegates=())
    assert under(nobody, by=PUBLISHER).by == PUBLISHER
    with pytest.raises(DelegateRefused) as caught:
        under(nobody)
    assert caught.value.evidence == {"by": OTHER, "allowed": [PUBLISHER]}
    assert under(Policy(delegates=(OTHER,))).by == OTHER


# --- the verdict ---------------------------------------------------------------------------------


def test_a_record_says_which_steps_it_passed_and_what_each_found() -> None:
    verifier = through(verifier_of(), 3)
    record = verifier.step4_record("1.2.0", head(), release(), DIGEST)
    steps = verifier.step5_rollback(record, Mark(2, 1_600_000_000, 16), None).steps
    assert [(step.number, step.name) for step in steps] == [
        (1, "who"), (2, "header"), (3, "account"), (4, "storage"), (5, "rollback"),
    ]  # fmt: skip
    evidence = {key: value for step in steps for key, value in step.evidence.items()}
    assert evidence["publisher"] == PUBLISHER
    assert (evidence["block"], evidence["block_hash"]) == (17, "11" * 32)
    assert evidence["code_hash"] == CODE_HASH.hex()
    assert (evidence["manifest"], evidence["releases"]) == (DIGEST.hex(), 3)
    assert evidence["seen_block"] == 16


@pytest.mark.parametrize("step", STEPS)
def test_an_error_says_which_step_said_no(step: int) -> None:
    verifier = RecordVerifier(link_of(), REGISTRY)
    bad: dict[int, Callable[[], Any]] = {
        1: lambda: verifier.step1_publisher(None, trusted=False),
        2: lambda: verifier.step2_block(1, BLOCK, VOUCHED),
        3: lambda: verifier.step3_account(bytes(32), proven=True),
        4: lambda: verifier.step4_record("1.2.0", head(), release(revocation=1), DIGEST),
        5: lambda: verifier.step5_rollback(RECORD, Mark(9, 0, 1), None),
    }
    through(verifier, step - 1)
    with pytest.raises(IntegrityError) as caught:
        bad[step]()
    assert caught.value.step == step
    passed = caught.value.passed
    assert passed is not None
    assert [one.number for one in passed] == list(range(1, step))
    assert Verdict(passed, caught.value).failed == step
    with pytest.raises(RuntimeError):
        STEPS[step](verifier)
