"""Documents of one line: a flat JSON object in one canonical form, as signed requests and receipts are
(spec v1, sections 4.6 and 6.6).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from integrity.core.jsonlines import parse_object
from integrity.errors import FormatError, LimitExceeded, NonCanonical

_NESTING_LIMIT = 16
"""Levels, beyond the three that any document has, so that it can still be said what is wrong."""

_HEX = re.compile(r"(?:[0-9a-f]{2})*")


@dataclass(frozen=True, slots=True)
class Document:
    """A kind of document: what people call it, the name of its format, its keys besides ``format``, of which
    those in ``optional`` may be missing, and its ``limit`` in bytes.
    """

    name: str
    format: str
    keys: frozenset[str]
    limit: int
    optional: frozenset[str] = frozenset()

    def write(self, value: Mapping[str, Any]) -> bytes:
        """Its one canonical form: sorted keys, no spaces, an LF at the end."""
        value = {**value, "format": self.format}
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"

    def read(self, data: bytes) -> dict[str, Any]:
        """The object, with the keys that it has to have. Raises FormatError, NonCanonical or
        LimitExceeded.
        """
        if len(data) > self.limit:
            raise LimitExceeded(f"a {self.name} of more than {self.limit} bytes")
        value = parse_object(data, f"a {self.name}", _NESTING_LIMIT)
        if value.get("format") != self.format:
            raise FormatError(f"not a {self.name} of the format {self.format}")
        wrong = (value.keys() - self.optional - {"format"}) ^ self.keys
        if wrong:
            odd = min(wrong)
            raise FormatError(f"a {self.name} {'with' if odd in value else 'without'} {odd[:40]!r}")
        return value

    def check_canonical(self, data: bytes, written: bytes) -> None:
        """``written`` is what was read, written again. Raises NonCanonical."""
        if written != data:
            raise NonCanonical(f"a {self.name} that is not written in its canonical form")

    # --- values; each raises FormatError, which names its key ----------------------------

    def text(self, value: object, key: str) -> str:
        """A string."""
        if not isinstance(value, str):
            raise FormatError(f"a {self.name} whose {key} is no text")
        return value

    def number(self, value: object, key: str, limit: int, first: int = 0) -> int:
        """An integer. Raises LimitExceeded when it is beyond the limit, or negative."""
        if type(value) is not int or 0 <= value < first:
            raise FormatError(f"a {self.name} whose {key} is no integer from {first} up")
        if not 0 <= value <= limit:
            raise LimitExceeded(f"a {self.name} whose {key} is not between {first} and {limit}")
        return value

    def hex(self, value: object, key: str, size: int | None = None) -> bytes:
        """Bytes as hex in lower case without 0x, of any length unless ``size`` says one."""
        text = self.text(value, key)
        if _HEX.fullmatch(text) is None or size not in {None, len(text) // 2}:
            what = "hex in lower case" if size is None else f"{size} bytes in hex in lower case"
            raise FormatError(f"a {self.name} whose {key} is no {what}")
        return bytes.fromhex(text)
