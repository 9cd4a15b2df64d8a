"""What operating systems do differently, each with a portable way beside it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

HAS_DIR_FD = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
# A FIFO or a device put in a file's place must not block the open.
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)

_TIME_LIMIT = 1 << 63

_HERE = -100  # AT_FDCWD
_CLONE = 0x40049409  # FICLONE
_NO_CLONES = {
    errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EACCES,
}  # fmt: skip

_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)

Signature = tuple[int, int, int, int, int]
"""What tells that a file was not touched: size, mtime, ctime (both ns), inode, device."""


def signature(info: os.stat_result) -> Signature:
    """The signature of a file by its stat; all of it fits into integers of 64 bits."""
    # File systems know years beyond 2262, whose nanoseconds do not fit.
    mtime, ctime = info.st_mtime_ns % _TIME_LIMIT, info.st_ctime_ns % _TIME_LIMIT
    return (info.st_size, mtime, ctime, info.st_ino, info.st_dev)


def regular_signature(info: os.stat_result | None) -> Signature | None:
    """The signature of a regular file; None for anything else, or nothing."""
    return signature(info) if info is not None and stat.S_ISREG(info.st_mode) else None


def real_path(path: Path) -> bytes:
    """The absolute path without links, as the system has it: places are compared by it."""
    return os.fsencode(os.path.realpath(path))


def open_read(
    path: str | bytes | os.PathLike[str], *, dir_fd: int | None = None, follow: bool = False
) -> int:
    """A descriptor for reading; a symbolic link at the end is an OSError unless ``follow``."""
    flags = os.O_RDONLY | _CLOEXEC | _BINARY | _NONBLOCK | (0 if follow else NOFOLLOW)
    return os.open(path, flags, dir_fd=dir_fd)


def open_directory(path: str | bytes, *, dir_fd: int | None = None, follow: bool = False) -> int:
    """A descriptor of a directory (POSIX); a symbolic link is an OSError unless ``follow``."""
    flags = os.O_RDONLY | _CLOEXEC | _DIRECTORY | (0 if follow else NOFOLLOW)
    return os.open(path, flags, dir_fd=dir_fd)


def open_write(path: str | bytes, *, dir_fd: int | None = None) -> int:
    """A descriptor for reading and writing, made if it is not there; never through a link."""
    flags = os.O_RDWR | os.O_CREAT | _CLOEXEC | _BINARY | _NONBLOCK | NOFOLLOW
    fd = os.open(path, flags, 0o666, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.ELOOP, "not a regular file", path)
    return fd


def create(path: str | bytes, *, dir_fd: int | None = None) -> int:
    """A descriptor for writing a file that was not there before; FileExistsError if anything was."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CLOEXEC | _BINARY | NOFOLLOW
    return os.open(path, flags, 0o666, dir_fd=dir_fd)


def read_whole(fd: int, size: int) -> bytes:
    """The first ``size`` bytes of a file just opened; fewer only when it has no more."""
    data = os.read(fd, size)
    while 0 < len(data) < size:
        more = os.read(fd, size - len(data))
        if not more:
            break
        data += more
    return data


if hasattr(os, "preadv"):

    def read_at(fd: int, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from ``offset`` -> bytes read, fewer than its size only at the end."""
        done = os.preadv(fd, [buffer], offset)
        while 0 < done < len(buffer):
            more = os.preadv(fd, [buffer[done:]], offset + done)
            if not more:
                break
            done += more
        return done

    def write_at(fd: int, data: memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``."""
        done = os.pwrite(fd, data, offset)
        while done < len(data):
            done += os.pwrite(fd, data[done:], offset + done)

else:  # Windows: no positional reads, so one at a time
    import threading

    _seek_lock = threading.Lock()

    def read_at(fd: int, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from ``offset`` -> bytes read, fewer than its size only at the end."""
        done = 0
        with _seek_lock:
            os.lseek(fd, offset, os.SEEK_SET)
            while done < len(buffer):
                data = os.read(fd, len(buffer) - done)
                if not data:
                    break
                buffer[done : done + len(data)] = data
                done += len(data)
        return done

    def write_at(fd: int, data: memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``."""
        with _seek_lock:
            os.lseek(fd, offset, os.SEEK_SET)
            while data:
                data = data[os.write(fd, data) :]


if hasattr(os, "pread"):

    def read_from(fd: int, length: int, offset: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end."""
        data = os.pread(fd, length, offset)
        while 0 < len(data) < length:
            more = os.pread(fd, length - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

else:

    def read_from(fd: int, length: int, offset: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end."""
        buffer = bytearray(length)
        return bytes(buffer[: read_at(fd, memoryview(buffer), offset)])


if hasattr(os, "RWF_NOWAIT"):

    def read_from_memory(fd: int, buffer: memoryview, offset: int) -> bool:
        """Fill the buffer from ``offset`` if the system has all of it in memory, without waiting for
        a disk -> whether it has. False where that cannot be told: network file systems, tmpfs.
        """
        try:
            return os.preadv(fd, [buffer], offset, os.RWF_NOWAIT) == len(buffer)
        except OSError:
            return False

else:

    def read_from_memory(fd: int, buffer: memoryview, offset: int) -> bool:  # noqa: ARG001
        """Whether the system could be asked what it has in memory: not here."""
        return False


if sys.platform == "linux":
    import fcntl

    def clone(source: int, target: int) -> bool:
        """Let an open file share all bytes of another one, as XFS, Btrfs and others can -> whether it
        does now. Raises OSError when that fails where it is known (ioctl_ficlone(2)).
        """
        try:
            fcntl.ioctl(target, _CLONE, source)
        except OSError as error:
            if error.errno in _NO_CLONES:
                return False
            raise
        return True

else:

    def clone(source: int, target: int) -> bool:  # noqa: ARG001
        """Whether files could be made to share their bytes: not here."""
        return False


def sync_file_system(path: str) -> None:
    """Make everything written on the file system of ``path`` durable; raises OSError."""
    if sys.platform == "linux":
        fd = os.open(path, os.O_RDONLY | _CLOEXEC)
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.syncfs(fd) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), path)
        finally:
            os.close(fd)
    elif hasattr(os, "sync"):
        os.sync()


def exchange(one: str, other: str) -> bool:
    """Give each of two folders the other's name in one step -> whether the system knows how; raises
    OSError.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    if done == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.EINVAL, errno.ENOSYS}:
        return False
    raise OSError(code, os.strerror(code), other)


def keeps_execute_bits(folder: Path) -> bool:
    """Whether a file in this folder can be made executable or not, as FAT's cannot; a file is made there
    and removed to find out. Raises OSError.
    """
    probe = folder / "probe"
    try:
        os.close(create(os.fspath(probe)))
        for mode in (0o600, 0o700):
            probe.chmod(mode)
            if probe.stat().st_mode & stat.S_IXUSR != mode & stat.S_IXUSR:
                return False
        return True
    except PermissionError:
        return False
    finally:
        probe.unlink(missing_ok=True)


def sync_directory(path: str) -> None:
    """Make a rename inside ``path`` durable, where directories can be synced at all."""
    if os.name == "posix":
        fd = open_directory(path, follow=True)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextlib.contextmanager
def private_umask() -> Iterator[None]:
    """New files are for their owner only."""
    old = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(old)
