"""Safe paths: what a release may call its files (spec v1, section 3.2).

A path is relative, ``/``-separated and NFC, and means the same one file on every system that
people use; whatever does not is refused when publishing and when reading alike.
"""

from __future__ import annotations

import re
import unicodedata

from integrity.core.unicode140 import is_assigned
from integrity.errors import LimitExceeded, UnsafePath

PART_LIMIT = 255
"""UTF-8 bytes of one part: what Linux, macOS and Windows file systems can name."""

PATH_LIMIT = 4096
"""UTF-8 bytes of a whole path: PATH_MAX on Linux."""

# One bidi control reorders all that a terminal shows after it.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Default_Ignorable_Code_Point of Unicode 14.0, which the tables of Python do not hold.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]+"
)
_DEVICE_NAME = (  # ASCII case only: without the "a" Python takes a dotless i for an I
    r"(?ai:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3]) *(?:\..*)?\Z"
)
_DEVICE = re.compile(_DEVICE_NAME, re.DOTALL)
# The common case in one match: ASCII without controls, / : \, ending in neither dot nor space.
_PLAIN = re.compile(rf"(?!{_DEVICE_NAME})[ -.0-9;-\[\]-~]*[!-\-0-9;-\[\]-~]")


def check_path(path: str) -> list[str]:
    """The parts of a safe path; raises UnsafePath, or LimitExceeded when it is too long."""
    if len(path.encode("utf-8", "surrogatepass")) > PATH_LIMIT:
        raise LimitExceeded(f"a path of more than {PATH_LIMIT} bytes: {path[:80]!r}…")
    parts = path.split("/")
    for part in parts:
        check_part(part, path)
    return parts


def check_part(part: str, path: str) -> None:
    """One part of ``path`` (a name between slashes); raises as check_path does."""
    if len(part) <= PART_LIMIT and _PLAIN.fullmatch(part):
        return
    reason = _reason(part)
    if reason:
        raise UnsafePath(f"the path {path[:200]!r} {reason}", evidence={"path": path[:200]})
    if len(part.encode("utf-8")) <= PART_LIMIT:
        return
    raise LimitExceeded(f"a part of the path {path[:200]!r} has more than {PART_LIMIT} bytes")


def _reason(part: str) -> str:
    """Why a part is unsafe, in words that go on after the path; empty when it is safe."""
    if part == "":
        return "has an empty part (it must be relative, with single slashes)"
    if part in {".", ".."}:
        return f"has the part {part!r}"
    for char in part:
        if char in "\\:/":
            return f"has the character {char!r}"
        category = unicodedata.category(char)
        if category == "Cs" or not is_assigned(char):
            return f"has the character U+{ord(char):04X}, which Unicode 14.0 does not assign"
        if category == "Cc" or char in _BIDI:
            return f"has the control character U+{ord(char):04X}"
    if part[-1] in ". ":
        return "has a part that ends in a dot or a space"
    if _DEVICE.fullmatch(part):
        return f"has the part {part!r}, a device name on Windows"
    if not unicodedata.is_normalized("NFC", part):
        return "is not in Unicode's normal form NFC"
    return ""


def fold(part: str) -> str:
    """What two names must not share: canonical caseless matching (Unicode 14.0, D145), without the
    characters that nobody sees (Default_Ignorable_Code_Point), some of which HFS+ ignores too.
    """
    if part.isascii():
        return part.lower()
    seen = unicodedata.normalize("NFD", _IGNORABLE.sub("", part))
    return unicodedata.normalize("NFD", seen.casefold())
