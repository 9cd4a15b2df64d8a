"""spec/vectors/proofs.json: headers, tries and accounts (spec v1, section 6.5).

The vectors are made with py-trie and pyrlp, which share no code with the verifier.
"""

from __future__ import annotations

import pytest

from integrity.core.names import keccak256
from integrity.errors import VerificationError
from integrity.verifier.proofs import ABSENT, Account, prove, prove_account, prove_word, read_header

from . import recipes
from .recipes import Case


def nodes(case: Case) -> list[bytes]:
    return [bytes.fromhex(node) for node in case["nodes"]]


@pytest.mark.parametrize("case", recipes.parameters("proofs", "headers_good"))
def test_a_header_says_what_it_commits_to(case: Case) -> None:
    header = read_header(recipes.binary(case["header"]))
    block = header.block
    assert (block.number, block.hash.hex(), block.timestamp) == (
        case["number"],
        case["hash"],
        case["time"],
    )
    assert header.state_root.hex() == case["state_root"]


@pytest.mark.parametrize("case", recipes.parameters("proofs", "headers_bad"))
def test_what_is_no_header_proves_nothing(case: Case) -> None:
    with pytest.raises(VerificationError) as caught:
        read_header(recipes.binary(case["header"]))
    assert caught.value.name == case["reason"]


@pytest.mark.parametrize("case", recipes.parameters("proofs", "tries_good"))
def test_a_trie_proves_a_value_or_its_absence(case: Case) -> None:
    root, key = bytes.fromhex(case["root"]), bytes.fromhex(case["key"])
    value = prove(root, keccak256(key), nodes(case))
    assert (None if value is None else value.hex()) == case["value"]
    assert prove_word(root, key, nodes(case)).hex() == case["word"]


@pytest.mark.parametrize("case", recipes.parameters("proofs", "tries_bad"))
def test_what_is_no_proof_of_a_word_is_neither_a_word_nor_its_absence(case: Case) -> None:
    with pytest.raises(VerificationError) as caught:
        prove_word(bytes.fromhex(case["root"]), bytes.fromhex(case["key"]), nodes(case))
    assert caught.value.name == case["reason"]


@pytest.mark.parametrize("case", recipes.parameters("proofs", "accounts_good"))
def test_a_state_proves_an_account_or_its_absence(case: Case) -> None:
    account = prove_account(bytes.fromhex(case["root"]), case["address"], nodes(case))
    told = case["account"]
    if told is None:
        assert account == ABSENT
        return
    assert account == Account(
        told["nonce"],
        int(told["balance"]),
        bytes.fromhex(told["storage_root"]),
        bytes.fromhex(told["code_hash"]),
    )


@pytest.mark.parametrize("case", recipes.parameters("proofs", "accounts_bad"))
def test_what_is_no_account_is_neither_one_nor_its_absence(case: Case) -> None:
    with pytest.raises(VerificationError) as caught:
        prove_account(bytes.fromhex(case["root"]), case["address"], nodes(case))
    assert caught.value.name == case["reason"]
