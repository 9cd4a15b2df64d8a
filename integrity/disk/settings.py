"""Files of settings: TOML that people write, and that programs change without losing a comment."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from types import MappingProxyType
from typing import Any

from integrity.disk.files import locked, read_small, write_whole
from integrity.disk.tomllines import Keys, comments, without
from integrity.errors import LimitExceeded, UsageError

SETTINGS_LIMIT = 4 << 20
"""Bytes of a file of settings, or of releases: some ten thousand publishers."""

_LOCK_SECONDS = 30

_MEND = "Mend the file, or move it away to start anew."

_TOO_DEEP = "is nested too deep"
_DEPTH_LIMIT = 64


def changing(path: Path) -> contextlib.AbstractContextManager[None]:
    """Around reading, changing and writing a file of settings, one process at a time: no change gets
    lost. Raises Locked or DiskError.
    """
    lock = path.with_name(f".{path.name}.lock")
    return locked(lock, _LOCK_SECONDS, f"is changing {path}")


def change_settings(
    path: Path, check: Callable[[dict[str, Any]], object],
    tables: Mapping[Keys, Mapping[str, Any]] = MappingProxyType({}), gone: Keys = (),
) -> None:  # fmt: skip
    """Set what ``tables`` say, each by its keys from the root, and take ``gone`` out; nothing else that the
    file says changes. ``check`` raises UsageError for a document that must not be written.

    Comments on lines of their own stay, but those between the lines of what is taken out.

    Raises UsageError, and writes nothing, when the file is written in a way that cannot be changed so.
    """
    text = read_text(path)
    meant = _changed(_parse(path, text, _MEND), tables, gone)
    check(meant)
    for way in _WAYS:
        try:
            new = _ended(way(text, tables, gone))
            is_meant = _is_same(_without_empty(tomllib.loads(new), gone), meant)
            is_meant = is_meant and comments(text, gone) <= comments(new)
        except Exception:  # noqa: BLE001, S112 - whatever tomlkit stumbles over, the next way is tried
            continue
        if is_meant:
            _write(path, new)
            return
    raise UsageError(
        f"{path} is written in a way that cannot be changed here without changing what else it says",
        next=_by_hand(tables, gone),
    )


def _changed(
    document: dict[str, Any], tables: Mapping[Keys, Mapping[str, Any]], gone: Keys
) -> dict[str, Any]:
    """What the file has to say afterwards."""
    document = deepcopy(document)
    for keys, values in tables.items():
        table = document
        for key in keys:
            table = table.setdefault(key, {})
        table.update(values)
    _take_out(document, gone)
    return _without_empty(document, gone)


def _take_out(document: Any, gone: Keys) -> None:
    """Delete what stands there, of TOML as a dictionary or as tomlkit has it."""
    if not gone:
        return
    for key in gone[:-1]:
        document = document[key]
    del document[gone[-1]]


def _without_empty(document: dict[str, Any], gone: Keys) -> dict[str, Any]:
    """The document without a table that only what is gone was in: to have it says nothing."""
    if gone and document.get(gone[0]) == {}:
        del document[gone[0]]
    return document


def _is_same(one: object, other: object) -> bool:
    """Whether two documents say the same; 1, 1.0 and true are three things."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return type(one) is type(other) and one == other


def _by_lines(text: str, _: Mapping[Keys, Mapping[str, Any]], gone: Keys) -> str:
    """The text without the lines of what is gone: tomlkit takes the comments along that come after them."""
    return without(text, gone) if gone else text


def _in_place(text: str, tables: Mapping[Keys, Mapping[str, Any]], gone: Keys) -> str:
    """The text with the change where it belongs, in the style of what is there."""
    import tomlkit  # only those who write need it

    document = tomlkit.parse(text)
    for keys, values in tables.items():
        if not keys:
            document.update(values)
            continue
        parent: Any = document
        for key in keys[:-1]:
            parent = _subtable(parent, key, is_super_table=True)
        _put(parent, keys[-1], values)
    _take_out(document, gone)
    return tomlkit.dumps(document)


def _around(text: str, tables: Mapping[Keys, Mapping[str, Any]], gone: Keys) -> str:
    """The text with new settings above and new tables below it, where they are in nobody's way."""
    import tomlkit  # only those who write need it

    old = tomllib.loads(text)
    above, below, inside = "", "", {}
    for keys, values in tables.items():
        known = old
        for key in keys:
            known = known.get(key, {})
        if keys and not known:
            lines = "".join(_line((name,), value) for name, value in values.items())
            below += f"\n[{tomlkit.key(keys).as_string()}]\n{lines}"
        elif keys:
            inside[keys] = values
        else:
            inside[keys] = {name: value for name, value in values.items() if name in old}
            above += "".join(_line((name,), values[name]) for name in values if name not in old)
    text = _ended(_in_place(text, inside, gone))
    return above + text + below if above or text else below.lstrip("\n")


