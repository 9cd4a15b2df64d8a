"""CIDs of any IPFS block (multiformats: cid, multibase, multihash), for what is no release of ours.

A release has the two kinds of :mod:`integrity.core.cid` and no others; here is what gateways and
CAR files must cope with besides: CIDv0, other codecs, other safe hash functions, inlined blocks,
and the other spellings that people paste.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import libipld

from integrity.core.cid import DAG_PB, DIGEST_SIZE, RAW, SHA2_256, Cid
from integrity.core.dagpb import read_varint, varint
from integrity.core.pieces import PIECE_SIZE
from integrity.errors import FormatError, HashUnsupported

DAG_CBOR = 0x71
DAG_JSON = 0x0129
IDENTITY = 0x00

IDENTITY_LIMIT = 128
"""Bytes that a CID may inline; more belongs into a block (go-verifcid, js-multiformats)."""

TEXT_LIMIT = 512
"""Characters of a CID, in any base."""

_HASHES: dict[int, tuple[int, Callable[[bytes], bytes]]] = {
    SHA2_256: (32, lambda data: hashlib.sha256(data).digest()),
    0x13: (64, lambda data: hashlib.sha512(data).digest()),
    0x14: (64, lambda data: hashlib.sha3_512(data).digest()),
    0x15: (48, lambda data: hashlib.sha3_384(data).digest()),
    0x16: (32, lambda data: hashlib.sha3_256(data).digest()),
    0xB220: (32, lambda data: hashlib.blake2b(data, digest_size=32).digest()),
    0xB240: (64, lambda data: hashlib.blake2b(data, digest_size=64).digest()),
}
"""Hash functions without known collisions: multihash code -> (bytes of a digest, the function)."""

_SHA2_256_HEAD = bytes((SHA2_256, DIGEST_SIZE))
_VERSION_0_LENGTH = 46
_USUAL_SIZE = 36


class AnyCid(NamedTuple):
    """``multihash`` is the hash function's code, the digest's length, and the digest."""

    version: int
    codec: int
    multihash: bytes

    def __bytes__(self) -> bytes:
        if self.version == 0:
            return self.multihash
        return b"\x01" + varint(self.codec) + self.multihash

    def __str__(self) -> str:
        text = libipld.encode_multibase("z" if self.version == 0 else "b", bytes(self))
        return text[1:] if self.version == 0 else text

    @property
    def key(self) -> bytes:
        """By what block stores find the block, whatever codec it is asked for with: the digest if it
        is SHA-256's, else the whole multihash, which is longer.
        """
        return self.multihash[2:] if self.multihash[:2] == _SHA2_256_HEAD else self.multihash

    @property
    def inlined(self) -> bytes | None:
        """The block itself, when the CID holds it (identity hash)."""
        if self.multihash[0] != IDENTITY:
            return None
        return self.multihash[read_varint(self.multihash, 1)[1] :]

    def is_of(self, block: bytes) -> bool:
        """Whether the block has this CID's hash."""
        return is_key_of(self.key, block) if self.inlined is None else block == self.inlined


def is_key_of(key: bytes, block: bytes | memoryview) -> bool:
    """Whether a block has the hash of an :attr:`AnyCid.key`."""
    if len(key) == DIGEST_SIZE:
        return hashlib.sha256(block).digest() == key
    code, at = read_varint(key, 0)
    size, function = _HASHES[code]
    return key[at] == size and function(bytes(block)) == key[at + 1 :]


def any_cid(cid: Cid) -> AnyCid:
    """A CID of a release as one among all."""
    return AnyCid(1, cid.codec, _SHA2_256_HEAD + cid.digest)


def release_roots(content: Cid, manifest: bytes, manifest_size: int) -> list[AnyCid]:
    """The CIDs under which all of a release is found: the folder's, and that of the manifest with
    this digest and so many bytes.
    """
    codec = RAW if manifest_size <= PIECE_SIZE else DAG_PB
    return [any_cid(content), any_cid(Cid(codec, manifest))]


def cid_of(codec: int, block: bytes) -> AnyCid:
    """The CIDv1 of a block, over SHA-256."""
    return AnyCid(1, codec, _SHA2_256_HEAD + hashlib.sha256(block).digest())


def raw_cid_of_key(key: bytes) -> AnyCid:
    """The raw CIDv1 of the block with that :attr:`AnyCid.key`."""
    return AnyCid(1, RAW, _SHA2_256_HEAD + key if len(key) == DIGEST_SIZE else key)


def read_cid(data: bytes, at: int = 0) -> tuple[AnyCid, int]:
    """A binary CID at ``at`` -> (the CID, where the next byte is). Raises FormatError, or
    HashUnsupported for a hash function that is unknown or too weak, or a shortened digest.
    """
    if data[at : at + 2] == _SHA2_256_HEAD:
        end = at + 2 + DIGEST_SIZE
        if end > len(data):
            raise FormatError("a CID that is cut off")
        return AnyCid(0, DAG_PB, data[at:end]), end
    version, start = read_varint(data, at)
    if version != 1:
        raise FormatError(f"not a CID of version 0 or 1: {data[at : at + 40].hex()}")
    codec, start = read_varint(data, start)
    end = _multihash_end(data, start)
    return AnyCid(1, codec, data[start:end]), end


def _multihash_end(data: bytes, start: int) -> int:
    code, at = read_varint(data, start)
    length, at = read_varint(data, at)
    if code == IDENTITY:
        if length > IDENTITY_LIMIT:
            raise HashUnsupported(
                f"a CID that inlines {length} bytes; the limit is {IDENTITY_LIMIT}"
            )
    elif code not in _HASHES:
        raise HashUnsupported(f"a CID of the hash function 0x{code:x}, which is not accepted")
    elif length != _HASHES[code][0]:
        raise HashUnsupported(f"a CID whose digest of the function 0x{code:x} has {length} bytes")
    if at + length > len(data):
        raise FormatError("a CID that is cut off")
    return at + length


def decode_any_cid(raw: bytes) -> AnyCid:
    """A binary CID and nothing else; errors as :func:`read_cid`."""
    if len(raw) == _USUAL_SIZE and raw[0] == 1 and raw[1] < 0x80 and raw[2:4] == _SHA2_256_HEAD:
        return AnyCid(1, raw[1], raw[2:])
    cid, end = read_cid(raw)
    if end != len(raw):
        raise FormatError(f"{len(raw) - end} bytes after a CID")
    return cid


def parse_any_cid(text: str) -> AnyCid:
    """Read a CID in any multibase that is in use, CIDv0 without a prefix among them.

    Raises FormatError, or HashUnsupported as :func:`read_cid`.
    """
    if not text.isascii() or not 2 <= len(text) <= TEXT_LIMIT:
        raise FormatError(f"not a CID: {text[:100]!r}")
    is_version_0 = len(text) == _VERSION_0_LENGTH and text.startswith("Qm")
    try:
        _, raw = libipld.decode_multibase("z" + text if is_version_0 else text)
    except ValueError as error:
        raise FormatError(f"not a CID: {text[:100]!r}") from error
    cid = decode_any_cid(raw)
    if (cid.version == 0) != is_version_0:
        raise FormatError(f"a CID of version 0 is written without a prefix: {text[:100]!r}")
    return cid
