"""Proofs of a chain's state (spec v1, section 6.5): block header, account, storage.

A node proves what it says with the nodes of a Merkle-Patricia trie, from the root down (EIP-1186; the
trie is the Yellow Paper's, appendix D). Nothing else of its answer is used. Every function raises
ProofInvalid for whatever is not such a proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from integrity.core import rlp
from integrity.core.names import keccak256
from integrity.core.registry import Block
from integrity.errors import FormatError, ProofInvalid

_EMPTY_NODE = rlp.encode(b"")
EMPTY_ROOT = keccak256(_EMPTY_NODE)
"""Root of a trie without entries."""

EMPTY_CODE = keccak256(b"")
"""Code hash of an account that is no contract."""

HEADER_LIMIT = 16 << 10
"""Bytes of a header: 21 fields have under a thousand."""

_PARENT, _STATE_ROOT, _NUMBER, _TIME = 0, 3, 8, 11
_NODE_LIMIT = 17 * 33 + 3 + 256
"""Bytes of a trie node: a branch of 16 hashes, and room for a value where none should be."""

_BRANCH, _LEAF_OR_EXTENSION = 17, 2
_HASHED = 32
"""Bytes from which on a node is named by its hash; a smaller one stands in its parent, if it has one."""


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """What a header commits to, as far as it is needed here."""

    block: Block
    parent: bytes
    state_root: bytes


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the state; ``storage_root`` and ``code_hash`` are 32 bytes."""

    nonce: int
    balance: int
    storage_root: bytes
    code_hash: bytes


ABSENT = Account(0, 0, EMPTY_ROOT, EMPTY_CODE)
"""An account that nothing is known of: it is no contract, and its storage is zero."""


def read_header(header: bytes) -> BlockHeader:
    """Read a header's RLP. Its hash is computed, never taken from anybody. Fields that later forks
    added are tolerated.
    """
    if len(header) > HEADER_LIMIT:
        raise ProofInvalid(f"a block header of {len(header)} bytes; the limit is {HEADER_LIMIT}")
    try:
        fields = rlp.decode_list(header)
        if len(fields) <= _TIME:
            raise ProofInvalid(f"a block header of {len(fields)} fields")
        number, time = rlp.as_integer(fields[_NUMBER], 8), rlp.as_integer(fields[_TIME], 8)
        parent, state_root = _hash(fields[_PARENT]), _hash(fields[_STATE_ROOT])
    except FormatError as error:
        raise ProofInvalid(f"a block header that is none: {error.message}") from error
    return BlockHeader(Block(number, keccak256(header), time), parent, state_root)


def prove_account(state_root: bytes, address: str, proof: Sequence[bytes]) -> Account:
    """The account at an address, or ABSENT if the proof shows that there is none."""
    value = prove(state_root, keccak256(bytes.fromhex(address[2:])), proof)
    if value is None:
        return ABSENT
    try:
        nonce, balance, storage_root, code_hash = rlp.decode_list(value)
        return Account(
            rlp.as_integer(nonce, 8), rlp.as_integer(balance), _hash(storage_root), _hash(code_hash)
        )
    except (FormatError, ValueError) as error:
        raise ProofInvalid(f"the proof of {address} ends in no account") from error


def prove_word(storage_root: bytes, slot: bytes, proof: Sequence[bytes]) -> bytes:
    """The 32-byte word of a storage slot; one that is absent is zero. A zero that is there (anvil leaves
    such where something was deleted) is no more than that.
    """
    value = prove(storage_root, keccak256(slot), proof)
    if value is None:
        return bytes(32)
    try:
        number = rlp.as_integer(rlp.decode(value))
    except FormatError as error:
        raise ProofInvalid(f"the proof of a slot ends in no word: {error.message}") from error
    return number.to_bytes(32, "big")


def prove(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The value under a key of 32 bytes in the trie of this root; None when the proof shows that there
    is none. The proof is the nodes on the way, in their order, and nothing more.
    """
    if root == EMPTY_ROOT and list(proof) in ([], [_EMPTY_NODE]):  # some nodes give its one node
        return None
    if not proof:
        raise ProofInvalid("an empty proof, under a root that is not empty")
    path = key.hex()
    left = iter(proof)
    node = _named(root, left, smallest=0)
    while True:
        child: rlp.Item
        if len(node) == _BRANCH:
            if not path:
                raise ProofInvalid("a proof that branches beyond its key")
            child, path = node[int(path[0], 16)], path[1:]
        else:
            step, is_leaf = _step(node, len(path))
            if is_leaf:
                return _ended(left, _value(node[1]) if step == path else None)
            child = node[1] if path.startswith(step) else b""
            path = path[len(step) :]
        if child == b"":
            return _ended(left, None)
        node = _child(child, left)


def _child(wanted: rlp.Item, left: Iterator[bytes]) -> list[rlp.Item]:
    """The node that is meant: one in its parent, or the next of the proof."""
    if isinstance(wanted, list):
        if len(rlp.encode(wanted)) >= _HASHED:
            raise ProofInvalid("a trie node within another that is too large for that")
        return wanted
    return _named(wanted, left, smallest=_HASHED)


def _named(wanted: bytes, left: Iterator[bytes], smallest: int) -> list[rlp.Item]:
    """The next node of the proof, which must have this hash, and no less than so many bytes."""
    node = next(left, None)
    if node is None:
        raise ProofInvalid("a proof that ends on the way")
    if len(node) < smallest:
        raise ProofInvalid("a trie node that belongs into its parent")
    if len(wanted) != 32 or len(node) > _NODE_LIMIT or keccak256(node) != wanted:
        raise ProofInvalid("a trie node that is not the one its parent names")
    try:
        return rlp.decode_list(node)
    except FormatError as error:
        raise ProofInvalid(f"a trie node that is none: {error.message}") from error


def _step(node: list[rlp.Item], left: int) -> tuple[str, bool]:
    """The nibbles of a leaf or an extension as hex digits, and whether it is a leaf (hex-prefix
    encoding, Yellow Paper, appendix C). So many are ``left`` of a key.
    """
    if len(node) != _LEAF_OR_EXTENSION:
        raise ProofInvalid(f"a trie node of {len(node)} items")
    item = node[0]
    if not isinstance(item, bytes) or not item:
        raise ProofInvalid("a trie node without a path")
    kind, odd = item[0] >> 5, bool(item[0] & 0x10)
    if kind > 1 or (not odd and item[0] & 0x0F):
        raise ProofInvalid("a trie node whose path has no such form")
    nibbles, is_leaf = item.hex()[1 if odd else 2 :], kind == 1
    if len(nibbles) != left if is_leaf else not 0 < len(nibbles) < left:
        raise ProofInvalid("a trie node whose path has no such length")
    if node[1] == b"":
        raise ProofInvalid("a leaf without a value, or an extension that leads nowhere")
    return nibbles, is_leaf


def _value(item: rlp.Item) -> bytes:
    if not isinstance(item, bytes):
        raise ProofInvalid("a leaf with a list for its value")
    return item


def _ended(left: Iterator[bytes], found: bytes | None) -> bytes | None:
    if next(left, None) is not None:
        raise ProofInvalid("a proof with nodes that are not on its way")
    return found


def _hash(item: rlp.Item) -> bytes:
    data = rlp.as_bytes(item)
    if len(data) != 32:
        raise FormatError(f"a hash of {len(data)} bytes")
    return data
