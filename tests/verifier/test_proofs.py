"""State proofs: true ones of another library's making, and whatever is not one."""

from __future__ import annotations

import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.core.names import keccak256
from integrity.errors import ProofInvalid
from integrity.verifier.proofs import (
    ABSENT,
    EMPTY_ROOT,
    HEADER_LIMIT,
    Account,
    prove,
    prove_account,
    prove_word,
    read_header,
)

from .tries import Trie, storage

slots = st.binary(min_size=32, max_size=32)
words = st.integers(1, 2**256 - 1).map(lambda n: n.to_bytes(32, "big"))
storages = st.dictionaries(slots, words, max_size=40)


@given(storages, slots)
@settings(max_examples=100, deadline=None)
def test_every_word_is_proven_and_every_absence(entries: dict[bytes, bytes], other: bytes) -> None:
    trie = storage(entries)
    for slot in [*entries, other]:
        proof = trie.proof(slot) if entries else []
        assert prove_word(trie.root, slot, proof) == entries.get(slot, bytes(32))


@given(st.dictionaries(slots, words, min_size=1, max_size=40), slots, st.data())
@settings(max_examples=200, deadline=None)
def test_threats_1_2_a_proof_that_was_touched_proves_nothing(
    entries: dict[bytes, bytes], other: bytes, data: st.DataObject
) -> None:
    """Neither another value nor absence."""
    trie = storage(entries)
    slot = data.draw(st.sampled_from([*entries, other]))
    good = trie.proof(slot)
    bad = data.draw(st.sampled_from(["flip", "cut", "drop", "repeat", "add", "swap", "empty"]))
    proof = list(good)
    at = data.draw(st.integers(0, len(proof) - 1))
    if bad == "flip":
        node = bytearray(proof[at])
        node[data.draw(st.integers(0, len(node) - 1))] ^= data.draw(st.integers(1, 255))
        proof[at] = bytes(node)
    elif bad == "cut":
        proof[at] = proof[at][:-1]
    elif bad == "drop":
        del proof[at]
    elif bad == "repeat":
        proof.insert(at, proof[at])
    elif bad == "add":
        proof.append(data.draw(st.binary(max_size=64)))
    elif bad == "swap":
        proof.reverse()
    else:
        proof = []
    if proof == good:
        return
    with pytest.raises(ProofInvalid):
        prove_word(trie.root, slot, proof)


@given(st.dictionaries(slots, words, min_size=2, max_size=40), st.data())
@settings(max_examples=100, deadline=None)
def test_threat_1_another_slots_proof_never_gives_its_word(
    entries: dict[bytes, bytes], data: st.DataObject
) -> None:
    trie = storage(entries)
    one, other = data.draw(
        st.lists(st.sampled_from(list(entries)), min_size=2, max_size=2, unique=True)
    )
    if trie.proof(one) != trie.proof(other):  # else it is the root alone, with both in it
        with pytest.raises(ProofInvalid):
            prove_word(trie.root, one, trie.proof(other))


@given(st.lists(st.binary(max_size=600), max_size=6), slots)
def test_any_bytes_at_all_are_refused_in_words(proof: list[bytes], root: bytes) -> None:
    with pytest.raises(ProofInvalid):
        prove(root, bytes(32), proof)


def test_threat_2_an_empty_proof_is_good_under_the_empty_root_alone() -> None:
    assert prove(EMPTY_ROOT, bytes(32), []) is None
    assert prove(EMPTY_ROOT, bytes(32), [b"\x80"]) is None
    for more in ([b"\x80", b"\x80"], [b"\xc0"], [b""]):
        with pytest.raises(ProofInvalid):
            prove(EMPTY_ROOT, bytes(32), more)
    assert prove_account(EMPTY_ROOT, "0x" + "11" * 20, []) == ABSENT
    for root in (bytes(32), keccak256(b"")):
        with pytest.raises(ProofInvalid, match="empty proof"):
            prove(root, bytes(32), [])


ADDRESS = "0x" + "ab" * 20


