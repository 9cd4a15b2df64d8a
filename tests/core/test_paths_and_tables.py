"""Safe paths against a plain reading of the rules, and the Unicode tables they stand on."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path

import pytest
from hypothesis import strategies as st

from integrity.core.paths import check_path, fold
from integrity.core.unicode140 import BOUNDS, is_assigned
from integrity.errors import FormatError, LimitExceeded

from .releases import safe_paths
from .unhurried import example, given

TABLE = Path(__file__).resolve().parents[2] / "spec" / "unicode-14.0-assigned.txt"

RANGES = [
    (int(first, 16), int(last, 16))
    for first, _, last in (
        line.partition("..")
        for line in TABLE.read_text(encoding="ascii").splitlines()
        if not line.startswith("#")
    )
]

# Unicode 14.0: 144,697 characters, 137,468 for private use, 65 controls.
ASSIGNED = 144_697 + 137_468 + 65

BIDI = {*"\u061c\u200e\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    port + digit for port in ("COM", "LPT") for digit in "0123456789\u00b9\u00b2\u00b3"
}


def assigned_code_points() -> list[int]:
    return [point for first, last in RANGES for point in range(first, last + 1)]


# --- tables --------------------------------------------------------------------------------------


def test_the_table_of_the_specification_is_the_one_in_the_code() -> None:
    assert [(a, b - 1) for a, b in zip(BOUNDS[::2], BOUNDS[1::2], strict=True)] == RANGES
    assert list(BOUNDS) == sorted(set(BOUNDS))


def test_the_table_has_as_many_characters_as_unicode_14_0() -> None:
    points = assigned_code_points()
    assert len(points) == ASSIGNED
    assert not any(0xD800 <= point <= 0xDFFF for point in points)
    inside = set(points)
    edges = {bound + step for bound in BOUNDS for step in (-1, 0) if bound + step >= 0}
    assert all(is_assigned(chr(point)) == (point in inside) for point in edges)
    assert not is_assigned("\ud800")
    assert not is_assigned("\U0010ffff")


def test_every_python_folds_and_composes_the_assigned_characters_alike() -> None:
    """Unicode promises it of the characters that 14.0 assigns. If this fails, this Python's tables
    break the promise, and a release could be safe on one machine and refused on another.
    """
    table = hashlib.sha256()
    for point in assigned_code_points():
        char = chr(point)
        facts = (
            unicodedata.normalize("NFC", char),
            unicodedata.normalize("NFD", char),
            fold(char),
            str(unicodedata.combining(char)),
            str(unicodedata.category(char) == "Cc"),
        )
        table.update(";".join((f"{point:X}", *facts)).encode() + b"\n")
    assert table.hexdigest() == ("b7b946fc582701b87245999e94705bcd1087b2ca25bbf1e0a29684848249eb18")


# --- the rules -----------------------------------------------------------------------------------


def plainly_safe(path: str) -> bool:
    """Section 3.2, read from top to bottom."""
    raw = path.encode("utf-8", "surrogatepass")
    return len(raw) <= 4096 and all(plainly_safe_part(part) for part in path.split("/"))


def plainly_safe_part(part: str) -> bool:
    if not part or part in (".", "..") or part.endswith((".", " ")):
        return False
    for char in part:
        point = ord(char)
        if char in "\\:" or char in BIDI or point < 0x20 or 0x7F <= point <= 0x9F:
            return False
        if not any(first <= point <= last for first, last in RANGES):
            return False
    stem = part.partition(".")[0].rstrip(" ")
    upper = "".join(c.upper() if c.isascii() else c for c in stem)
    if upper in DEVICES or unicodedata.normalize("NFC", part) != part:
        return False
    return len(part.encode()) <= 255


_TRICKY = st.sampled_from(
    ["con", "CoM1", "lpt\u00b2", "NUL.", "aux .x", "conin$", "..", ".", " ", "\\", ":", "e\u0301",
     "\u212b", "\u202e", "\x7f", "\u0378", "\ufdd0", "\ud800", "a", "\u00e9", "-", "\u0131"]
)  # fmt: skip


@given(st.text() | st.lists(_TRICKY, min_size=1, max_size=4).map("".join))
@example("a/b")
@example("con.txt/a")
@example("COM\u00b9")
@example("CON\u0131N$")
def test_a_path_is_safe_if_and_only_if_the_rules_say_so(path: str) -> None:
    try:
        check_path(path)
    except FormatError:
        assert not plainly_safe(path)
    else:
        assert plainly_safe(path)


@given(st.text(st.characters(max_codepoint=0x2FFFF), min_size=1, max_size=3))
def test_characters_are_allowed_by_the_table_alone(path: str) -> None:
    try:
        check_path(path)
    except FormatError:
        assert not plainly_safe(path)
    else:
        assert plainly_safe(path)


@given(safe_paths)
def test_a_safe_path_reaches_nothing_outside(path: str) -> None:
    parts = check_path(path)
    assert "/".join(parts) == path
    assert not {"", ".", ".."} & set(parts)
    assert "\0" not in path
    assert "\\" not in path
    assert not path.startswith("/")


@given(st.text(max_size=30))
def test_folding_is_caseless_and_blind_to_unicode_form(name: str) -> None:
    folded = fold(name)
    assert fold(folded) == folded
    assert fold(unicodedata.normalize("NFD", name)) == folded
    assert fold(unicodedata.normalize("NFC", name)) == folded
    assert fold(name.casefold()) == folded


@pytest.mark.parametrize("sign", ["a", "\u00e9", "\u65e5", "\U0001f600"])
def test_lengths_are_counted_in_bytes(sign: str) -> None:
    width = len(sign.encode())
    longest = sign * (255 // width)
    assert check_path(longest) == [longest]
    with pytest.raises(LimitExceeded):
        check_path(longest + sign)
    folders = "f/" * ((4096 - 1) // 2)
    assert len(check_path(folders + "f")) == 2048
    with pytest.raises(LimitExceeded):
        check_path(folders + sign * 3)
