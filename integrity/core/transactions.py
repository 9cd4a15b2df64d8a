"""Signed transactions as bytes, read strictly: what they do, what they bid, and who signed them.

The two kinds that this program sends: type 2 (EIP-1559), and those before types (EIP-155).
"""

from __future__ import annotations

from dataclasses import dataclass

from integrity.core.names import checksum_address, keccak256
from integrity.core.rlp import Item, as_bytes, as_integer, decode_list, encode, encode_integer
from integrity.core.signatures import signer_of
from integrity.errors import FormatError

_TYPE_2 = 2


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """``cap`` and ``tip`` are wei for each unit of gas; without a ``tip`` the cap is a gas price."""

    chain_id: int
    nonce: int
    to: str | None
    value: int
    data: bytes
    gas: int
    cap: int
    tip: int | None
    sender: str
    hash: bytes

    @property
    def call(self) -> dict[str, object]:
        """All of it but its fees and its signature, as libraries take it."""
        return {
            "chainId": self.chain_id, "nonce": self.nonce, "to": self.to, "value": self.value,
            "data": "0x" + self.data.hex(), "gas": self.gas,
        }  # fmt: skip


def read_signed(raw: bytes) -> SignedTransaction:
    """Raises FormatError, NonCanonical or LimitExceeded; also for a signature that is nobody's."""
    return _type_2(raw) if raw[:1] == bytes((_TYPE_2,)) else _legacy(raw)


def _type_2(raw: bytes) -> SignedTransaction:
    fields = decode_list(raw[1:])
    if len(fields) != 12:
        raise FormatError(f"a transaction of type 2 with {len(fields)} fields")
    chain, nonce, tip, cap, gas = (as_integer(field) for field in fields[:5])
    if fields[8] != []:
        raise FormatError("a transaction with an access list, which this program never asks for")
    parity, r, s = (as_integer(field) for field in fields[9:])
    digest = keccak256(raw[:1] + encode(fields[:9]))
    return SignedTransaction(
        chain, nonce, _to(fields[5]), as_integer(fields[6]), as_bytes(fields[7]), gas, cap, tip,
        _sender(digest, r, s, parity), keccak256(raw),
    )  # fmt: skip


def _legacy(raw: bytes) -> SignedTransaction:
    fields = decode_list(raw)
    if len(fields) != 9:
        raise FormatError(f"a transaction with {len(fields)} fields")
    nonce, price, gas = (as_integer(field) for field in fields[:3])
    v, r, s = (as_integer(field) for field in fields[6:])
    if v < 35:
        raise FormatError("a transaction that is signed for every chain (no EIP-155)")
    chain = (v - 35) // 2
    unsigned: list[Item] = [*fields[:6], encode_integer(chain), b"", b""]
    digest = keccak256(encode(unsigned))
    return SignedTransaction(
        chain, nonce, _to(fields[3]), as_integer(fields[4]), as_bytes(fields[5]), gas, price, None,
        _sender(digest, r, s, (v - 35) % 2), keccak256(raw),
    )  # fmt: skip


def _to(field: Item) -> str | None:
    data = as_bytes(field)
    if len(data) not in {0, 20}:
        raise FormatError(f"a transaction to {len(data)} bytes")
    return checksum_address(data) if data else None


def _sender(digest: bytes, r: int, s: int, parity: int) -> str:
    sender = signer_of(digest, r, s, parity)
    if sender is None:
        raise FormatError("a transaction with a signature that is nobody's")
    return sender
