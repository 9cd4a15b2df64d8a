"""UnixFS as plainly as it can be written: in memory, by recursion, without a single check.

The oracle that integrity.core is held against (spec v1, section 8); it shares no code with it. As
it checks nothing, it also gives the true content root of a release that must be refused.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

PIECE = 1 << 20
FANOUT = 1024
THRESHOLD = 262_144

_MASK = 2**64 - 1


class Root(NamedTuple):
    """The root of a file or folder: its binary CID, and the bytes of its block and all below."""

    cid: bytes
    tsize: int

    def __str__(self) -> str:
        return "b" + base64.b32encode(self.cid).decode().lower().rstrip("=")


class Entry(NamedTuple):
    """A link to be: under which name, to what."""

    name: bytes
    root: Root


def leb128(value: int) -> bytes:
    return bytes((value,)) if value < 128 else bytes((value % 128 + 128,)) + leb128(value // 128)


def field(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + leb128(len(content)) + content


def pb_node(entries: Sequence[Entry], data: bytes) -> bytes:
    links = [
        field(0x0A, e.root.cid) + field(0x12, e.name) + b"\x18" + leb128(e.root.tsize)
        for e in entries
    ]
    return b"".join(field(0x12, link) for link in links) + field(0x0A, data)


def pb_root(entries: Sequence[Entry], data: bytes) -> Root:
    block = pb_node(entries, data)
    return Root(node_cid(block), len(block) + sum(e.root.tsize for e in entries))


def node_cid(block: bytes) -> bytes:
    """The binary CID of a dag-pb block."""
    return b"\x01\x70\x12\x20" + hashlib.sha256(block).digest()


def file(size: int, digests: Sequence[bytes]) -> Root:
    """A file of ``size`` bytes, given the SHA-256 of each of its pieces."""
    level = [
        (Root(b"\x01\x55\x12\x20" + digest, length), length)
        for digest, length in zip(digests, _lengths(size), strict=True)
    ]
    while len(level) > 1:
        groups = [level[at : at + FANOUT] for at in range(0, len(level), FANOUT)]
        level = [(_file_node(group), sum(length for _, length in group)) for group in groups]
    return level[0][0]


def _lengths(size: int) -> list[int]:
    whole, rest = divmod(size, PIECE)
    return [PIECE] * whole + ([rest] if rest or not whole else [])


def _file_node(children: Sequence[tuple[Root, int]]) -> Root:
    sizes = [length for _, length in children]
    data = b"\x08\x02\x18" + leb128(sum(sizes)) + b"".join(b"\x20" + leb128(s) for s in sizes)
    return pb_root([Entry(b"", root) for root, _ in children], data)


def directory(entries: Iterable[Entry]) -> Root:
    """A folder, sharded if its plain block would be over the threshold."""
    ordered = sorted(entries)
    if len(pb_node(ordered, b"\x08\x01")) <= THRESHOLD:
        return pb_root(ordered, b"\x08\x01")
    return shard(ordered, murmur3)


def shard(entries: Sequence[Entry], place: Callable[[bytes], bytes], depth: int = 0) -> Root:
    """A node of a sharded folder; ``place`` gives the eight bytes that decide where a name stands."""
    children: dict[int, list[Entry]] = {}
    for entry in entries:
        children.setdefault(place(entry.name)[depth], []).append(entry)
    links = []
    for index, below in sorted(children.items()):
        label = f"{index:02X}".encode()
        if len(below) == 1:
            links.append(Entry(label + below[0].name, below[0].root))
        else:
            links.append(Entry(label, shard(below, place, depth + 1)))
    bits = sum(1 << index for index in children)
    bitfield = bits.to_bytes(32, "big").lstrip(b"\0")
    return pb_root(links, b"\x08\x05" + field(0x12, bitfield) + b"\x28\x22\x30\x80\x02")


def tree(files: Iterable[tuple[bytes, Root]]) -> Root:
    """The folder that holds these files; a path's slashes make folders."""
    entries: dict[bytes, Root] = {}
    folders: dict[bytes, list[tuple[bytes, Root]]] = {}
    for path, root in files:
        name, slash, rest = path.partition(b"/")
        if slash:
            folders.setdefault(name, []).append((rest, root))
        else:
            entries[name] = root
    for name, inner in folders.items():
        entries[name] = tree(inner)
    return directory(Entry(name, root) for name, root in entries.items())


def murmur3(data: bytes) -> bytes:
    """The first 64 bits of MurmurHash3 x64-128 with seed 0, as big-endian bytes (spec 8.5)."""
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = h2 = 0
    whole = len(data) - len(data) % 16
    for at in range(0, whole, 16):
        h1 ^= _mixed(data[at : at + 8], c1, 31, c2)
        h1 = (_rotated(h1, 27) + h2) * 5 + 0x52DCE729 & _MASK
        h2 ^= _mixed(data[at + 8 : at + 16], c2, 33, c1)
        h2 = (_rotated(h2, 31) + h1) * 5 + 0x38495AB5 & _MASK
    h1 ^= _mixed(data[whole : whole + 8], c1, 31, c2)
    h2 ^= _mixed(data[whole + 8 :], c2, 33, c1)
    h1, h2 = h1 ^ len(data), h2 ^ len(data)
    h1 = h1 + h2 & _MASK
    h2 = h2 + h1 & _MASK
    return (_finished(h1) + _finished(h2) & _MASK).to_bytes(8, "big")


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> 64 - by) & _MASK


def _mixed(part: bytes, one: int, by: int, other: int) -> int:
    """A part of up to eight bytes; an empty one mixes to 0."""
    value = int.from_bytes(part, "little")
    return _rotated(value * one & _MASK, by) * other & _MASK


def _finished(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ value >> 33
