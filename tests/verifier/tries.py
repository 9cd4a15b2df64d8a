"""Tries that another library builds, whose proofs the verifier is given."""

from __future__ import annotations

from collections.abc import Mapping

import rlp
from trie.hexary import HexaryTrie

from integrity.core.names import keccak256


class Trie:
    """A trie of hashed keys, as those of the state and of a contract's storage."""

    def __init__(self, entries: Mapping[bytes, bytes]) -> None:
        self._trie = HexaryTrie({})
        for key, value in entries.items():
            self._trie[keccak256(key)] = value

    @property
    def root(self) -> bytes:
        return bytes(self._trie.root_hash)

    def proof(self, key: bytes) -> list[bytes]:
        """The nodes on the way to a key, as eth_getProof gives them: those within others are no nodes
        of their own.
        """
        nodes = [rlp.encode(node) for node in self._trie.get_proof(keccak256(key))]  # type: ignore[no-untyped-call]
        return [node for at, node in enumerate(nodes) if at == 0 or len(node) >= 32]


def storage(words: Mapping[bytes, bytes]) -> Trie:
    """A contract's storage."""
    return Trie({slot: rlp.encode(word.lstrip(b"\0")) for slot, word in words.items() if any(word)})
