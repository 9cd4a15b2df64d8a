"""RLP that is changed in one place, also into what pyrlp would not write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import rlp
from eth_utils.crypto import keccak

_LIST, _STRING, _SHORT = 0xC0, 0x80, 55


def edited(data: bytes, how: Mapping[str, Any]) -> bytes:
    """A list in RLP with one thing changed, which ``how`` names.

    ``item`` (the way to it) is ``to`` something else, its hex is to ``begin`` or to ``end`` otherwise, or
    it is ``shorter`` by so many bytes. There are so many ``items``, or some are ``spelt`` otherwise, by their
    number. A last one is ``nested`` so deep, ``around`` something. The ``length`` stands in so many bytes,
    or it is a ``string``. Bytes are ``added`` or ``cut``, or stand ``instead`` of it.
    """
    if "instead" in how:
        return bytes.fromhex(how["instead"])
    if "added" in how:
        return data + bytes.fromhex(how["added"])
    if "cut" in how:
        return data[: -how["cut"]]
    items: list[Any] = rlp.decode(data)
    spelt = {int(at): bytes.fromhex(raw) for at, raw in how.get("spelt", {}).items()}
    if "item" in how:
        _replace(items, how["item"], how)
    if "items" in how:
        items = (items + [b""] * how["items"])[: how["items"]]
    if "nested" in how:
        spelt[len(items)] = _nested(how["nested"], bytes.fromhex(how.get("around", "")))
    items += [b""] * (len(spelt.keys() | range(len(items))) - len(items))
    payload = b"".join(spelt.get(at, rlp.encode(item)) for at, item in enumerate(items))
    return _with_length(payload, _STRING if "string" in how else _LIST, how.get("length"))


def relinked(nodes: Sequence[bytes], at: int, node: bytes) -> list[bytes]:
    """A proof with another node in this place; those above it name it."""
    found = list(nodes)
    for above in range(at, -1, -1):
        old, found[above] = found[above], node
        if above:
            assert found[above - 1].count(keccak(old)) == 1, "the node above does not name it once"
            node = found[above - 1].replace(keccak(old), keccak(node))
    return found


def _replace(items: list[Any], way: Sequence[int], how: Mapping[str, Any]) -> None:
    *before, last = way
    for index in before:
        items = items[index]
    if last == len(items):
        items.append(b"")
    if "begin" in how:
        whole = items[last].hex()
        items[last] = bytes.fromhex(how["begin"] + whole[len(how["begin"]) :])
    elif "end" in how:
        items[last] = bytes.fromhex(items[last].hex()[: -len(how["end"])] + how["end"])
    elif "shorter" in how:
        items[last] = items[last][: -how["shorter"]]
    else:
        items[last] = _item(how["to"])


def _item(told: Any) -> Any:
    if isinstance(told, list):
        return [_item(one) for one in told]
    if isinstance(told, dict):
        return bytes.fromhex(told["hex"]) * told["times"]
    return bytes.fromhex(told)


def _nested(levels: int, inner: bytes) -> bytes:
    """So many lists within each other, without recursion."""
    for _ in range(levels):
        inner = _with_length(inner, _LIST)
    return inner


def _with_length(payload: bytes, kind: int, size: int | None = None) -> bytes:
    length = len(payload)
    if size is None:
        size = 0 if length <= _SHORT else (length.bit_length() + 7) // 8
    if size == 0:
        return bytes((kind + length,)) + payload
    return bytes((kind + _SHORT + size,)) + length.to_bytes(size, "big") + payload
