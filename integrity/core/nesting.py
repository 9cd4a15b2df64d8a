"""How deep JSON text is nested, found out without recursion.

Python's JSON reader recurses in C and leans on the interpreter's recursion limit, which any imported
library may have raised for the whole process (one below eth_account does); then a few hundred KiB of
brackets end the process. So untrusted text is measured before it is parsed.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|["\[\]{}]', re.DOTALL)


def is_nested_deeper(text: bytes | bytearray, limit: int) -> bool:
    """Whether JSON text opens more than ``limit`` arrays and objects inside each other."""
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    depth = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif first in b"]}":
            depth -= 1
        elif token.end() == token.start() + 1:  # a string without an end: no JSON from here on
            break
    return False
