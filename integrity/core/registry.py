"""Where the registry contract keeps what: storage slots and the meaning of their words.

The layout is fixed in contracts/ContentRegistry.sol and in spec v1, section 4. A mapping's entry
stands at ``keccak256(pad32(key) || pad32(slot))``; a struct of one word has its first field in the
lowest bits (Solidity documentation, "Layout of State Variables in Storage").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from integrity.core.names import checksum_address, keccak256
from integrity.errors import UsageError

CREATE2_PROXY = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
"""The deterministic deployment proxy, at the same address on every chain that has it."""

_PUBLISHERS_SLOT = 0
_PENDING_SLOT = 1
_HEADS_SLOT = 2
_MANIFESTS_SLOT = 3
_RELEASES_SLOT = 4
_ENDORSEMENTS_SLOT = 5
_DELEGATES_SLOT = 6

ALL_PACKAGES = ""
"""As a delegate's package: the right to publish any of them."""

ENDORSEMENT_KINDS = {1: "rebuilt", 2: "audited", 3: "scanned"}

REVOCATION_REASONS = {
    1: "unspecified",
    2: "compromised",
    3: "defective",
    4: "superseded",
    5: "withdrawn",
}

REVOCATION_TEXT_LIMIT = 1024
"""Bytes of UTF-8: each of them costs gas, and nobody reads a longer one."""


def check_revocation_text(text: str) -> str:
    """The text. Raises UsageError when it is longer than that, or no text."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UsageError("the text of a revocation is not Unicode") from None
    if size > REVOCATION_TEXT_LIMIT:
        raise UsageError(
            f"the text of a revocation has at most {REVOCATION_TEXT_LIMIT:,} bytes, and this one {size:,}",
            next="Say in it where there is more to read; every byte is paid for.",
        )
    return text


@dataclass(frozen=True, slots=True)
class Block:
    """A block as a node describes it: ``hash`` is 32 bytes, ``timestamp`` Unix seconds."""

    number: int
    hash: bytes
    timestamp: int


@dataclass(frozen=True, slots=True)
class StateProof:
    """What a node proves its state with: trie nodes from the root down, of an account and of each slot
    of it (EIP-1186). Nothing says that they prove anything.
    """

    account: tuple[bytes, ...]
    slots: Mapping[bytes, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class Head:
    """A package's newest state. ``latest`` 0 means none; ``updated_at`` is a block's Unix time."""

    count: int
    latest: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class ReleaseSlot:
    """A release's word: ``sequence`` 0 means that no such version is recorded."""

    sequence: int
    published_at: int
    revocation: int
    by: str


@dataclass(frozen=True, slots=True)
class Controller:
    """Who acts for a publisher, and the number of times that this changed, which ends all delegates."""

    address: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Endorsement:
    """What somebody says of a manifest; ``endorsed_at`` is Unix seconds, ``kind`` 0 means nothing."""

    endorsed_at: int
    kind: int


def create2_address(salt: bytes, init_code_hash: bytes) -> str:
    """The address of a contract deployed through the proxy (EIP-1014)."""
    proxy = bytes.fromhex(CREATE2_PROXY[2:])
    return checksum_address(keccak256(b"\xff" + proxy + salt + init_code_hash)[12:])


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _abi_string(head: bytes, text: str) -> bytes:
    """``abi.encode(word, string)``: the word, an offset, a length, and the text padded to words."""
    raw = text.encode()
    return head + _word(64) + _word(len(raw)) + raw + bytes(-len(raw) % 32)


def package_key(publisher: str, package: str) -> bytes:
    """``keccak256(abi.encode(publisher, package))``, 32 bytes."""
    return keccak256(_abi_string(bytes(12) + bytes.fromhex(publisher[2:]), package))


def release_key(publisher: str, package: str, version: str) -> bytes:
    """``keccak256(abi.encode(packageKey, version))``, 32 bytes."""
    return keccak256(_abi_string(package_key(publisher, package), version))


def head_slot(publisher: str, package: str) -> bytes:
    """The slot of the package's head, 32 bytes."""
    return keccak256(package_key(publisher, package) + _word(_HEADS_SLOT))


def manifest_slot(publisher: str, package: str, sequence: int) -> bytes:
    """The slot of the manifest digest of the package's release number ``sequence`` (from 1)."""
    outer = keccak256(package_key(publisher, package) + _word(_MANIFESTS_SLOT))
    return keccak256(_word(sequence) + outer)


def release_slot(publisher: str, package: str, version: str) -> bytes:
    """The slot of the release's word, 32 bytes."""
    return keccak256(release_key(publisher, package, version) + _word(_RELEASES_SLOT))


def _address_word(address: str) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])


def publisher_slot(publisher: str) -> bytes:
    """The slot of a publisher's controller and epoch."""
    return keccak256(_address_word(publisher) + _word(_PUBLISHERS_SLOT))


def pending_slot(publisher: str) -> bytes:
    """The slot of the account that a publisher was offered to."""
    return keccak256(_address_word(publisher) + _word(_PENDING_SLOT))


def endorsement_slot(endorser: str, manifest: bytes) -> bytes:
    """The slot of what an endorser says of a manifest."""
    outer = keccak256(_address_word(endorser) + _word(_ENDORSEMENTS_SLOT))
    return keccak256(manifest + outer)


def delegate_slot(publisher: str, epoch: int, package: str, delegate: str) -> bytes:
    """The slot of a delegate's expiry; see :data:`ALL_PACKAGES`."""
    scope = package_key(publisher, package) if package else bytes(32)
    parts = (_address_word(publisher), _word(epoch), scope, _address_word(delegate))
    return keccak256(keccak256(b"".join(parts)) + _word(_DELEGATES_SLOT))


def decode_controller(word: bytes, publisher: str) -> Controller:
    """Publisher{address controller; uint48 epoch}; a controller of zero is the publisher itself."""
    value = int.from_bytes(word, "big")
    address = _bits(value, 0, 160)
    controller = checksum_address(address.to_bytes(20, "big")) if address else publisher
    return Controller(controller, _bits(value, 160, 48))


def decode_endorsement(word: bytes) -> Endorsement:
    """Endorsement{uint40 endorsedAt; uint8 kind}."""
    value = int.from_bytes(word, "big")
    return Endorsement(_bits(value, 0, 40), _bits(value, 40, 8))


def decode_expiry(word: bytes) -> int:
    """A delegate's expiry, in Unix seconds: the first in which the right is gone; 0 for none."""
    return _bits(int.from_bytes(word, "big"), 0, 40)


def decode_head(word: bytes) -> Head:
    """Head{uint48 count; uint48 latest; uint40 updatedAt} out of its 32-byte word."""
    value = int.from_bytes(word, "big")
    return Head(_bits(value, 0, 48), _bits(value, 48, 48), _bits(value, 96, 40))


def decode_release(word: bytes) -> ReleaseSlot:
    """Release{uint48 sequence; uint40 publishedAt; uint8 revocation; address by}."""
    value = int.from_bytes(word, "big")
    by = checksum_address(_bits(value, 96, 160).to_bytes(20, "big"))
    return ReleaseSlot(_bits(value, 0, 48), _bits(value, 48, 40), _bits(value, 88, 8), by)


def _bits(value: int, offset: int, width: int) -> int:
    return value >> offset & (1 << width) - 1
