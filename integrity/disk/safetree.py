"""Files below one folder, reached without ever following a symbolic link.

Every open walks from the folder's own descriptor, one part at a time, so a directory that is
swapped for a link in the middle of a run leads nowhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

from integrity.disk import system
from integrity.errors import DiskError, UnsafePath

_LINK_ERRORS = {errno.ELOOP, errno.ENOTDIR, errno.EMLINK}
_NOWHERE = frozenset(("", ".", ".."))


class SafeTree:
    """A folder and what is below it; use as a context manager. ``path`` arguments are safe paths.

    Safe to use from several threads. Each keeps the folder open that it was in last, as files come
    folder by folder; :meth:`look_anew` forgets them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._fd: int | None = None
        self._folders: dict[int, tuple[str, int]] = {}

    def __enter__(self) -> SafeTree:
        if system.HAS_DIR_FD:
            try:
                self._fd = system.open_directory(os.fspath(self.root))
            except OSError as error:
                raise self._refused("", error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.look_anew()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def look_anew(self) -> None:
        """From here on every folder is looked up again: what stands under its name now counts. No
        other thread may use the tree meanwhile.
        """
        for _, fd in self._folders.values():
            os.close(fd)
        self._folders.clear()

    def open_read(self, path: str) -> int:
        """A descriptor of a regular file. Raises UnsafePath for a link on the way, OSError else."""
        name, fd = self._place(path, make=False)
        try:
            descriptor = system.open_read(name, dir_fd=fd)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _link(path) from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UnsafePath(f"{path!r} is not a regular file", evidence={"path": path})
        return descriptor

    def open_write(self, path: str, size: int) -> int:
        """A descriptor for writing a file of ``size`` bytes, which it has from then on; folders on
        the way are made.
        """
        try:
            name, fd = self._place(path, make=True)
            descriptor = system.open_write(name, dir_fd=fd)
            try:
                if os.fstat(descriptor).st_size != size:
                    os.ftruncate(descriptor, size)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise self._refused(path, error) from error
        return descriptor

    def write_file(self, path: str, data: memoryview) -> None:
        """Write all of a file, new or not; folders on the way are made."""
        try:
            name, fd = self._place(path, make=True)
            try:
                descriptor = system.create(name, dir_fd=fd)
            except FileExistsError:
                descriptor = system.open_write(name, dir_fd=fd)
                os.ftruncate(descriptor, len(data))
            try:
                system.write_at(descriptor, data, 0)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._refused(path, error) from error

    def set_executable(self, path: str, *, executable: bool) -> None:
        """Give a file the x bits its manifest says, where there are such bits. Raises UnsafePath for
        a link on the way, OSError else.
        """
        if os.name != "posix":
            return
        fd = self.open_read(path)
        try:
            mode = stat.S_IMODE(os.fstat(fd).st_mode)
            # Whoever may read it may run it.
            os.fchmod(fd, mode | (mode & 0o444) >> 2 if executable else mode & ~0o111)
        finally:
            os.close(fd)

    def stat(self, path: str) -> os.stat_result | None:
        """The file's own stat, never a link's target's; None when it is not there. Raises UnsafePath
        for a link on the way.
        """
        try:
            name, fd = self._place(path, make=False)
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError:
            return None

    def remove(self, path: str) -> None:
        """Delete a file, a link or a folder with all in it, and the folders above that are empty then.

        What is not there is fine. Nothing is deleted in a folder that was moved away meanwhile.
        """
        self._forget()
        try:
            name, fd = self._place(path, make=False)
            if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=fd)
            else:
                os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._refused(path, error) from error
        while "/" in path:
            path = path.rpartition("/")[0]
            self._forget()
            try:
                name, fd = self._place(path, make=False)
                os.rmdir(name, dir_fd=fd)
            except OSError:
                return

    def _place(self, path: str, *, make: bool) -> tuple[str, int | None]:
        """The last part, and a descriptor of the folder it is in, good until this thread asks for
        another. Raises UnsafePath for a link on the way, OSError else.
        """
        folder, _, name = path.rpartition("/")
        if name in _NOWHERE or (not folder and len(name) < len(path)):
            raise _stray(path)
        if self._fd is None:
            return self._checked(path.split("/"), make=make), None
        if not folder:
            return name, self._fd
        held = self._folders.get(threading.get_ident())
        if held is not None and held[0] == folder:
            return name, held[1]
        fd = self._descend(folder.split("/"), path, make=make)
        self._forget()
        self._folders[threading.get_ident()] = folder, fd
        return name, fd

    def _forget(self) -> None:
        """Close the folder that this thread was in last."""
        held = self._folders.pop(threading.get_ident(), None)
        if held is not None:
            os.close(held[1])

    def _descend(self, folders: Sequence[str], path: str, *, make: bool) -> int:
        """A new descriptor of a folder that is below the root."""
        if not _NOWHERE.isdisjoint(folders):
            raise _stray(path)
        assert self._fd is not None
        fd = self._fd
        for folder in folders:
            try:
                below = _enter(folder, fd, path, make=make)
            finally:
                if fd != self._fd:
                    os.close(fd)
            fd = below
        return fd

    def _checked(self, parts: list[str], *, make: bool) -> str:
        """Without directory descriptors (Windows): look at every part before it is used."""
        if not _NOWHERE.isdisjoint(parts):
            raise _stray("/".join(parts))
        where = self.root
        for folder in parts[:-1]:
            where = where / folder
            if make:
                where.mkdir(exist_ok=True)
            if where.is_symlink():
                raise _link("/".join(parts))
        if (where / parts[-1]).is_symlink():
            raise _link("/".join(parts))
        return os.fspath(where / parts[-1])

    def _refused(self, path: str, error: OSError) -> UnsafePath | DiskError:
        if error.errno in _LINK_ERRORS:
            return _link(path or os.fspath(self.root))
        return write_refused(self.root / path if path else self.root, error, path)


def _enter(folder: str, parent: int, path: str, *, make: bool) -> int:
    for _ in range(2):
        try:
            return system.open_directory(folder, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, dir_fd=parent)
        except OSError as error:
            if error.errno in _LINK_ERRORS:
                raise _link(path) from error
            raise
    raise _link(path)


def write_refused(where: str | Path, error: OSError, path: str | None = None) -> DiskError:
    """What the disk said, of a download that stays where it is; ``path`` is the release's file."""
    return DiskError(
        f"cannot write {os.fspath(where)!r}: {error.strerror or error}",
        next=(
            "Make room or mend the permissions, then run the same command again: it resumes with "
            "what was verified so far."
        ),
        evidence={} if path is None else {"path": path},
    )


def _link(path: str) -> UnsafePath:
    return UnsafePath(
        f"a part of {path!r} is a symbolic link or no folder; nothing was written through it",
        next="Find out who put it there, remove it, and run the same command again.",
        evidence={"path": path},
    )


def _stray(path: str) -> UnsafePath:
    return UnsafePath(f"{path!r} does not stay in its folder", evidence={"path": path})
