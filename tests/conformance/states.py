"""States of a chain that have a receipt, by py-trie and pyrlp: none of integrity's own code takes part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rlp
from eth_utils.crypto import keccak
from trie.hexary import HexaryTrie

_EMPTY_ROOT = keccak(rlp.encode(b""))
_NO_CODE = keccak(b"")

# Counted from 0: state root, number, time, and how many fields each fork's header has.
_STATE_ROOT, _NUMBER, _TIME = 3, 8, 11
_FIELDS = {"Paris": 16, "Shanghai": 17, "Cancun": 20, "Prague": 21}


class Trie:
    """A trie of hashed keys."""

    def __init__(self, entries: Mapping[bytes, bytes]) -> None:
        self._trie = HexaryTrie({})
        for key, value in entries.items():
            self._trie[keccak(key)] = value

    @property
    def root(self) -> bytes:
        return bytes(self._trie.root_hash)

    def proof(self, key: bytes) -> list[str]:
        """The nodes on the way to a key, in hex; one that is within another is none of its own."""
        nodes = [rlp.encode(node) for node in self._trie.get_proof(keccak(key))]  # type: ignore[no-untyped-call]
        return [node.hex() for at, node in enumerate(nodes) if at == 0 or len(node) >= 32]


def proofs(
    registry: str,
    code_hash: bytes,
    words: Mapping[str, tuple[bytes, bytes]],
    state: Mapping[str, Any],
) -> dict[str, Any]:
    """A receipt's ``header`` and its proofs by their names. ``words`` are slot and word of each name but
    ``account``; ``state`` says what else there is: so many ``slots`` and ``accounts``, the ``header``. Of
    a contract that is ``absent`` there is nothing.
    """
    there = not state.get("absent")
    storage = {slot: word for slot, word in words.values() if any(word) and there}
    for number in range(state["slots"] if there else 0):
        storage[keccak(b"slot %d" % number)] = (number + 1).to_bytes(32, "big")
    contract = Trie({slot: rlp.encode(word.lstrip(b"\0")) for slot, word in storage.items()})
    accounts = {
        keccak(b"account %d" % number)[12:]: rlp.encode([number, number, _EMPTY_ROOT, _NO_CODE])
        for number in range(state["accounts"])
    }
    address = bytes.fromhex(registry[2:])
    if there:
        accounts[address] = rlp.encode([1, 0, contract.root if storage else _EMPTY_ROOT, code_hash])
    chain = Trie(accounts)
    given: dict[str, Any] = {name: contract.proof(slot) for name, (slot, _) in words.items()}
    whole = header(state["header"], chain.root)
    return given | {"account": chain.proof(address), "header": whole.hex()}


def header(told: Mapping[str, Any], state_root: bytes) -> bytes:
    """A block's header of this ``number``, ``time`` and ``fork``."""
    fields: list[Any] = [
        keccak(b"parent"), keccak(rlp.encode([])), bytes(20), state_root, _EMPTY_ROOT, _EMPTY_ROOT,
        bytes(256), 0, told["number"], 30_000_000, 21_000, told["time"], b"vector", keccak(b"random"),
        bytes(8), 7, _EMPTY_ROOT, 0, 131_072, keccak(b"beacon"), keccak(b"requests"),
    ]  # fmt: skip
    assert fields[_STATE_ROOT] == state_root
    assert (fields[_NUMBER], fields[_TIME]) == (told["number"], told["time"])
    encoded: bytes = rlp.encode(fields[: _FIELDS[told["fork"]]])
    return encoded