def state(account: list[object]) -> Trie:
    others = {bytes([n]) * 20: rlp.encode([n, n, EMPTY_ROOT, bytes(32)]) for n in range(1, 40)}
    return Trie({**others, bytes.fromhex(ADDRESS[2:]): rlp.encode(account)})


def test_an_account_is_proven_and_its_absence() -> None:
    account = Account(1, 10**18, keccak256(b"storage"), keccak256(b"code"))
    trie = state([1, 10**18, account.storage_root, account.code_hash])
    proof = trie.proof(bytes.fromhex(ADDRESS[2:]))
    assert prove_account(trie.root, ADDRESS, proof) == account
    nobody = "0x" + "cd" * 20
    assert prove_account(trie.root, nobody, trie.proof(bytes.fromhex(nobody[2:]))) == ABSENT


@pytest.mark.parametrize(
    "account",
    [
        [], [1, 1, bytes(32)], [1, 1, bytes(32), bytes(32), 1], [1, 1, bytes(31), bytes(32)],
        [1, 1, bytes(32), []], [b"\0", 1, bytes(32), bytes(32)], [2**64, 1, bytes(32), bytes(32)],
        [1, [], bytes(32), bytes(32)], [1, b"\1" + bytes(32), bytes(32), bytes(32)],
    ],
)  # fmt: skip
def test_an_account_of_another_shape_is_none(account: list[object]) -> None:
    trie = state(account)
    with pytest.raises(ProofInvalid, match="no account"):
        prove_account(trie.root, ADDRESS, trie.proof(bytes.fromhex(ADDRESS[2:])))


@pytest.mark.parametrize("value", ["00", "820001", "a1" + "11" * 33, "c0", "c101", "8101"])
def test_a_word_of_another_shape_is_none(value: str) -> None:
    slot = bytes(32)
    trie = Trie({slot: bytes.fromhex(value), b"\1" * 32: b"\1"})
    with pytest.raises(ProofInvalid):
        prove_word(trie.root, slot, trie.proof(slot))


def test_a_zero_that_is_stored_is_a_zero() -> None:
    trie = Trie({bytes(32): b"\x80", b"\1" * 32: b"\1"})
    assert prove_word(trie.root, bytes(32), trie.proof(bytes(32))) == bytes(32)


# --- headers -----------------------------------------------------------------------------------

FIELDS: list[object] = [
    b"\1" * 32, bytes(32), bytes(20), b"\3" * 32, bytes(32), bytes(32), bytes(256), 0, 1234, 30_000_000,
    21_000, 1_700_000_000, b"extra", bytes(32), bytes(8),
]  # fmt: skip
LATER: list[object] = [7, bytes(32), 0, 0, bytes(32), bytes(32)]


@pytest.mark.parametrize("count", range(len(LATER) + 1))
def test_headers_of_every_fork_are_read(count: int) -> None:
    raw = rlp.encode(FIELDS + LATER[:count] + [b"of a fork to come"])
    header = read_header(raw)
    assert header.block.hash == keccak256(raw)
    assert (header.block.number, header.block.timestamp) == (1234, 1_700_000_000)
    assert (header.parent, header.state_root) == (b"\1" * 32, b"\3" * 32)


@pytest.mark.parametrize(
    ("field", "value"),
    [(3, bytes(31)), (3, []), (8, b"\0\1"), (8, []), (8, 2**64), (11, b"\0"), (0, b"")],
)
def test_a_header_of_another_shape_is_none(field: int, value: object) -> None:
    fields = list(FIELDS)
    fields[field] = value
    with pytest.raises(ProofInvalid):
        read_header(rlp.encode(fields))


@given(st.binary(max_size=700))
def test_any_bytes_are_no_header(raw: bytes) -> None:
    with pytest.raises(ProofInvalid):
        read_header(raw)


def test_a_header_is_cut_or_too_long() -> None:
    raw = rlp.encode(FIELDS)
    for bad in (
        raw[:-1],
        raw + b"\0",
        rlp.encode(FIELDS[:11]),
        b"",
        rlp.encode([*FIELDS, bytes(HEADER_LIMIT)]),
    ):
        with pytest.raises(ProofInvalid):
            read_header(bad)
