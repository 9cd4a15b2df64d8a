"""Documents of one line: a flat JSON object in one canonical form, as signed requests and receipts are
(spec v1, sections 4.6 and 6.6).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from integrity.core.nesting import is_nested_deeper
from integrity.errors import FormatError, LimitExceeded, NonCanonical

_HEX = re.compile(r"(?:[0-9a-f]{2})*")


@dataclass(frozen=True, slots=True)
class Document:
    """A kind of document: what people call it, the name of its format, its keys besides ``format``, of which
    those in ``optional`` may be missing, its ``limit`` in bytes, and how deep its values may be nested.
    """

    name: str
    format: str
    keys: frozenset[str]
    limit: int
    nesting: int
    optional: frozenset[str] = frozenset()

    def write(self, value: Mapping[str, Any]) -> bytes:
        """Its one canonical form: sorted keys, no spaces, an LF at the end."""
        value = {**value, "format": self.format}
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"

    def read(self, data: bytes) -> dict[str, Any]:
        """The object, with the keys that it has to have. Raises FormatError or LimitExceeded."""
        if len(data) > self.limit:
            raise LimitExceeded(f"a {self.name} of more than {self.limit} bytes")
        if is_nested_deeper(data, self.nesting):
            raise FormatError(f"a {self.name} with more in its values than it may have")
        try:
            value = json.loads(data.decode())
        except (ValueError, RecursionError) as error:
            raise FormatError(f"a {self.name} that is no JSON") from error
        if not isinstance(value, dict) or value.get("format") != self.format:
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

    # --- values; each raises FormatError that names the key it is of ----------------------------

    def text(self, value: object, key: str) -> str:
        """A string."""
        if not isinstance(value, str):
            raise FormatError(f"a {self.name} whose {key} is no text")
        return value

    def number(self, value: object, key: str, limit: int, first: int = 0) -> int:
        """A whole number."""
        if type(value) is not int or not first <= value <= limit:
            raise FormatError(f"a {self.name} whose {key} is no number from {first} to {limit}")
        return value

    def hex(self, value: object, key: str, size: int | None = None) -> bytes:
        """Bytes as hex in lower case without 0x, of any length unless ``size`` says one."""
        text = self.text(value, key)
        if _HEX.fullmatch(text) is None or size not in {None, len(text) // 2}:
            what = "hex in lower case" if size is None else f"{size} bytes in hex in lower case"
            raise FormatError(f"a {self.name} whose {key} is no {what}")
        return bytes.fromhex(text)
