"""The folder beside the target in which a download grows until it is whole.

``OUT.part/tree`` holds the files, ``OUT.part/lock`` says who works on them. The tree is renamed to
``OUT`` in one step once everything in it is verified and durable; until then OUT is not touched.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import filelock

from integrity.disk.durable import make_durable
from integrity.disk.safetree import write_refused
from integrity.disk.system import exchange, sync_directory
from integrity.errors import Locked, PathRefused, UnsafePath

_OURS = {"lock", "tree", "old"}


class Staging:
    """Use as a context manager; what is in the tree stays when it is left without finishing."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._part = target.with_name(target.name + ".part")
        self.tree = self._part / "tree"
        self._lock_file = self._part / "lock"
        self._lock = filelock.FileLock(self._lock_file, timeout=0)
        self._old = self._part / "old"
        self._identity = (0, 0)
        self.warnings: list[str] = []

    def __enter__(self) -> Staging:
        try:
            if self._part.is_symlink() or (self._part.exists() and not self._part.is_dir()):
                raise PathRefused(f"{str(self._part)!r} is in the way, and is not a folder of ours")
            self._part.mkdir(parents=True, exist_ok=True)
            self._check_ours()
            self._lock.acquire()
            if os.path.lexists(self._old):  # a run was killed between an exchange and its end
                self._put_aside()
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
        foreign = names - _OURS if "lock" in names else names
        if foreign:
            raise PathRefused(
                f"{str(self._part)!r} holds {min(foreign)!r}, which is not ours",
                next="Move that folder away, or choose another target with -o.",
            )

    def _holds_something(self) -> bool:
        if os.path.lexists(self._old):
            return True
        try:
            return any(self.tree.iterdir())
        except OSError:
            return False

    def finish(self) -> None:
        """Make the tree durable, then give it its final name. Nothing is lost when it raises
        DiskError, or UnsafePath because something else was put in the tree's place.
        """
        try:
            self._make_durable()
            if os.name != "posix" and self.target.is_dir():
                self.target.rmdir()  # Windows does not rename onto an empty folder
            os.rename(self.tree, self.target)
            sync_directory(os.fspath(self.target.parent))
        except OSError as error:
            raise write_refused(self.target, error) from error

    def exchange(self, may_go: Callable[[Path], bool]) -> None:
        """The same where a folder stands already: both change places in one step. The old one is
        deleted if ``may_go`` says so of where it is then; else it is put beside, under a name that a
        warning tells.
        """
        try:
            self._make_durable()
            # Under this name it is never taken for a download that goes on.
            os.rename(self.tree, self._old)
            try:
                exchange(os.fspath(self._old), os.fspath(self.target))
            except OSError:
                os.rename(self._old, self.tree)  # it is still the download
                raise
            sync_directory(os.fspath(self.target.parent))
            if may_go(self._old):
                shutil.rmtree(self._old)
            else:
                self._put_aside()
        except OSError as error:
            raise write_refused(self.target, error) from error

    def _make_durable(self) -> None:
        if _identity(self.tree) != self._identity:
            raise UnsafePath(
                f"{str(self.tree)!r} was replaced by something else during the download",
                next="Find out who did that, remove it, and run the same command again.",
            )
        make_durable(self.tree)

    def _put_aside(self) -> None:
        for number in itertools.count(1):
            name = f"{self.target.name}.old" + (f"-{number}" if number > 1 else "")
            beside = self.target.with_name(name)
            if not os.path.lexists(beside):
                os.rename(self._old, beside)
                self.warnings.append(f"what stood there before is now {str(beside)!r}")
                return

    def _clear(self) -> None:
        with contextlib.suppress(OSError):
            shutil.rmtree(self._part)


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
        if not filled and os.path.ismount(target):
            raise PathRefused(
                f"{str(target)!r} is a mount point, and the finished release could not be put there",
                next="Name a folder inside it with -o.",
            )
        if not filled and target.is_symlink():
            raise PathRefused(
                f"{str(target)!r} is a symbolic link to an empty folder, and would be replaced",
                next="Name the folder itself with -o.",
            )
        return filled
    except OSError as error:
        raise PathRefused(f"cannot look at {str(target)!r}: {error.strerror or error}") from error
