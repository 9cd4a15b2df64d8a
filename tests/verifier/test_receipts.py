"""Receipts: written in one form, and proving only what they prove."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from integrity.core.names import keccak256
from integrity.core.registry import endorsement_slot, head_slot, manifest_slot, release_slot
from integrity.core.request import decode as decode_request
from integrity.errors import (
    FormatError,
    IntegrityError,
    LimitExceeded,
    NonCanonical,
    NotEndorsed,
    ProofInvalid,
    RecordUnproven,
    RegistryMismatch,
    ReleaseNotFound,
    Revoked,
)
from integrity.trust.introduction import parse_introduction
from integrity.verifier.checks import Registry
from integrity.verifier.policy import Policy
from integrity.verifier.receipt import RECEIPT_LIMIT, Receipt, check, decode, encode
from integrity.verifier.record import Record, RecordVerifier
from integrity.verifier.state import CHECKPOINT, Vouched

from .test_proofs import FIELDS
from .tries import Trie, storage

PUBLISHER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
REGISTRY = Registry("0x20d198462caA1034C5265525cFB1aD9d8Bd5AaC2", keccak256(b"code"))
VOUCHED = Vouched(CHECKPOINT)
DIGEST = bytes(range(32))
NAMES = (PUBLISHER, "tool")
ENDORSER, IDLE = "0x" + "11" * 20, "0x" + "22" * 20
ENDORSED = (1_700_000_100 | 1 << 40).to_bytes(32, "big")
HEAD = (1 | 1 << 48 | 1_700_000_000 << 96).to_bytes(32, "big")


def word(sequence: int = 1, revocation: int = 0) -> bytes:
    by = int(PUBLISHER, 16)
    return (sequence | 1_690_000_000 << 48 | revocation << 88 | by << 96).to_bytes(32, "big")


def made(release: bytes, code_hash: bytes = REGISTRY.code_hash, endorsers: int = 0) -> Receipt:
    """The receipt of 1.0.0 in a state of one's own making."""
    slots = head_slot(*NAMES), release_slot(*NAMES, "1.0.0"), manifest_slot(*NAMES, 1)
    words = dict(zip(slots, (HEAD, release, DIGEST), strict=True))
    endorsed = {one: endorsement_slot(one, DIGEST) for one in (ENDORSER, IDLE)[:endorsers]}
    words |= {endorsed[ENDORSER]: ENDORSED} if endorsers else {}
    others = {bytes([n]) * 32: b"\1" * 32 for n in range(50)}
    contract = storage(words | others)
    address = bytes.fromhex(REGISTRY.address[2:])
    accounts = {bytes([n]) * 20: rlp.encode([n, n, bytes(32), bytes(32)]) for n in range(1, 30)}
    state = Trie(accounts | {address: rlp.encode([1, 0, contract.root, code_hash])})
    header = list(FIELDS)
    header[3] = state.root
    first, second, third = (tuple(contract.proof(slot)) for slot in slots)
    return Receipt(
        31337, REGISTRY.address, PUBLISHER, "tool", "1.0.0", rlp.encode(header),
        tuple(state.proof(address)), first, second, third,
        {one: tuple(contract.proof(slot)) for one, slot in endorsed.items()},
    )  # fmt: skip


GOOD = made(word())


def checked(receipt: Receipt, registry: Registry, policy: Policy = Policy()) -> Record:  # noqa: B008
    """What it proves to who believes its publisher and its block."""
    verifier = RecordVerifier(receipt.link, registry, policy)
    verifier.step1_publisher(receipt.publisher, False)
    return check(receipt, verifier, VOUCHED)


def test_it_proves_a_record_as_of_its_block() -> None:
    receipt = decode(encode(GOOD))
    assert receipt == GOOD
    record = checked(receipt, REGISTRY)
    assert (record.manifest, record.sequence, record.is_latest) == (DIGEST, 1, True)
    assert record.basis == "checkpoint, proven"
    assert record.block.hash == receipt.block_hash == keccak256(GOOD.header)


def test_what_was_revoked_or_never_recorded_has_none() -> None:
    with pytest.raises(Revoked):
        checked(made(word(revocation=2)), REGISTRY)
    with pytest.raises(ReleaseNotFound):
        checked(made(bytes(32)), REGISTRY)


def test_threat_10_another_contract_is_not_the_registry() -> None:
    with pytest.raises(RegistryMismatch):
        checked(made(word(), keccak256(b"other code")), REGISTRY)
    elsewhere = Registry("0x" + "11" * 20, REGISTRY.code_hash)
    with pytest.raises(ProofInvalid, match="of the contract"):
        checked(GOOD, elsewhere)


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.0.1"}, {"package": "tools"}, {"publisher": "0x" + "11" * 20},
        {"release": GOOD.head}, {"head": GOOD.release}, {"manifest": GOOD.head}, {"manifest": ()},
        {"account": ()}, {"head": ()}, {"release": GOOD.release[::-1]}, {"account": GOOD.account[:-1]},
        {"header": GOOD.header[:-1]}, {"header": b""},
        {"header": rlp.encode(FIELDS)},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_threats_1_3_a_claim_that_the_proofs_do_not_fit_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(ProofInvalid):
        checked(replace(GOOD, **change), REGISTRY)


