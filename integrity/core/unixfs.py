"""UnixFS files and directories exactly as the IPFS profile ``unixfs-v1-2025`` writes them.

CIDv1, SHA-256, raw leaves of 1 MiB, balanced trees of at most 1,024 links a node, directories
sharded (HAMT) when their block would exceed 256 KiB (specs.ipfs.tech/unixfs; IPIP-499).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import mmh3

from integrity.core.cid import DAG_PB, DIGEST_SIZE, RAW, SHA2_256, Cid
from integrity.core.dagpb import decode_node, encode_link, encode_node, varint
from integrity.core.pieces import PIECE_SIZE, piece_count, piece_length
from integrity.errors import FormatError, NameCollision, NonCanonical

FANOUT = 1024
"""Most links of a file node."""

SHARD_THRESHOLD = 262_144
"""A directory whose block would be larger than this many bytes is sharded."""

_RAW_PREFIX = bytes((1, RAW, SHA2_256, DIGEST_SIZE))
_DAG_PREFIX = bytes((1, DAG_PB, SHA2_256, DIGEST_SIZE))
_DIRECTORY_DATA = b"\x08\x01"
_HASH_SIZE = 8
_INDEXES = [b"%02X" % index for index in range(256)]
_BITS = [1 << index for index in range(256)]

Emit = Callable[[bytes, bytes], None]
"""Takes each node's (digest, block) as it is made, children before their parent."""


def drop(digest: bytes, block: bytes) -> None:
    """An Emit for callers who want the root alone."""


class Node(NamedTuple):
    """The root of a file or directory: its CID, and the bytes of all blocks below it and itself."""

    cid: Cid
    tsize: int


def file_node(size: int, digests: bytes, emit: Emit = drop) -> Node:
    """The root of a file of ``size`` bytes whose piece digests stand one after another.

    A file of at most one piece is its raw leaf. Raises FormatError if the digests do not fit.
    """
    if size <= PIECE_SIZE and len(digests) == DIGEST_SIZE:
        return Node(Cid(RAW, digests), size)
    count = piece_count(size)
    if len(digests) != count * DIGEST_SIZE:
        raise FormatError(f"{len(digests)} bytes of digests for a file of {count} pieces")
    level = [
        (
            _RAW_PREFIX + digests[i * DIGEST_SIZE : (i + 1) * DIGEST_SIZE],
            piece_length(size, i),
            piece_length(size, i),
        )
        for i in range(count)
    ]
    while len(level) > 1:
        level = [_file_parent(level[i : i + FANOUT], emit) for i in range(0, len(level), FANOUT)]
    cid, _, tsize = level[0]
    return Node(Cid(DAG_PB, cid[4:]), tsize)


def _file_parent(children: list[tuple[bytes, int, int]], emit: Emit) -> tuple[bytes, int, int]:
    size = sum(child[1] for child in children)
    data = b"\x08\x02\x18" + varint(size) + b"".join(b"\x20" + varint(c[1]) for c in children)
    block = encode_node([encode_link(cid, b"", tsize) for cid, _, tsize in children], data)
    digest = hashlib.sha256(block).digest()
    emit(digest, block)
    return _DAG_PREFIX + digest, size, len(block) + sum(child[2] for child in children)


def leaves_of_root(block: bytes) -> tuple[int, bytes]:
    """Read a file root whose children are all leaves -> (file size in bytes, leaf digests).

    Accepts nothing but the block that `file_node` would make: at least two leaves and at most
    1,024, all full but the last. Raises NonCanonical or FormatError.
    """
    links, _ = decode_node(block)
    if not 2 <= len(links) <= FANOUT or any(k.cid.codec != RAW for k in links):
        raise NonCanonical("not a file root over 2 to 1,024 raw leaves")
    size = (len(links) - 1) * PIECE_SIZE + links[-1].tsize
    digests = b"".join(k.cid.digest for k in links)
    made: list[bytes] = []
    if piece_count(size) != len(links):
        raise NonCanonical("a file root whose leaves are not all full but the last")
    file_node(size, digests, lambda _, b: made.append(b))
    if made != [block]:
        raise NonCanonical("a file root that is not written in its canonical form")
    return size, digests


def directory_node(links: list[bytes], below: int, emit: Emit = drop) -> Node:
    """A plain directory of encoded links, sorted by their names; ``below`` is the sum of tsizes."""
    return _finish(links, _DIRECTORY_DATA, below, emit)


def plain_directory_size(link_sizes: int) -> int:
    """Bytes of a plain directory's block whose encoded links have ``link_sizes`` bytes in all."""
    return link_sizes + 2 + len(_DIRECTORY_DATA)


def _finish(links: list[bytes], data: bytes, below: int, emit: Emit) -> Node:
    block = encode_node(links, data)
    digest = hashlib.sha256(block).digest()
    emit(digest, block)
    return Node(Cid(DAG_PB, digest), len(block) + below)


def name_hash(name: bytes) -> bytes:
    """The eight bytes by which a sharded directory places a name (murmur3-x64-64, big-endian)."""
    low: bytes = mmh3.mmh3_x64_128_digest(name, 0)[_HASH_SIZE - 1 :: -1]
    return low


class _Shard:
    """One node of a sharded directory while it is filled, in the order of its 256 indexes."""

    def __init__(self) -> None:
        self.links: list[bytes] = []
        self.bitfield = 0
        self.below = 0

    def add(self, index: int, name: bytes, cid: bytes, tsize: int) -> None:
        self.links.append(encode_link(cid, _INDEXES[index] + name, tsize))
        self.bitfield |= _BITS[index]
        self.below += tsize

    def finish(self, emit: Emit) -> Node:
        bits = self.bitfield.to_bytes((self.bitfield.bit_length() + 7) // 8, "big")
        data = b"\x08\x05\x12" + varint(len(bits)) + bits + b"\x28\x22\x30\x80\x02"
        return _finish(self.links, data, self.below, emit)


def sharded_directory_node(
    items: Iterator[tuple[bytes, bytes, bytes, int]], emit: Emit = drop
) -> Node:
    """A sharded directory of (name hash, name, CID bytes, tsize), sorted by hash.

    Works in one pass: an entry stands as deep as the bytes it shares with its neighbours' hashes.
    Two names with the same 64-bit hash have no place in a HAMT of eight levels: NameCollision.
    """
    open_shards = [_Shard()]
    item = next(items, None)
    number = 0 if item is None else int.from_bytes(item[0], "big")
    while item is not None:
        hashed, name, cid, tsize = item
        item = next(items, None)
        shared = 0
        if item is not None:
            last, number = number, int.from_bytes(item[0], "big")
            shared = _HASH_SIZE - ((last ^ number).bit_length() + 7) // 8
            if shared == _HASH_SIZE:
                raise NameCollision(
                    f"the names {name!r} and {item[1]!r} share a 64-bit hash; "
                    "IPFS cannot hold both in one sharded directory"
                )
        while len(open_shards) <= shared:
            open_shards.append(_Shard())
        open_shards[-1].add(hashed[len(open_shards) - 1], name, cid, tsize)
        while len(open_shards) - 1 > shared:
            node = open_shards.pop().finish(emit)
            open_shards[-1].add(hashed[len(open_shards) - 1], b"", bytes(node.cid), node.tsize)
    return open_shards[0].finish(emit)
