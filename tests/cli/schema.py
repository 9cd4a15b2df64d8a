"""docs/json.md, read by a machine: what each command's JSON is said to be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from integrity.core.names import checksum_address

DOCUMENT = Path(__file__).parents[2] / "docs" / "json.md"

Fields = dict[str, str]
"""Path of a field, as ``releases[].block.number``, to its type."""

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+?) \|", re.MULTILINE)
_AS = re.compile(r"^As `(integrity [a-z ]+)`(?:\.|, and)$", re.MULTILINE)


def _address(value: str) -> bool:
    found = re.fullmatch(r"0x([0-9a-fA-F]{40})", value)
    return found is not None and checksum_address(bytes.fromhex(found[1])) == value


_TEXTS: dict[str, Callable[[str], bool]] = {
    "text": lambda _: True,
    "digest": lambda v: bool(re.fullmatch("[0-9a-f]{64}", v)),
    "hash": lambda v: bool(re.fullmatch("0x[0-9a-f]{64}", v)),
    "address": _address,
    "cid": lambda v: bool(re.fullmatch("b[a-z2-7]{58}", v)),
    "link": lambda v: bool(re.fullmatch(r"integrity:[0-9]+:0x[0-9a-fA-F]{40}/[^@]+@[^@?#]+", v)),
    "url": lambda v: v.startswith(("http://", "https://")),
    "path": lambda v: Path(v).is_absolute(),
    "wei": str.isdigit,
}


def is_of(value: object, kind: str) -> bool:
    """Whether a value is of a documented type."""
    if " or " in kind:
        return any(is_of(value, one) for one in kind.split(" or "))
    if kind.startswith("list of "):
        inner = kind.removeprefix("list of ")
        return isinstance(value, list) and all(is_of(item, inner) for item in value)
    if kind in {"number", "time"}:
        return type(value) is int and value >= 0
    simple = {"null": value is None, "boolean": isinstance(value, bool)}
    simple["object"] = isinstance(value, dict)
    if kind in simple:
        return simple[kind]
    return isinstance(value, str) and _TEXTS[kind](value)


def sections() -> dict[str, str]:
    """Title of each section of the document to its text."""
    parts = _SECTION.split(DOCUMENT.read_text("utf-8"))
    return {title.strip("`"): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def documented() -> dict[str, Fields]:
    """Each command to its fields, and ``Errors`` to those of the error object."""
    found = {}
    texts = sections()
    for title, text in texts.items():
        same = _AS.search(text)
        rows = dict(_ROW.findall(texts[same[1]] + text if same else text))
        if title.startswith(("integrity ", "--")):
            found[title] = rows
        elif title == "Errors":
            found[title] = {name: kind for name, kind in rows.items() if name.startswith("error")}
    return found


def documented_errors() -> set[tuple[str, str, int]]:
    """(name, family, exit code) of every error in the document."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (\d+) \|$", sections()["Errors"], re.MULTILINE)
    return {(name, family, int(code)) for name, family, code in rows}


def seen(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every field of an answer with its documented path, lists' elements one by one."""
    if isinstance(value, dict):
        for key, item in value.items():
            name = f"{path}.{key}" if path else key
            yield name, item
            if key not in {"evidence", "typed_data"}:  # maps whose keys depend on what they are of
                yield from seen(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from seen(item, path + "[]")


def check(value: dict[str, object], fields: Fields) -> None:
    """Assert that an answer has the documented fields, all of them and no other, of their types."""
    found = list(seen(value))
    for name, item in found:
        assert name in fields, f"{name} is not documented"
        assert is_of(item, fields[name]), f"{name} is {item!r}, not a {fields[name]}"
    names = {name for name, _ in found}
    for name in fields:
        above = name.rpartition(".")[0].removesuffix("[]")
        # A field is missing only below something that is null, or in a list without elements.
        parents = [item for known, item in found if known == above]
        if name not in names:
            assert above, f"{name} is documented and missing"
            assert not any(parents), f"{name} is documented and missing"
