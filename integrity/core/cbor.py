"""The links of a DAG-CBOR block (ipld.io/specs/codecs/dag-cbor), found without decoding the rest.

A block is one CBOR item, written out in order; so counting the items still to come tells where it
ends, in memory that does not grow with it and however deep it is nested.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from integrity.errors import FormatError, NonCanonical

_LINK_TAG = 42
_INDEX = re.compile(r"[0-9]{1,9}")
_SIMPLE = frozenset((20, 21, 22))  # false, true, null
_FLOAT64 = 27
_STRINGS = frozenset((2, 3))
_ITEMS_EACH = {4: 1, 5: 2}  # arrays, maps


def links_of_cbor(block: bytes) -> list[bytes]:
    """The binary CIDs of a block, in the order in which they stand. Raises FormatError."""
    links: list[bytes] = []
    at, left = 0, 1
    linked = False
    while left:
        major, value, at = _head(block, at)
        if linked:
            links.append(_link(block, at, major, value))
        linked = major == 6 and _is_link_tag(value)
        at += value if major in _STRINGS else 0
        left += _ITEMS_EACH.get(major, 0) * value - 1 + linked
        if left > len(block) - at:
            raise FormatError("a CBOR block that ends before its last item")
    if at != len(block):
        raise FormatError("bytes after the end of a CBOR item")
    return links


def _link(block: bytes, at: int, major: int, size: int) -> bytes:
    if major != 2 or not size or block[at : at + 1] != b"\0":
        raise FormatError("a CBOR tag 42 that is on no binary CID")
    return block[at + 1 : at + size]


def _is_link_tag(tag: int) -> bool:
    if tag != _LINK_TAG:
        raise FormatError(f"the CBOR tag {tag}, where DAG-CBOR has 42 alone")
    return True


def _head(block: bytes, at: int) -> tuple[int, int, int]:
    """(major type, argument, where the next byte is); minimal, as DAG-CBOR demands."""
    if at >= len(block):
        raise FormatError("a CBOR block that ends before its last item")
    major, low = block[at] >> 5, block[at] & 31
    at += 1
    if major == 7:
        if low == _FLOAT64 and at + 8 <= len(block):
            return major, 0, at + 8
        if low not in _SIMPLE:
            raise FormatError("a CBOR value that DAG-CBOR has not got")
        return major, low, at
    if low < 24:
        return major, low, at
    if low > 27:
        raise FormatError("a CBOR item of no stated length")
    size = 1 << (low - 24)
    value = int.from_bytes(block[at : at + size], "big")
    if at + size > len(block):
        raise FormatError("a CBOR block that ends before its last item")
    if value < (24 if size == 1 else 1 << (4 * size)):
        raise NonCanonical("a CBOR number that is longer than it needs to be")
    return major, value, at + size


def follow_cbor(block: bytes, names: Sequence[str]) -> tuple[bytes | None, int]:
    """Follow map keys and list indexes until a link -> (its binary CID, how many names that took).

    The CID is None when all names are used up within the block. Raises KeyError when one leads
    nowhere. The block is one whose links could be read.
    """
    at = 0
    for taken, name in enumerate(names):
        major, value, inside = _head(block, at)
        if major == 6:
            return _link_at(block, inside), taken
        if major == 4 and (index := list_index(name)) is not None and index < value:
            at = inside
            for _ in range(index):
                at = _end(block, at)
        elif major == 5:
            at = _value_of(block, inside, value, name.encode())
        else:
            raise KeyError(name)
    major, _, inside = _head(block, at)
    return (_link_at(block, inside) if major == 6 else None), len(names)


def list_index(name: str) -> int | None:
    """A place in a list out of a name in a path: decimal digits of ASCII, no more than nine."""
    return int(name) if _INDEX.fullmatch(name) else None


def _link_at(block: bytes, at: int) -> bytes:
    major, size, inside = _head(block, at)
    return _link(block, inside, major, size)


def _value_of(block: bytes, at: int, pairs: int, key: bytes) -> int:
    for _ in range(pairs):
        major, size, inside = _head(block, at)
        at = _end(block, at)
        if major == 3 and block[inside : inside + size] == key:
            return at
        at = _end(block, at)
    raise KeyError(key.decode())


def _end(block: bytes, at: int) -> int:
    """Where the item that begins at ``at`` ends."""
    left = 1
    while left:
        major, value, at = _head(block, at)
        at += value if major in _STRINGS else 0
        left += _ITEMS_EACH.get(major, 0) * value - 1 + (major == 6)
    return at
