"""Content identifiers (CIDv1, multiformats): the two kinds a release is made of.

Only SHA-256 of 32 bytes is ever accepted; a CID of another hash, or with a truncated digest, is
:class:`~integrity.errors.HashUnsupported`.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from integrity.errors import FormatError, HashUnsupported, NonCanonical

RAW = 0x55
DAG_PB = 0x70
SHA2_256 = 0x12
DIGEST_SIZE = 32

_DIGEST_HEX = re.compile(r"[0-9a-f]{64}")
_BASE32 = re.compile(r"b[a-z2-7]+")
_CID_SIZE = 36
_HEADS = {codec: bytes((1, codec, SHA2_256, DIGEST_SIZE)) for codec in (RAW, DAG_PB)}


class Cid(NamedTuple):
    """A CIDv1 over SHA-256: ``codec`` is the multicodec (0x55 raw, 0x70 dag-pb), ``digest`` 32 bytes."""

    codec: int
    digest: bytes

    def __bytes__(self) -> bytes:
        return _HEADS[self.codec] + self.digest

    def __str__(self) -> str:
        return "b" + base64.b32encode(bytes(self)).decode("ascii").lower().rstrip("=")


def parse_cid(text: str) -> Cid:
    """Read a CIDv1 in lower-case base32 of a raw or dag-pb block.

    Raises FormatError when the text is no such CID, NonCanonical when it is not in the one spelling
    of it, HashUnsupported when its hash is not SHA-256 of 32 bytes.
    """
    if len(text) > 200 or not _BASE32.fullmatch(text):
        raise FormatError(f"not a CIDv1 in base32: {text[:100]!r}")
    body = text[1:].upper()
    try:
        raw = base64.b32decode(body + "=" * (-len(body) % 8))
    except binascii.Error as error:
        raise FormatError(f"not a CIDv1 in base32: {text!r}") from error
    cid = decode_cid(raw)
    if str(cid) != text:
        raise NonCanonical(f"not the canonical spelling of a CID: {text}")
    return cid


def decode_cid(raw: bytes) -> Cid:
    """Read the 36 bytes of a binary CIDv1 (codec raw or dag-pb, SHA-256); errors as in parse_cid."""
    shown = raw[:_CID_SIZE].hex()
    if len(raw) < 4 or raw[0] != 1 or raw[1] not in (RAW, DAG_PB):
        raise FormatError(f"not a CIDv1 of a raw or dag-pb block: {shown}")
    if raw[2] != SHA2_256 or raw[3] != DIGEST_SIZE:
        raise HashUnsupported(f"the CID's hash is not SHA-256 of 32 bytes: {shown}")
    if len(raw) != _CID_SIZE:
        raise HashUnsupported(f"the CID's digest has {len(raw) - 4} bytes instead of 32: {shown}")
    return Cid(raw[1], raw[4:])


def raw_cid(digest: bytes) -> Cid:
    """The CID of a piece, which is an IPFS raw leaf."""
    return Cid(RAW, digest)


def parse_digest(text: str) -> bytes:
    """Read 64 lower-case hex digits; raises HashUnsupported on any other length or letter."""
    if not _DIGEST_HEX.fullmatch(text):
        raise HashUnsupported(f"not a SHA-256 digest in 64 lower-case hex digits: {text[:100]!r}")
    return bytes.fromhex(text)
