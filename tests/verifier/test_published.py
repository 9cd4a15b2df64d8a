"""What others publish: real headers, real proofs, and the tries that every client is tested with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rlp

from integrity.chain.headers import header_rlp
from integrity.core.names import keccak256
from integrity.errors import ProofInvalid
from integrity.verifier.proofs import Account, prove, prove_account, prove_word, read_header

from .tries import Trie

PUBLISHED = Path(__file__).with_name("published")

Case = dict[str, Any]
Look = Callable[[list[bytes]], object]


def cases(topic: str) -> list[Any]:
    """The cases of one file, each under its own name."""
    value = json.loads((PUBLISHED / f"{topic}.json").read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["name"]) for case in value["cases"]]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def flips(data: bytes) -> Iterator[bytes]:
    """The same with one byte changed, for every byte of it."""
    for at, byte in enumerate(data):
        yield data[:at] + bytes((byte ^ 1 << at % 8,)) + data[at + 1 :]


# --- headers -------------------------------------------------------------------------------------


def raw_header(block: Case) -> bytes:
    raw = header_rlp(block, lambda value: int(str(value), 16), lambda value: unhex(str(value)))
    assert raw is not None, "the fields have another hash"
    return raw


@pytest.mark.parametrize("case", cases("headers"))
def test_a_published_header_has_its_published_hash(case: Case) -> None:
    block = case["block"]
    header = read_header(raw_header(block))
    assert "0x" + header.block.hash.hex() == block["hash"]
    assert (header.block.number, header.block.timestamp) == (
        int(block["number"], 16),
        int(block["timestamp"], 16),
    )
    assert (header.parent, header.state_root) == (
        unhex(block["parentHash"]),
        unhex(block["stateRoot"]),
    )


@pytest.mark.parametrize("case", cases("headers"))
def test_threat_3_a_published_header_with_any_byte_changed_is_another_block_or_none(
    case: Case,
) -> None:
    raw = raw_header(case["block"])
    hashes = set()
    for changed in flips(raw):
        try:
            hashes.add(read_header(changed).block.hash)
        except ProofInvalid:
            continue
    assert hashes
    assert unhex(case["block"]["hash"]) not in hashes


@pytest.mark.parametrize("case", cases("headers"))
def test_threat_3_a_published_header_with_any_field_changed_is_not_put_together(case: Case) -> None:
    for field, value in case["block"].items():
        digits = value.removeprefix("0x")
        other = f"{int(digits, 16) ^ 1:0{len(digits)}x}" if digits else "00"
        changed = case["block"] | {field: "0x" + other}
        assert header_rlp(changed, lambda v: int(str(v), 16), lambda v: unhex(str(v))) is None


def test_the_published_headers_are_of_every_fork_that_added_a_field() -> None:
    counts = {len(rlp.decode(raw_header(case.values[0]["block"]))) for case in cases("headers")}
    assert counts == {15, 16, 17, 20, 21}


# --- proofs --------------------------------------------------------------------------------------


def look_up(case: Case) -> tuple[Look, object]:
    """What the case looks up in a proof, and what it is to find."""
    root = unhex(case["root"])
    if "address" in case:
        stated = case["account"]
        account = Account(
            stated["nonce"], stated["balance"], unhex(stated["storage_root"]),
            unhex(stated["code_hash"]),
        )  # fmt: skip
        return lambda nodes: prove_account(root, case["address"], nodes), account
    if "slot" in case:
        return lambda nodes: prove_word(root, unhex(case["slot"]), nodes), unhex(case["word"])
    # Only whether there is something is published.
    return lambda nodes: prove(root, unhex(case["key"]), nodes) is not None, case["exists"]


@pytest.mark.parametrize("case", cases("proofs"))
def test_a_published_proof_proves_what_it_was_published_for(case: Case) -> None:
    look, expected = look_up(case)
    assert look([unhex(node) for node in case["nodes"]]) == expected


@pytest.mark.parametrize("case", cases("proofs"))
def test_threats_1_2_a_published_proof_with_any_byte_changed_proves_nothing(case: Case) -> None:
    look, _ = look_up(case)
    nodes = [unhex(node) for node in case["nodes"]]
    for at, node in enumerate(nodes):
        for changed in flips(node):
            with pytest.raises(ProofInvalid):
                look([*nodes[:at], changed, *nodes[at + 1 :]])
    for wrong in (nodes[:-1], nodes[1:], nodes[::-1], [*nodes, nodes[-1]], []):
        with pytest.raises(ProofInvalid):
            look(wrong)


# --- tries ---------------------------------------------------------------------------------------


def spelt(text: str) -> bytes:
    """A key or a value of the common tests."""
    return unhex(text) if text.startswith("0x") else text.encode()


@pytest.mark.parametrize("case", cases("tries"))
def test_every_key_of_the_common_tries_is_proven_and_every_absence(case: Case) -> None:
    entries: dict[bytes, bytes] = {}
    for key, value in case["in"]:
        entries.pop(spelt(key), None)
        if value is not None:
            entries[spelt(key)] = spelt(value)
    trie = Trie(entries)
    assert trie.root == unhex(case["root"]), "the other library agrees with what is published"
    gone = {spelt(key) for key, _ in case["in"]} - set(entries)
    for key in (*entries, *gone, b"nobody", b""):
        proof = trie.proof(key) if entries else []
        assert prove(trie.root, keccak256(key), proof) == entries.get(key)
        for at, node in enumerate(proof):
            for changed in flips(node):
                with pytest.raises(ProofInvalid):
                    prove(trie.root, keccak256(key), [*proof[:at], changed, *proof[at + 1 :]])
