"""Whose signature over a digest it is (secp256k1, as Ethereum uses it)."""

from __future__ import annotations

from integrity.core.names import checksum_address, keccak256

_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def signer_of(digest: bytes, r: int, s: int, parity: int) -> str | None:
    """The address whose key signed a digest of 32 bytes, None when it is nobody's signature. An ``s`` in
    the upper half is none (EIP-2): every signature would have a second spelling.
    """
    from coincurve import PublicKey  # a library in C, and only signatures need it

    if not 0 < s <= _HALF_ORDER or not 0 < r < 1 << 256 or parity not in {0, 1}:
        return None
    compact = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,))
    try:
        public = PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except ValueError:
        return None
    return checksum_address(keccak256(public.format(compressed=False)[1:])[12:])


def signer_of_65(digest: bytes, signature: bytes) -> str | None:
    """The same of the 65 bytes ``r || s || v``, v 27 or 28, as the registry takes them."""
    if len(signature) != 65 or signature[64] not in {27, 28}:
        return None
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return signer_of(digest, r, s, signature[64] - 27)
