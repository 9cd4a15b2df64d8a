"""The dag-pb codec, in its one canonical form (ipld.io/specs/codecs/dag-pb).

A node is all its links (field 2), then its data (field 1). Varints are minimal. Each link has
Hash, Name and Tsize, in this order and always all three.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from integrity.core.cid import Cid, decode_cid
from integrity.errors import FormatError, LimitExceeded, NonCanonical

BLOCK_LIMIT = 2 << 20
"""Largest block that IPFS nodes exchange, in bytes (specs.ipfs.tech, bitswap: 2 MiB)."""


class Link(NamedTuple):
    """``name`` is UTF-8; ``tsize`` is the size in bytes of the whole DAG below, blocks counted each time."""

    cid: Cid
    name: bytes
    tsize: int


@functools.lru_cache(1 << 14)
def varint(value: int) -> bytes:
    """Unsigned LEB128, the shortest form."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_link(cid: bytes, name: bytes, tsize: int) -> bytes:
    """One PBLink as it stands in its node; ``cid`` is the 36 binary bytes."""
    body = b"\x0a\x24" + cid + b"\x12" + varint(len(name)) + name + b"\x18" + varint(tsize)
    return b"\x12" + varint(len(body)) + body


def encode_node(links: Iterable[bytes], data: bytes) -> bytes:
    """A whole node out of already encoded links and its UnixFS data."""
    return b"".join(links) + b"\x0a" + varint(len(data)) + data


def decode_node(block: bytes) -> tuple[list[Link], bytes]:
    """Read a node; raises NonCanonical unless encoding the result gives the same bytes again."""
    if len(block) > BLOCK_LIMIT:
        raise LimitExceeded(f"a dag-pb block of {len(block)} bytes; the limit is {BLOCK_LIMIT}")
    links: list[Link] = []
    data: bytes | None = None
    for field, value in _fields(block):
        if field == 2 and data is None and isinstance(value, bytes):
            links.append(_decode_link(value))
        elif field == 1 and data is None and isinstance(value, bytes):
            data = value
        else:
            raise NonCanonical("a dag-pb node must be its links, then its data, and nothing else")
    if data is None:
        raise NonCanonical("a dag-pb node without data")
    again = encode_node((encode_link(bytes(k.cid), k.name, k.tsize) for k in links), data)
    if again != block:
        raise NonCanonical("a dag-pb block that is not written in its canonical form")
    return links, data


def decode_link(encoded: bytes) -> Link:
    """Read one link as `encode_link` writes it; raises FormatError."""
    fields = list(_fields(encoded))
    if len(fields) != 1 or fields[0][0] != 2 or not isinstance(fields[0][1], bytes):
        raise NonCanonical("not one dag-pb link")
    return _decode_link(fields[0][1])


def _decode_link(body: bytes) -> Link:
    parts = dict(_fields(body))
    cid, name, tsize = parts.get(1), parts.get(2), parts.get(3)
    if not isinstance(cid, bytes) or not isinstance(name, bytes) or not isinstance(tsize, int):
        raise NonCanonical("a dag-pb link needs Hash, Name and Tsize")
    return Link(decode_cid(cid), name, tsize)


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Protobuf fields of wire types 0 (varint) and 2 (bytes), in the order in which they stand."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        value, at = read_varint(data, at)
        if key & 7 == 0:
            yield key >> 3, value
        elif key & 7 == 2:
            if value > len(data) - at:
                raise FormatError("a protobuf field reaches past the end of its block")
            yield key >> 3, data[at : at + value]
            at += value
        else:
            raise FormatError(f"protobuf wire type {key & 7} is not used by dag-pb")


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A minimal varint of at most 63 bits at ``at`` -> (value, where the next byte is)."""
    value = shift = 0
    while True:
        if at >= len(data):
            raise FormatError("a varint reaches past the end of its block")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise NonCanonical("a varint that is longer than it needs to be")
            return value, at
        shift += 7
        if shift > 56:
            raise LimitExceeded("a varint of more than nine bytes")
