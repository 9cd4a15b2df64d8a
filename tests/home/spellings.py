"""The many ways in which TOML writes one document, as people do."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

ABOVE = "# above "
"""What a comment above a table begins with; the table's header follows, and nothing else."""

Table = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]


def above_tables(text: str, but: str | None = None) -> Counter[str]:
    """The comments above tables, without those above an alias's own."""
    lines = (line for line in text.splitlines() if line.startswith(ABOVE))
    own = ["publishers", but]
    return Counter(
        line for line in lines if line[len(ABOVE) :].replace('"', "").split(".")[:2] != own
    )


@st.composite
def spellings(draw: Draw, document: Table) -> str:
    """Text that means the document: dotted keys, inline tables and headers, in any order, with comments."""
    lines, sections = _spell(draw, document, ())
    text = _lines(draw, lines)
    for header, body in draw(st.permutations(sections)):
        mark = f"{ABOVE}{header}\n"
        above = draw(
            st.sampled_from([mark, f"\n{mark}", f"\n{mark}# [parked]\n\n", f"\r\n{mark}", ""])
        )
        comment = draw(st.sampled_from(["", "  # of this one"]))
        text += f"{above}[{header}]{comment}\n{_lines(draw, body)}"
    if draw(st.booleans()):
        text = text.rstrip("\n")
    try:
        assume(tomllib.loads(text) == document)
    except tomllib.TOMLDecodeError:
        assume(False)
    return text


def _lines(draw: Draw, lines: list[str]) -> str:
    lines = draw(st.permutations(lines))
    ends = st.sampled_from(["\n", "\n\n", " # so\n", "\n# about what follows\n", "\r\n"])
    return "".join(line + draw(ends) for line in lines)


def _spell(
    draw: Draw, table: Table, where: tuple[str, ...]
) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """(the lines of this table, the tables with headers of their own)."""
    lines, sections = [], []
    for name, value in table.items():
        key = draw(st.sampled_from([name, f'"{name}"']))
        how = draw(st.sampled_from(["inline", "dotted", "header", "header"]))
        if not isinstance(value, dict) or how == "inline":
            lines.append(f"{key} = {_inline(value)}")
            continue
        inner, further = _spell(draw, value, (*where, key))
        sections += further
        if how == "dotted":
            lines += [f"{key}.{line}" for line in inner]
        elif inner or not further or draw(st.booleans()):
            sections.append((".".join((*where, key)), inner))
    return lines, sections


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_inline(one)}" for name, one in value.items()) + "}"
    return json.dumps(value)
