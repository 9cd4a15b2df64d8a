"""What an honest header would say of a manifest's lines, however wrong those lines are otherwise.

So that a vector of a broken manifest is wrong in the one way it names and in no other: a reader
that misses this one check accepts it, and fails.
"""

from __future__ import annotations

import base64
import json
import re
from typing import NamedTuple

from integrity.core.nesting import is_nested_deeper
from tests.core import plain_unixfs as plain

__all__ = ["FIELDS", "Totals", "binary", "declared", "plain", "replaced", "true_totals"]

FIELDS = {
    "content": re.compile(r'(?<="content":")[^"]*'),
    "files": re.compile(r'(?<="files":)[^,}]*'),
    "size": re.compile(r'(?<="size":)[^,}]*'),
}

_UNREADABLE = (
    ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip


class Totals(NamedTuple):
    content: str
    files: str
    size: str


def declared(header: str) -> dict[str, str]:
    """The three fields as a header's text has them; one that it has not is left out."""
    found = {field: pattern.search(header) for field, pattern in FIELDS.items()}
    return {field: match.group() for field, match in found.items() if match}


def replaced(header: str, field: str, text: str) -> str:
    """A header with another value in one of the three fields."""
    match = FIELDS[field].search(header)
    return header if match is None else header[: match.start()] + text + header[match.end() :]


def binary(cid: str) -> bytes:
    """The bytes of a CID in base32."""
    text = cid[1:].upper()
    return base64.b32decode(text + "=" * (-len(text) % 8))


def true_totals(body: bytes) -> Totals | None:
    """Of the lines after the header; None when they cannot be read even with good will, or have no
    content root at all.
    """
    try:
        files = [_file(line) for line in body.split(b"\n") if line]
        root = plain.tree((path, plain.file(size, digests)) for path, size, digests in files)
    except _UNREADABLE:
        return None
    return Totals(str(root), str(len(files)), str(sum(size for _, size, _ in files)))


def _file(line: bytes) -> tuple[bytes, int, list[bytes]]:
    if is_nested_deeper(line, 8):
        raise ValueError("no reader survives that")
    value = json.loads(line)
    if "sha256" in value:
        joined = bytes.fromhex(value["sha256"])
    else:
        text = value["pieces"].rstrip("=").translate(str.maketrans("+/", "-_"))
        joined = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    size = int(value["size"])
    if size < 0 or len(joined) != 32 * max(1, -(-size // plain.PIECE)):
        raise ValueError("the digests do not fit the size")
    digests = [joined[at : at + 32] for at in range(0, len(joined), 32)]
    return value["path"].encode("utf-8", "surrogatepass"), size, digests