@given(st.data())
def test_no_changed_byte_goes_unseen(data: st.DataObject) -> None:
    """Every part of a receipt is proven, and has one form."""
    good = encode(GOOD)
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + bytes((data.draw(st.integers(0, 255)),)) + good[at + 1 :]
    if bad == good:
        return
    try:
        record = checked(decode(bad), REGISTRY)
    except IntegrityError:
        return
    # Another field of the header: it is another block then, and nobody vouches for that one.
    assert record.block.hash != GOOD.block_hash


VALUE = json.loads(encode(GOOD))


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in VALUE.items() if name != key}


BROKEN: dict[str, tuple[bytes, type[IntegrityError]]] = {
    "nothing": (b"", FormatError),
    "no JSON": (b"{", FormatError),
    "a list": (b"[]\n", FormatError),
    "no UTF-8": (b"\xff\xfe", FormatError),
    "nested deep": (b"[" * 100_000, FormatError),
    "too large": (b" " * (RECEIPT_LIMIT + 1), LimitExceeded),
    "no line feed": (encode(GOOD)[:-1], NonCanonical),
    "spaces": (json.dumps(VALUE, sort_keys=True).encode() + b"\n", NonCanonical),
    "a key twice": (encode(GOOD).replace(b"{", b'{"account":[],', 1), NonCanonical),
    "capital hex": (encode(GOOD).replace(b'"header":"f', b'"header":"F'), FormatError),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_receipt_of_another_form_is_malformed(what: str) -> None:
    data, kind = BROKEN[what]
    with pytest.raises(kind):
        decode(data)


@pytest.mark.parametrize("key", sorted(VALUE))
@pytest.mark.parametrize("value", [None, 7, "x", ["x"], {}, [["00"]], "0", -1, 2**53, ["00"] * 66])
def test_a_key_of_another_type_is_malformed(key: str, value: object) -> None:
    data = json.dumps(VALUE | {key: value}, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    if (key, value) == ("chain", 7):
        # A header does not say of which chain it is: whoever vouches for its hash says that.
        assert checked(decode(data), REGISTRY).chain_id == 7
        return
    with pytest.raises(IntegrityError) as caught:
        checked(decode(data), REGISTRY)
    assert caught.value.exit_code in {2, 4}


@pytest.mark.parametrize("key", sorted(VALUE))
def test_a_key_that_is_missing_or_too_many_is_malformed(key: str) -> None:
    for value in (without(key), VALUE | {key + "x": 1}):
        data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        with pytest.raises(FormatError):
            decode(data)


@given(st.binary(max_size=400))
def test_any_bytes_are_no_receipt(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode(data)


@pytest.mark.parametrize("coding", ["utf-16-be", "utf-16-le", "utf-16", "utf-32"])
def test_threat_16_brackets_in_another_coding_are_not_read(coding: str) -> None:
    """In UTF-16 a letter may hold the byte of a quote, and hide the brackets after it."""
    deep = ('{"a\u2200":' + "[" * 100_000).encode(coding)
    with pytest.raises(FormatError):
        decode(deep)
    with pytest.raises(FormatError):
        parse_introduction(deep[: 60 << 10], "example.org")
    with pytest.raises(FormatError):
        decode_request(deep[:4000])


def test_everything_that_a_receipt_holds_is_in_the_file() -> None:
    whole = json.loads(encode(ENDORSED_RECEIPT))
    assert len(whole) == len(fields(Receipt)) + 1  # and the format


# --- endorsements --------------------------------------------------------------------------------

ENDORSED_RECEIPT = made(word(), endorsers=2)
ONE_OF_TWO = Policy(endorsements=1, endorsers=(ENDORSER, IDLE))


def test_it_carries_what_endorsers_say() -> None:
    receipt = decode(encode(ENDORSED_RECEIPT))
    assert receipt == ENDORSED_RECEIPT
    record = checked(receipt, REGISTRY, ONE_OF_TWO)
    assert record.endorsed_by == (ENDORSER,)


def test_an_endorsement_that_it_proves_to_be_absent_is_missing() -> None:
    both = replace(ONE_OF_TWO, endorsements=2)
    with pytest.raises(NotEndorsed) as caught:
        checked(ENDORSED_RECEIPT, REGISTRY, both)
    assert caught.value.evidence["missing"] == [IDLE]


def test_an_endorsement_that_it_does_not_speak_of_is_unknown() -> None:
    with pytest.raises(RecordUnproven):
        checked(GOOD, REGISTRY, ONE_OF_TWO)
    stranger = replace(
        ONE_OF_TWO, endorsements=2, endorsers=(ENDORSER, PUBLISHER, "0x" + "33" * 20)
    )
    with pytest.raises(RecordUnproven) as caught:
        checked(ENDORSED_RECEIPT, REGISTRY, stranger)
    assert caught.value.evidence["unknown"] == ["0x" + "33" * 20]


def test_an_endorsement_of_one_account_is_no_proof_for_another() -> None:
    nodes = ENDORSED_RECEIPT.endorsements[ENDORSER]
    forged = replace(GOOD, endorsements={IDLE: nodes})
    with pytest.raises(ProofInvalid):
        checked(forged, REGISTRY, ONE_OF_TWO)


@pytest.mark.parametrize(
    "value",
    [
        [],
        "",
        {"0x11": []},
        {ENDORSER: "ab"},
        {ENDORSER: [["ab"]]},
        {f"0x{n:040x}": [] for n in range(65)},
        {},
    ],
)
def test_endorsements_of_another_form_are_malformed(value: object) -> None:
    document = json.loads(encode(GOOD)) | {"endorsements": value}
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    with pytest.raises(FormatError):
        decode(data)
