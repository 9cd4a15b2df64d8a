"""Ethereum's recursive length prefix: strict reading, and writing (Yellow Paper, appendix B).

Every item has one spelling; whatever is spelt otherwise is refused, so that bytes that were read are
the bytes that would be written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from integrity.errors import FormatError, LimitExceeded, NonCanonical

Item: TypeAlias = "bytes | list[Item]"

DEPTH_LIMIT = 16
"""Levels of lists within lists; headers, accounts and trie nodes have three at the most."""

_SHORT = 55


def decode(data: bytes) -> Item:
    """The one item that the bytes are. Raises FormatError, NonCanonical or LimitExceeded."""
    item, end = _item(data, 0, DEPTH_LIMIT)
    if end != len(data):
        raise FormatError(f"{len(data) - end} bytes after the end of the RLP item")
    return item


def decode_list(data: bytes) -> list[Item]:
    """The same of a list."""
    item = decode(data)
    if isinstance(item, bytes):
        raise FormatError("an RLP string where a list belongs")
    return item


def decode_bytes(data: bytes) -> bytes:
    """The same of a string of bytes."""
    return as_bytes(decode(data))


def as_bytes(item: Item) -> bytes:
    """A string of bytes; FormatError when it is a list."""
    if not isinstance(item, bytes):
        raise FormatError("an RLP list where a string belongs")
    return item


def as_integer(item: Item, size: int = 32) -> int:
    """A number of at most ``size`` bytes, which has no leading zeros; FormatError or NonCanonical."""
    data = as_bytes(item)
    if data[:1] == b"\0":
        raise NonCanonical("a number in RLP with a leading zero")
    if len(data) > size:
        raise FormatError(f"a number of {len(data)} bytes in RLP, where {size} are the most")
    return int.from_bytes(data, "big")


def encode(item: Item | Sequence[Item]) -> bytes:
    """The bytes of an item."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _prefix(len(item), 0x80) + item
    body = b"".join(map(encode, item))
    return _prefix(len(body), 0xC0) + body


def encode_integer(value: int) -> bytes:
    """A number as the string of bytes that stands for it: without leading zeros, 0 is empty."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _prefix(length: int, offset: int) -> bytes:
    if length <= _SHORT:
        return bytes((offset + length,))
    size = encode_integer(length)
    return bytes((offset + _SHORT + len(size),)) + size


def _item(data: bytes, at: int, depth: int) -> tuple[Item, int]:
    """The item that begins there, and where it ends."""
    if at >= len(data):
        raise FormatError("RLP that ends in the middle of an item")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    is_list = first >= 0xC0
    start, end = _span(data, at, first - (0xC0 if is_list else 0x80))
    if not is_list:
        if end - start == 1 and data[start] < 0x80:
            raise NonCanonical("one small byte in RLP with a length before it")
        return data[start:end], end
    if depth == 0:
        raise LimitExceeded(f"RLP of more than {DEPTH_LIMIT} levels")
    items: list[Item] = []
    while start < end:
        item, start = _item(data, start, depth - 1)
        items.append(item)
    if start != end:
        raise FormatError("an RLP item that goes on beyond its list")
    return items, end


def _span(data: bytes, at: int, length: int) -> tuple[int, int]:
    """Where the content of an item begins and ends; ``length`` is what its first byte says."""
    start = at + 1
    if length > _SHORT:
        size = data[start : start + length - _SHORT]
        start += length - _SHORT
        if len(size) < length - _SHORT:
            raise FormatError("RLP that ends in the middle of a length")
        length = int.from_bytes(size, "big")
        if size[0] == 0 or length <= _SHORT:
            raise NonCanonical("a length in RLP that is longer than it need be")
    if start + length > len(data):
        raise FormatError("an RLP item that is longer than what there is of it")
    return start, start + length
