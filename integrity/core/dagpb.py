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


_USUAL_LINK = 42


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
    length, size = varint(len(name)), varint(tsize)
    whole = varint(40 + len(length) + len(name) + len(size))
    return b"\x12%b\x0a\x24%b\x12%b%b\x18%b" % (whole, cid, length, name, size)


def encode_node(links: Iterable[bytes], data: bytes) -> bytes:
    """A whole node out of already encoded links and its UnixFS data."""
    return b"".join(links) + b"\x0a" + varint(len(data)) + data


class LooseLink(NamedTuple):
    """A link as any IPFS tool may have written it: ``cid`` is binary and of any kind, ``name`` and
    ``tsize`` may be missing.
    """

    cid: bytes
    name: bytes | None
    tsize: int | None


def parse_node(block: bytes) -> tuple[list[LooseLink], bytes | None]:
    """Read a node of anybody's: links before or after the data, which may be missing.

    Raises LimitExceeded, NonCanonical for fields of another kind or given twice, FormatError.
    """
    if len(block) > BLOCK_LIMIT:
        raise LimitExceeded(f"a dag-pb block of {len(block)} bytes; the limit is {BLOCK_LIMIT}")
    links: list[LooseLink] = []
    data: bytes | None = None
    for field, value in fields(block):
        if field == 2 and isinstance(value, bytes):
            links.append(_parse_link(value))
        elif field == 1 and data is None and isinstance(value, bytes):
            data = value
        else:
            raise NonCanonical(
                "a dag-pb node must be links and one piece of data, and nothing else"
            )
    return links, data


def decode_node(block: bytes) -> tuple[list[Link], bytes]:
    """Read a node of a release; NonCanonical unless encoding the result gives the same bytes again."""
    loose, data = parse_node(block)
    if data is None:
        raise NonCanonical("a dag-pb node without data")
    links = [_strict(link) for link in loose]
    again = encode_node((encode_link(bytes(k.cid), k.name, k.tsize) for k in links), data)
    if again != block:
        raise NonCanonical("a dag-pb block that is not written in its canonical form")
    return links, data


def decode_link(encoded: bytes) -> Link:
    """Read one link as `encode_link` writes it; raises FormatError."""
    found = list(fields(encoded))
    if len(found) != 1 or found[0][0] != 2 or not isinstance(found[0][1], bytes):
        raise NonCanonical("not one dag-pb link")
    return _strict(_parse_link(found[0][1]))


def _parse_link(body: bytes) -> LooseLink:
    return _usual_link(body) or _any_link(body)


def _usual_link(body: bytes) -> LooseLink | None:
    """A link as nearly all are written: a CID of 36 bytes, a name of fewer than 128, a size."""
    if len(body) < _USUAL_LINK or body[:2] != b"\x0a\x24" or body[38] != 0x12:
        return None
    end = 40 + body[39]
    if body[39] > 0x7F or end >= len(body) or body[end] != 0x18:
        return None
    tsize, stop = read_varint(body, end + 1)
    return LooseLink(body[2:38], body[40:end], tsize) if stop == len(body) else None


def _any_link(body: bytes) -> LooseLink:
    listed = list(fields(body))
    parts = dict(listed)
    if len(parts) != len(listed):
        raise NonCanonical("a dag-pb link with a field given twice")
    cid, name, tsize = parts.get(1), parts.get(2), parts.get(3)
    if not isinstance(cid, bytes) or isinstance(name, int) or isinstance(tsize, bytes):
        raise NonCanonical("a dag-pb link needs a Hash, and a Name and a Tsize of their kinds")
    return LooseLink(cid, name, tsize)


def _strict(link: LooseLink) -> Link:
    if link.name is None or link.tsize is None:
        raise NonCanonical("a dag-pb link needs Hash, Name and Tsize")
    return Link(decode_cid(link.cid), link.name, link.tsize)


def fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Protobuf fields of wire types 0 (varint) and 2 (bytes), in the order in which they stand."""
    at, size = 0, len(data)
    while at < size:
        key = data[at]
        if key < 0x80:
            at += 1
        else:
            key, at = read_varint(data, at)
        if at < size and data[at] < 0x80:  # most are of one byte, and this is where the time goes
            value = data[at]
            at += 1
        else:
            value, at = read_varint(data, at)
        if key & 7 == 0:
            yield key >> 3, value
        elif key & 7 == 2:
            if value > size - at:
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
