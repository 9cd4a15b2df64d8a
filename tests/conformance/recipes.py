"""Reads spec/vectors/*.json and expands its recipes, as spec/vectors/README.md describes them."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

VECTORS = Path(__file__).resolve().parents[2] / "spec" / "vectors"

PIECE = 1 << 20
_PERIOD = 251
_PATTERN = bytes(range(_PERIOD)) * (PIECE // _PERIOD + 2)
_CHUNK = 1 << 16

Case = dict[str, Any]


class TreeFile(NamedTuple):
    """One file of a tree: what is in it follows from ``fill`` and ``size``."""

    path: str
    size: int
    fill: str


def load(topic: str) -> dict[str, Any]:
    """One file of vectors."""
    value: dict[str, Any] = json.loads((VECTORS / f"{topic}.json").read_text(encoding="utf-8"))
    return value


def parameters(topic: str, group: str = "cases") -> list[Any]:
    """The cases of one group, each under its own name."""
    return [pytest.param(case, id=case["name"]) for case in load(topic)[group]]


def expand(recipe: str | Sequence[Any]) -> Iterator[bytes]:
    """The bytes of a recipe, in chunks of moderate size."""
    for part in [recipe] if isinstance(recipe, str) else recipe:
        if isinstance(part, str):
            yield part.encode("utf-8")
        elif "hex" in part:
            yield from _repeated(bytes.fromhex(part["hex"]), part.get("times", 1))
        elif "repeat" in part:
            yield from _repeated(part["repeat"].encode("utf-8"), part["times"])
        else:
            yield "".join(numbered(part)).encode("utf-8")


def _repeated(unit: bytes, times: int) -> Iterator[bytes]:
    at_once = max(1, _CHUNK // len(unit))
    while times > 0:
        yield unit * min(at_once, times)
        times -= at_once


def text(recipe: str | Sequence[Any]) -> str:
    """A recipe without bytes that are not UTF-8."""
    return b"".join(expand(recipe)).decode("utf-8")


def numbered(part: Mapping[str, Any]) -> Iterator[str]:
    before, after = part["numbered"]
    for number in range(part["from"], part["from"] + part["times"]):
        yield f"{before}{number:0{part['digits']}d}{after}"


def tree_files(tree: Sequence[Mapping[str, Any]]) -> Iterator[TreeFile]:
    """The files of a tree, in the order in which they are listed."""
    for item in tree:
        paths = numbered(item) if "numbered" in item else [text(item["path"])]
        for path in paths:
            yield TreeFile(path, item["size"], item["fill"])


def piece(file: TreeFile, index: int) -> bytes:
    """The bytes of one piece of a file."""
    length = min(PIECE, file.size - index * PIECE)
    if file.fill == "zeros":
        return bytes(length)
    start = index * PIECE % _PERIOD
    return _PATTERN[start : start + length]


def digests(file: TreeFile) -> list[bytes]:
    """The SHA-256 of every piece."""
    count = max(1, -(-file.size // PIECE))
    if file.fill != "zeros":
        return [hashlib.sha256(piece(file, index)).digest() for index in range(count)]
    full = [_of_zeros(PIECE)] * (count - 1)
    return [*full, _of_zeros(file.size - len(full) * PIECE)]


@functools.cache
def _of_zeros(size: int) -> bytes:
    """So that a gigabyte of zeros costs no more than a piece."""
    return hashlib.sha256(bytes(size)).digest()


# --- documents: receipts and requests ---------------------------------------------------------------


def document(case: Case, good: Mapping[str, Case], key: str) -> bytes:
    """A document's bytes: those under its own key, or those of a good one with something else in them."""
    if "of" not in case:
        return b"".join(expand(case[key]))
    data = b"".join(expand(good[case["of"]][key]))
    if "with" in case:
        value = json.loads(data) | case["with"]
        kept = {name: item for name, item in value.items() if item is not None}
        data = json.dumps(kept, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    for old, new in case.get("replace", ()):
        assert data.count(old.encode()) == 1, f"{case['name']}: {old!r} is not there once"
        data = data.replace(old.encode(), b"".join(expand(new)))
    return data


def binary(recipe: str | Sequence[Any]) -> bytes:
    """Bytes that stand there as hex, or as a recipe if they are many."""
    return bytes.fromhex(recipe) if isinstance(recipe, str) else b"".join(expand(recipe))