_WAYS = (_by_lines, _in_place, _around)
"""Of changing a text, the nicest one first. tomlkit puts a new table beside its like, even where the lines
after it belong to the root, and so would come to be the new table's.
"""


def _line(keys: Keys, value: Any) -> str:
    import tomlkit  # only those who write need it

    if isinstance(value, Mapping):
        table = tomlkit.inline_table()
        table.update(value)
        value = table
    return f"{tomlkit.key(keys).as_string()} = {tomlkit.item(value).as_string()}\n"


def _by_hand(tables: Mapping[Keys, Mapping[str, Any]], gone: Keys) -> str:
    if gone:
        return f"Take {'.'.join(gone)} out of it yourself."
    lines = [_line((*keys, key), one) for keys, said in tables.items() for key, one in said.items()]
    return f"Write it yourself, above the first [table]: {'; '.join(lines)}".replace("\n", "")


def _subtable(parent: Any, name: str, *, is_super_table: bool = False) -> Any:
    """The table of this name inside another one, made in the other's own style if it is not there."""
    import tomlkit  # only those who write need it
    from tomlkit.items import InlineTable

    if name not in parent:
        inline = isinstance(parent, InlineTable)
        parent[name] = (
            tomlkit.inline_table() if inline else tomlkit.table(is_super_table=is_super_table)
        )
    return parent[name]


def _put(parent: Any, name: str, values: Mapping[str, Any]) -> None:
    """Set what a table inside another one says; a new one is set off from what comes after it."""
    import tomlkit  # only those who write need it
    from tomlkit.items import InlineTable

    is_new = name not in parent
    table = _subtable(parent, name)
    table.update(values)
    if is_new and not isinstance(table, InlineTable):
        table.add(tomlkit.nl())


def _ended(text: str) -> str:
    """The text with one newline at its end, if it has anything."""
    return text.rstrip("\n") + "\n" if text.strip("\n") else ""


def _write(path: Path, text: str) -> None:
    """Write a file of settings, its owner's only: an RPC's URL can hold a key. A symbolic link to
    it stays one. Raises UsageError for one that could not be read again.
    """
    data = text.encode()
    if len(data) > SETTINGS_LIMIT:
        raise UsageError(
            f"{path} would have more than {SETTINGS_LIMIT:,} bytes",
            next="Take something out first.",
        )
    write_whole(Path(os.path.realpath(path)), data, private=True)


def read_text(path: Path, limit: int = SETTINGS_LIMIT) -> str:
    """A text file's content, empty when it is not there; raises UsageError, also above ``limit`` bytes and
    for whatever is no regular file.
    """
    try:
        return read_small(path, limit).decode("utf-8")
    except FileNotFoundError:
        return ""
    except LimitExceeded as error:
        raise UsageError(f"cannot read {error.message}", next=error.next) from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"cannot read {path}: byte {error.start} is not UTF-8", next="Save it as UTF-8."
        ) from None
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror or error}",
            next="Look whether it is the file you meant, and who may read it.",
        ) from error


def load_toml(path: Path, mend: str = _MEND) -> dict[str, Any]:
    """A TOML file as a dictionary, empty when it is not there; raises UsageError, which says to ``mend``."""
    return _parse(path, read_text(path), mend)


def _parse(path: Path, text: str, mend: str) -> dict[str, Any]:
    too_large = "has a number of more than 64 bits, which TOML does not know"
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise broken(path, f"is not TOML: {error}", mend) from error
    except ValueError:  # Python reads no number of some thousand digits
        raise broken(path, too_large, mend) from None
    except RecursionError:
        raise broken(path, _TOO_DEEP, mend) from None
    # Dotted keys nest without any limit, and 0xfff… has none either: whoever shows such a value would fail.
    level: list[object] = [document]
    for _ in range(_DEPTH_LIMIT):
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
                raise broken(path, too_large, mend)
        level = inner
    if level:
        raise broken(path, _TOO_DEEP, mend)
    return document


def broken(path: Path, what: str, mend: str = _MEND) -> UsageError:
    """The error for a file that says what it must not."""
    return UsageError(f"{path} {what}", next=mend)
