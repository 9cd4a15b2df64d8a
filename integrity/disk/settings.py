"""Files of settings: TOML that people write, and that programs change without losing a comment."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from integrity.disk.files import locked, write_whole
from integrity.disk.sidecars import read_chunks
from integrity.errors import UsageError

SETTINGS_LIMIT = 4 << 20
"""Bytes of a file of settings, or of releases: some ten thousand publishers."""

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


def read_text(path: Path, limit: int = SETTINGS_LIMIT) -> str:
    """A text file's content, empty when it is not there; raises UsageError, also above ``limit`` bytes and
    for whatever is no regular file.
    """
    data = bytearray()
    try:
        for chunk in read_chunks(path):
            data += chunk
            if len(data) > limit:
                raise UsageError(
                    f"cannot read {path}: it has more than {limit:,} bytes",
                    next="Look whether it is the file you meant.",
                )
        return data.decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise UsageError(
            f"cannot read {path}: byte {error.start} is not UTF-8", next="Save it as UTF-8."
        ) from None
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror or error}",
            next="Look whether it is the file you meant, and who may read it.",
        ) from error


_MEND = "Mend the file, or move it away to start anew."


def load_toml(path: Path, mend: str = _MEND) -> dict[str, Any]:
    """A TOML file as a dictionary, empty when it is not there; raises UsageError, which says to ``mend``."""
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise broken(path, f"is not TOML: {error}", mend) from error
    except RecursionError:
        raise broken(path, "is nested too deep", mend) from None


def broken(path: Path, what: str, mend: str = _MEND) -> UsageError:
    """The error for a file that says what it must not."""
    return UsageError(f"{path} {what}", next=mend)
