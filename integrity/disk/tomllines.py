"""The lines of a TOML text: what each one says, and the text without those of one table."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

Keys = tuple[str, ...]
"""Where something stands in a document: the keys from its root."""

_BASIC = r'"(?:\\.|[^"\\\n])*"'
_LITERAL = r"'[^'\n]*'"
_KEY = re.compile(rf"(?:{_BASIC}|{_LITERAL}|[^\"'=\]\n])+")
_BARE = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_HEADER = re.compile(r"[ \t]*\[\[?")
_PART = re.compile(
    # Of a string of several lines, one or two quotation marks before the last three are its own.
    rf'"""(?:\\.|[^\\])*?""""{{0,2}}|\'\'\'.*?\'\'\'\'{{0,2}}|{_BASIC}|{_LITERAL}'
    r"|#[^\n]*|[\[\]{}\n]|[^\"'#\[\]{}\n]+",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A header, a setting, a comment or an empty line, with its newline. ``keys`` say from the root what a
    header or a setting is of; the others have none.
    """

    text: str
    keys: Keys = ()
    is_header: bool = False

    @property
    def is_empty(self) -> bool:
        return not self.text.strip()

    @property
    def is_comment(self) -> bool:
        return not self.keys and not self.is_empty

    def is_of(self, table: Keys) -> bool:
        return bool(table) and self.keys[: len(table)] == table


def without(text: str, gone: Keys) -> str:
    """A TOML text without what stands at these keys, its subtables and the comments between its own lines;
    every other line stays as it is. What is in an inline table with others stays, too.

    Raises ValueError for what is no TOML.
    """
    kept: list[_Piece] = []
    was_cut = False
    for piece, is_gone in _marked(text, gone):
        if is_gone:
            was_cut = True
            continue
        if was_cut and piece.is_empty and (not kept or kept[-1].is_empty):
            continue  # the empty line before it is enough
        if was_cut and not piece.is_empty and kept and kept[-1].is_comment:
            # It was above what is gone, and is not about what comes next.
            kept.append(_Piece("\r\n" if kept[-1].text.endswith("\r\n") else "\n"))
        was_cut = False
        kept.append(piece)
    return "".join(piece.text for piece in kept)


def comments(text: str, gone: Keys = ()) -> Counter[str]:
    """The comments on lines of their own that :func:`without` leaves, each with how often it is there.
    Raises ValueError.
    """
    return Counter(
        piece.text.strip()
        for piece, is_gone in _marked(text, gone)
        if piece.is_comment and not is_gone
    )


def _marked(text: str, gone: Keys) -> Iterator[tuple[_Piece, bool]]:
    """Each piece, and whether it belongs to what is gone: comments and empty lines do between two of its
    lines, but not above a header nor below the last setting.
    """
    between: list[_Piece] = []
    is_inside = False
    for piece in _pieces(text):
        if not piece.keys:
            between.append(piece)
            continue
        is_gone = piece.is_of(gone)
        yield from ((one, is_inside and is_gone and not piece.is_header) for one in between)
        yield piece, is_gone
        is_inside = is_gone
        between = []
    yield from ((one, False) for one in between)


def _pieces(text: str) -> Iterator[_Piece]:
    table: Keys = ()
    start = 0
    while start < len(text):
        end = _end(text, start)
        piece = text[start:end]
        if not piece.strip() or piece.lstrip().startswith("#"):
            yield _Piece(piece)
        elif header := _HEADER.match(piece):
            table = _keys(piece, header.end())
            yield _Piece(piece, table, is_header=True)
        else:
            yield _Piece(piece, table + _keys(piece, 0))
        start = end


def _end(text: str, start: int) -> int:
    """Where the line ends that begins here, and all lines that its value goes on in."""
    depth = 0
    while start < len(text):
        part = _PART.match(text, start)
        if part is None:
            raise ValueError("not TOML")
        start = part.end()
        if (what := part[0]) in "[{":
            depth += 1
        elif what in "]}":
            depth -= 1
        elif what == "\n" and depth == 0:
            break
    return start


def _keys(piece: str, start: int) -> Keys:
    """The keys that a header or a setting begins with."""
    found = _KEY.match(piece, start)
    if found is None:
        raise ValueError("not TOML")
    key = found[0].strip()
    if _BARE.fullmatch(key):
        return tuple(key.split("."))
    keys = []
    value = tomllib.loads(f"{key} = 0")
    while isinstance(value, dict):
        ((name, value),) = value.items()
        keys.append(name)
    return tuple(keys)
