"""A list of what is not to be served, whoever asks: for operators who were told so by a court, or by
a list of known malware.

One entry a line: a CID, with or without ``/ipfs/`` before it, or ``//`` and the SHA-256 in hex of the
CIDv1 in base32 and a slash, which is how lists are passed on that should not advertise what they name
(specs.ipfs.tech/ipips/ipip-0383). ``status=451`` behind it says that the law demands it. ``#`` begins
a comment. A list that begins with ``version:`` has words about itself up to a line ``---``.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from integrity.core.anycid import DAG_CBOR, DAG_JSON, AnyCid, parse_any_cid
from integrity.core.cid import DAG_PB, RAW
from integrity.disk.settings import read_text
from integrity.disk.system import Signature, signature
from integrity.errors import FormatError, UsageError

DENYLIST_LIMIT = 128 << 20
"""Bytes: two million entries."""

GONE = 410
LEGAL = 451

_HEADER, _HEADER_END = "version:", "---"
_DOUBLE = re.compile(r"//([0-9a-f]{64})")
_ENTRY = re.compile(r"(?P<what>\S+)(?:\s+status=(?P<status>410|451))?")


def default_denylist(store: Path) -> Path:
    """Where the list of whoever serves this store is looked for."""
    return store.with_name("denylist")


class Denylist:
    """``path`` need not exist; it is read again when it changed. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read: Signature | None = None
        self._keys: dict[bytes, int] = {}
        self._hidden: dict[bytes, int] = {}

    @property
    def entries(self) -> int:
        return len(self._keys) + len(self._hidden)

    def refresh(self) -> None:
        """Read the list if it changed. Raises UsageError that names the line; the entries that were
        known before then stay.
        """
        try:
            now = signature(os.stat(self._path))
        except FileNotFoundError:
            now = None
        except OSError as error:
            raise UsageError(f"cannot read {self._path}: {error.strerror or error}") from error
        with self._lock:
            if now == self._read:
                return
            self._keys, self._hidden = _load(self._path) if now else ({}, {})
            self._read = now

    def status(self, cid: AnyCid) -> int | None:
        """What to answer for a block, 410 or 451; None when it may be served."""
        found = self._keys.get(cid.key)
        if found is None and self._hidden:
            found = next(filter(None, map(self._hidden.get, _hidden_names(cid))), None)
        return found


def _hidden_names(cid: AnyCid) -> Iterator[bytes]:
    """What a list may call a block by that hides it: whoever asks chooses the codec."""
    for codec in dict.fromkeys((cid.codec, DAG_PB, RAW, DAG_CBOR, DAG_JSON)):
        version1 = AnyCid(1, codec, cid.multihash)
        yield hashlib.sha256(f"{version1}/".encode()).digest()


def _load(path: Path) -> tuple[dict[bytes, int], dict[bytes, int]]:
    keys: dict[bytes, int] = {}
    hidden: dict[bytes, int] = {}
    lines = read_text(path, DENYLIST_LIMIT).splitlines()
    # Lists that are passed on may begin with words about themselves. No entry can be among them, as
    # the first line is none.
    has_header = lines[:1] and lines[0].startswith(_HEADER) and _HEADER_END in lines
    begin = lines.index(_HEADER_END) + 1 if has_header else 0
    for number, line in enumerate(lines[begin:], begin + 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        try:
            _add(entry, keys, hidden)
        except FormatError as error:
            raise UsageError(
                f"{path}, line {number}: {error.message}",
                next="A line has a CID, /ipfs/CID, or // and 64 hex digits; then perhaps status=451.",
            ) from error
    return keys, hidden


def _add(entry: str, keys: dict[bytes, int], hidden: dict[bytes, int]) -> None:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise FormatError(f"cannot read {entry[:100]!r}")
    status = int(match["status"] or GONE)
    double = _DOUBLE.fullmatch(match["what"])
    if double:
        hidden[bytes.fromhex(double[1])] = status
    else:
        keys[parse_any_cid(match["what"].removeprefix("/ipfs/").rstrip("/")).key] = status
