"""A download takes the place of a folder that stands there, and that one is never mistaken for it.

Both have names in the download's own folder on the way: ``old`` is the folder that stood there,
``gone`` is what may be deleted of it. ``old-N`` is the download, of inode N, that is about to change
places; once it has, the other one has that name, and another inode.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from integrity.disk.system import exchange, sync_directory

_PASSING = re.compile(r"old-([0-9]+)")
_OLD, _GONE = "old", "gone"


def is_name(name: str) -> bool:
    """Whether an entry of the download's folder belongs to this."""
    return name in {_OLD, _GONE} or _PASSING.fullmatch(name) is not None


def replace(tree: Path, target: Path, may_go: Callable[[Path], bool], warnings: list[str]) -> None:
    """Let the tree and the target change places, in one step where the system can. What stood there
    is deleted if ``may_go`` says so of where it is then; else it is put beside, which is a warning.
    Raises OSError: before the change with the tree under its name.
    """
    old = _changed(tree, target)
    sync_directory(os.fspath(target.parent))
    if may_go(old):
        gone = old.with_name(_GONE)
        os.rename(old, gone)
        _delete(gone, warnings)
    else:
        warnings.append(_put_aside(old, target))


def settle(part: Path, tree: Path, target: Path, warnings: list[str]) -> None:
    """Bring to an end what a run left behind that was killed. Raises OSError."""
    for name in sorted(os.listdir(part)):
        left = part / name
        passing = _PASSING.fullmatch(name)
        if name == _GONE:
            _delete(left, warnings)
        elif passing is not None and left.lstat().st_ino == int(passing[1]):
            os.rename(left, tree)
        elif name == _OLD and not os.path.lexists(target):
            os.rename(left, target)
        elif is_name(name):
            warnings.append(_put_aside(left, target))


def _changed(tree: Path, target: Path) -> Path:
    """-> where the old one is now."""
    passing = tree.with_name(f"{_OLD}-{tree.lstat().st_ino}")
    os.rename(tree, passing)
    try:
        if exchange(os.fspath(passing), os.fspath(target)):
            return passing
    except OSError:
        os.rename(passing, tree)
        raise
    os.rename(passing, tree)
    old = tree.with_name(_OLD)
    os.rename(target, old)
    try:
        os.rename(tree, target)
    except OSError:
        os.rename(old, target)
        raise
    return old


def _delete(gone: Path, warnings: list[str]) -> None:
    try:
        shutil.rmtree(gone)
    except OSError as error:
        why = error.strerror or error
        warnings.append(f"what stood there before is still in {str(gone)!r}, in part: {why}")


def _put_aside(old: Path, target: Path) -> str:
    """-> what to tell of it."""
    for number in itertools.count(1):
        name = f"{target.name}.old" + (f"-{number}" if number > 1 else "")
        beside = target.with_name(name)
        if not os.path.lexists(beside):
            os.rename(old, beside)
            break
    return (
        f"what stood there before is now {str(beside)!r}: it is not just what was downloaded there, and "
        "something of it may be yours"
    )
