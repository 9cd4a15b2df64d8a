"""How deep JSON text is nested, found out without recursion.

Python's JSON reader recurses in C and leans on the interpreter's recursion limit, which any imported
library may have raised for the whole process (one below eth_account does); then a few hundred KiB of
brackets end the process. So untrusted text is measured before it is parsed; and it is parsed as UTF-8, as
the reader takes bytes for UTF-16 when they look like it, whose quotes and brackets stand elsewhere.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(rb'"[^"]*+"|["\[\]{}]')
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_OTHERS = bytes(set(range(256)) - set(b'"[]{}'))


def is_nested_deeper(text: bytes | bytearray, limit: int) -> bool:
    """Whether JSON text opens more than ``limit`` arrays and objects inside each other."""
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    depth = 0
    for token in _TOKEN.finditer(_brackets(text)):
        first = token[0][0]
        if first in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif first in b"]}":
            depth -= 1
        elif len(token[0]) == 1:  # a string without an end: no JSON from here on
            break
    return False


def _brackets(text: bytes | bytearray) -> bytes:
    """The brackets and quotes of a text alone. Quotes that are next to each other then are dropped, as that
    leaves whatever follows as it was, inside of a string or outside: so hardly any string is left.
    """
    plain = _ESCAPED.sub(b"", text) if b"\\" in text else text  # no JSON has any outside of strings
    return bytes(plain.translate(None, _OTHERS)).replace(b'""', b"")
