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
from collections.abc import Iterator
from pathlib import Path

from integrity.disk import system
from integrity.errors import DiskError, UnsafePath

_LINK_ERRORS = {errno.ELOOP, errno.ENOTDIR, errno.EMLINK}


class SafeTree:
    """A folder and what is below it; use as a context manager. ``path`` arguments are safe paths."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._fd: int | None = None

    def __enter__(self) -> SafeTree:
        if system.HAS_DIR_FD:
            with self._translated(""):
                self._fd = system.open_directory(os.fspath(self.root))
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def open_read(self, path: str) -> int:
        """A descriptor of a regular file. Raises UnsafePath for a link on the way, OSError else."""
        with self._parent(path, make=False) as (name, fd):
            descriptor = system.open_read(name, dir_fd=fd)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UnsafePath(f"{path!r} is not a regular file", evidence={"path": path})
        return descriptor

    def open_write(self, path: str, size: int) -> int:
        """A descriptor for writing a file of ``size`` bytes, which it has from then on; folders on
        the way are made.
        """
        with self._translated(path), self._parent(path, make=True) as (name, fd):
            descriptor = system.open_write(name, dir_fd=fd)
        try:
            with self._translated(path):
                if os.fstat(descriptor).st_size != size:
                    os.ftruncate(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def write_file(self, path: str, data: memoryview) -> None:
        """Write all of a file, new or not; folders on the way are made."""
        with self._translated(path), self._parent(path, make=True) as (name, fd):
            try:
                descriptor = system.create(name, dir_fd=fd)
            except FileExistsError:
                descriptor = system.open_write(name, dir_fd=fd)
                os.ftruncate(descriptor, len(data))
            try:
                system.write_at(descriptor, data, 0)
            finally:
                os.close(descriptor)

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
            with self._parent(path, make=False) as (name, fd):
                return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError:
            return None

    def remove(self, path: str) -> None:
        """Delete a file, a link or a folder with all in it, and the folders above that are empty then.

        What is not there is fine.
        """
        with (
            self._translated(path),
            contextlib.suppress(FileNotFoundError),
            self._parent(path, make=False) as (name, fd),
        ):
            if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=fd)
            else:
                os.unlink(name, dir_fd=fd)
        while "/" in path:
            path = path.rpartition("/")[0]
            try:
                with self._parent(path, make=False) as (name, fd):
                    os.rmdir(name, dir_fd=fd)
            except OSError:
                return

    @contextlib.contextmanager
    def _parent(self, path: str, *, make: bool) -> Iterator[tuple[str, int | None]]:
        """The last part, and a descriptor of the folder it is in."""
        *folders, name = path.split("/")
        if not {"", ".", ".."}.isdisjoint((*folders, name)):
            raise UnsafePath(f"{path!r} does not stay in its folder", evidence={"path": path})
        if self._fd is None:
            yield self._checked(folders, name, make=make), None
            return
        held: list[int] = []
        try:
            fd = self._fd
            for folder in folders:
                fd = self._descend(folder, fd, path, make=make)
                held.append(fd)
            yield name, fd
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _link(path) from error
            raise
        finally:
            for descriptor in held:
                os.close(descriptor)

    def _descend(self, folder: str, parent: int, path: str, *, make: bool) -> int:
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

    def _checked(self, folders: list[str], name: str, *, make: bool) -> str:
        """Without directory descriptors (Windows): look at every part before it is used."""
        where = self.root
        for folder in folders:
            where = where / folder
            if make:
                where.mkdir(exist_ok=True)
            if where.is_symlink():
                raise _link("/".join((*folders, name)))
        if (where / name).is_symlink():
            raise _link("/".join((*folders, name)))
        return os.fspath(where / name)

    @contextlib.contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _LINK_ERRORS:
                raise _link(path) from error
            where = self.root / path if path else self.root
            raise write_refused(where, error, path) from error


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
