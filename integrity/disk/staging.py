"""The folder beside the target in which a download grows until it is whole.

``OUT.part/tree`` holds the files, ``OUT.part/lock`` says who works on them. The tree is renamed to
``OUT`` in one step once everything in it is verified and durable; until then OUT is not touched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import filelock

from integrity.disk import replacing
from integrity.disk.durable import make_durable
from integrity.disk.safetree import write_refused
from integrity.disk.system import sync_directory
from integrity.errors import DiskError, Locked, PathRefused, UnsafePath

_PART = ".part"
_OURS = {"lock", "tree", "probe"}
_STANDS = frozenset((errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR))


class Staging:
    """Use as a context manager; what is in the tree stays when it is left without finishing."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.tree = tree_of(target)
        self._part = self.tree.parent
        self._lock_file = self._part / "lock"
        self._lock = filelock.FileLock(self._lock_file, timeout=0)
        self._identity = (0, 0)
        self.warnings: list[str] = []

    def __enter__(self) -> Staging:
        try:
            if self._part.is_symlink() or (self._part.exists() and not self._part.is_dir()):
                raise PathRefused(f"{str(self._part)!r} is in the way, and is not a folder of ours")
            self._part.mkdir(parents=True, exist_ok=True)
            self._check_ours()
            self._lock.acquire()
            replacing.settle(self._part, self.tree, self.target, self.warnings)
            if self.tree.is_symlink():
                raise PathRefused(f"{str(self.tree)!r} is a symbolic link; remove it")
            self.tree.mkdir(exist_ok=True)
            self._identity = _identity(self.tree)
        except filelock.Timeout as error:
            raise Locked(f"another process is downloading into {str(self.target)!r}") from error
        except OSError as error:
            self._lock.release()
            raise write_refused(self._part, error) from error
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # Cleared away while the lock is held, so that nobody else's work is taken for leftovers.
        if not self._holds_something() and os.name == "posix":
            self._clear()
        self._lock.release()
        if self._holds_something():
            # Some systems take the lock's file away; it also says that the folder is ours.
            with contextlib.suppress(OSError):
                self._lock_file.touch()
        elif os.name != "posix":
            self._clear()

    def _check_ours(self) -> None:
        """Somebody's own folder that happens to have our names must not be cleared out."""
        names = set(os.listdir(self._part))
        ours = {name for name in names if name in _OURS or replacing.is_name(name)}
        foreign = names - ours if "lock" in names else names
        if foreign:
            raise PathRefused(
                f"{str(self._part)!r} holds {min(foreign)!r}, which is not ours",
                next="Move that folder away, or choose another target with -o.",
            )

    def _holds_something(self) -> bool:
        try:
            left = set(os.listdir(self._part)) - _OURS
            return bool(left) or any(self.tree.iterdir())
        except OSError:
            return False

    def finish(self) -> None:
        """Make the tree durable, then give it its final name. Nothing is lost when it raises
        DiskError, PathRefused because something stands there by now, or UnsafePath because something
        else was put in the tree's place.
        """
        try:
            self._make_durable()
            if os.name != "posix" and self.target.is_dir():
                self.target.rmdir()  # Windows does not rename onto an empty folder
            os.rename(self.tree, self.target)
            sync_directory(os.fspath(self.target.parent))
        except OSError as error:
            if error.errno in _STANDS:
                raise PathRefused(
                    f"something was put at {str(self.target)!r} during the download",
                    next="Move it away, or have it replaced with --replace; what was downloaded is kept.",
                ) from error
            raise write_refused(self.target, error) from error

    def exchange(self, may_go: Callable[[Path], bool]) -> None:
        """The same where a folder stands already: both change places in one step. The old one is
        deleted if ``may_go`` says so of where it is then; else it is put beside, under a name that a
        warning tells.
        """
        try:
            self._make_durable()
            replacing.replace(self.tree, self.target, may_go, self.warnings)
        except OSError as error:
            raise write_refused(self.target, error) from error

    def _make_durable(self) -> None:
        if _identity(self.tree) != self._identity:
            raise UnsafePath(
                f"{str(self.tree)!r} was replaced by something else during the download",
                next="Find out who did that, remove it, and run the same command again.",
            )
        make_durable(self.tree)

    def _clear(self) -> None:
        with contextlib.suppress(OSError):
            shutil.rmtree(self._part)


def tree_of(target: Path) -> Path:
    """Where a target grows."""
    return target.with_name(target.name + _PART) / "tree"


def is_unfinished(folder: bytes) -> bool:
    """Whether a folder is one in which a download grows, so that not all of it has to be there."""
    part, name = os.path.split(folder)
    return name == b"tree" and part.endswith(_PART.encode()) and os.path.lexists(part + b"/lock")


def settle(target: Path) -> list[str]:
    """Bring to an end what an earlier run did not, which was killed while it replaced a folder -> what is
    to be told of it. What cannot be, and what another process works on, is left for the download.
    """
    with contextlib.suppress(DiskError, Locked, PathRefused):
        if os.path.lexists(tree_of(target).parent):
            with Staging(target) as staging:
                return staging.warnings
    return []


def _identity(folder: Path) -> tuple[int, int]:
    info = folder.lstat()
    return info.st_dev, info.st_ino


def check_target(target: Path) -> bool:
    """Whether the target is a folder with something in it. Raises PathRefused for anything else
    that stands there, as it would have to be overwritten.
    """
    try:
        if target.is_symlink() and not target.exists():
            raise PathRefused(f"{str(target)!r} is a symbolic link that leads nowhere")
        if not target.exists():
            return False
        if not target.is_dir():
            raise PathRefused(
                f"{str(target)!r} is a file, and a release is a folder",
                next="Choose another folder with -o.",
            )
        filled = any(target.iterdir())
        if not filled:
            _check_renamed_over(target)
        return filled
    except OSError as error:
        raise PathRefused(f"cannot look at {str(target)!r}: {error.strerror or error}") from error


def check_replaceable(target: Path) -> None:
    """Raises PathRefused when a folder that stands at the target cannot change places with another."""
    _check_renamed_over(target)
    if not os.access(target, os.W_OK):
        raise PathRefused(
            f"{str(target)!r} may not be written, and could not be replaced",
            next="Mend its permissions, or name another folder with -o.",
        )


def _check_renamed_over(target: Path) -> None:
    if target.is_symlink():
        raise PathRefused(
            f"{str(target)!r} is a symbolic link, which would be replaced and not its folder",
            next="Name the folder itself with -o.",
        )
    if os.path.ismount(target):
        raise PathRefused(
            f"{str(target)!r} is a mount point, and the finished release could not be put there",
            next="Name a folder inside it with -o.",
        )
