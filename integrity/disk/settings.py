"""Files of settings: TOML that people write, and that programs change without losing a comment."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from integrity.disk.files import locked, write_whole
from integrity.errors import UsageError

_LOCK_SECONDS = 30


def changing(path: Path) -> contextlib.AbstractContextManager[None]:
    """Around reading, changing and writing a file of settings, one process at a time: no change gets
    lost. Raises Locked or DiskError.
    """
    lock = path.with_name(f".{path.name}.lock")
    return locked(lock, _LOCK_SECONDS, f"is changing {path}")


def subtable(parent: Any, name: str, *, is_super_table: bool = False) -> Any:
    """The table of this name inside another one, made in the other's own style if it is not there."""
    import tomlkit  # only those who write need it
    from tomlkit.items import InlineTable

    if name not in parent:
        inline = isinstance(parent, InlineTable)
        parent[name] = (
            tomlkit.inline_table() if inline else tomlkit.table(is_super_table=is_super_table)
        )
    return parent[name]


def put(parent: Any, name: str, values: Mapping[str, Any]) -> None:
    """Set what a table inside another one says; a new one is set off from what comes after it."""
    import tomlkit  # only those who write need it
    from tomlkit.items import InlineTable

    is_new = name not in parent
    table = subtable(parent, name)
    table.update(values)
    if is_new and not isinstance(table, InlineTable):
        table.add(tomlkit.nl())


def write_settings(path: Path, text: str) -> None:
    """Write a file of settings, its owner's only: an RPC's URL can hold a key. A symbolic link to
    it stays one.
    """
    data = (text.rstrip("\n") + "\n").encode() if text.strip("\n") else b""
    write_whole(Path(os.path.realpath(path)), data, private=True)


def read_text(path: Path) -> str:
    """A text file's content, empty when it is not there; raises UsageError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {path}: {reason}") from error


def load_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dictionary, empty when it is not there; raises UsageError."""
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise broken(path, f"is not TOML: {error}") from error
    except RecursionError:
        raise broken(path, "is nested too deep") from None


def broken(path: Path, what: str) -> UsageError:
    """The error for a file that says what it must not."""
    return UsageError(f"{path} {what}", next="Mend the file, or move it away to start anew.")
