"""Small files that must be whole or not there at all, and locks between processes."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import select
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import filelock

from integrity.disk.system import open_read, sync_directory
from integrity.errors import DiskError, LimitExceeded, Locked, PathRefused, UsageError

_CHUNK = 1 << 20


def absolute(path: Path) -> Path:
    """The absolute path, without ``..``: where one is, links before it are followed, as the system does."""
    whole = path.absolute()
    if ".." not in whole.parts:
        return whole
    return whole.resolve() if whole.name == ".." else whole.parent.resolve() / whole.name


def named(path: Path) -> Path:
    """The same of what has a name, which others beside it are made of. Raises UsageError for the root of a
    file system, which has none.
    """
    whole = absolute(path)
    if not whole.name:
        raise UsageError(
            f"{str(path)!r} is the root of the file system, and has no name",
            next="Name a folder or a file in it.",
        )
    return whole


def read_chunks(path: str | os.PathLike[str], *, pipes: bool = False) -> Iterator[bytes]:
    """A file's bytes. OSError as from the system, and for whatever is no regular file: nobody may ever write
    into a pipe. With ``pipes`` one is read, up to its end; one that nobody writes into is empty.
    """
    fd = open_read(path, follow=True)
    try:
        mode = os.fstat(fd).st_mode
        if (
            not pipes and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
        ):  # which has its own words
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        while True:
            try:
                chunk = os.read(fd, _CHUNK)
            except BlockingIOError:  # nothing is in the pipe yet
                select.select([fd], [], [])
                continue
            if not chunk:
                return
            yield chunk
    finally:
        os.close(fd)


def read_small(path: str | os.PathLike[str], limit: int, *, pipes: bool = False) -> bytes:
    """All that :func:`read_chunks` gives. Raises OSError, or LimitExceeded above ``limit`` bytes."""
    data = bytearray()
    for chunk in read_chunks(path, pipes=pipes):
        data += chunk
        if len(data) > limit:
            raise LimitExceeded(
                f"{os.fspath(path)} has more than {limit:,} bytes",
                next="Look whether it is the file you meant.",
            )
    return bytes(data)


def write_whole(path: Path, data: bytes, *, private: bool = False) -> None:
    """:func:`write_parts` of something small."""
    write_parts(path, (data,), private=private)


def write_parts(path: Path, parts: Iterable[bytes], *, private: bool = False) -> None:
    """Put the parts, one after another, at ``path`` durably and in one step; ``private`` makes it its
    owner's only.

    Raises DiskError; what stood there before is then untouched.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        fd = os.open(part, flags, 0o600 if private else 0o666)
        try:
            with os.fdopen(fd, "wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
        sync_directory(os.fspath(path.parent))
    except OSError as error:
        raise DiskError(f"cannot write {path}: {error.strerror or error}") from error


def write_new(path: Path, parts: Iterable[bytes | memoryview], *, replace: bool = False) -> int:
    """Put the parts into a file that appears as a whole -> its bytes. Folders on the way are made.

    Raises PathRefused when something stands there, unless it is a file that is to be replaced,
    DiskError, and whatever the parts raise.
    """
    if os.path.lexists(path) and (not replace or not path.is_file()):
        raise _in_the_way(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                size = sum(file.write(data) for data in parts)
                file.flush()
                os.fsync(file.fileno())
            if not replace:
                _reserve(part, path)
            os.replace(part, path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink()
        sync_directory(os.fspath(path.absolute().parent))
    except FileExistsError as error:
        raise _in_the_way(path) from error
    except OSError as error:
        raise DiskError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    return size


def _reserve(part: Path, path: Path) -> None:
    """Have the name, so that what takes it next takes nobody else's. Raises FileExistsError."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # no hard links on this file system: for a moment it is an empty file
        path.open("xb").close()


def _in_the_way(path: Path) -> PathRefused:
    return PathRefused(f"{str(path)!r} exists", next="Name another file with -o.")


@contextlib.contextmanager
def locked(path: Path, seconds: float, busy: str) -> Iterator[None]:
    """Hold the lock of this file, which is made in a folder of its owner's only and stays there.

    Raises Locked, with ``busy`` for what the other process does, when it is not to be had in that
    many seconds, or DiskError. The lock of a process that was killed is gone with it.
    """
    lock = filelock.FileLock(path, timeout=seconds, mode=0o600)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire()
    except filelock.Timeout as error:
        raise Locked(f"another process {busy}") from error
    except OSError as error:
        raise DiskError(f"cannot use {path.parent}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
