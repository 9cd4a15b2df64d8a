"""Temporary data: the core's scratch port over a file, and a folder for the files of one job."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO

from integrity.errors import DiskError

if sys.platform != "win32":
    import fcntl


class TemporaryFolder:
    """A folder below ``base`` (None: the system's) for one job; use as a context manager.

    It is cleared away at the end. What a killed process left below the same base is cleared away by
    the next one that makes a folder there: as long as its process lives, a folder is locked.
    """

    def __init__(self, base: Path | None) -> None:
        self._base = base
        self._fd = -1
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        assert self._path is not None, "a temporary folder is used outside its with"
        return self._path

    def __enter__(self) -> Path:
        try:
            if self._base is not None:
                for left in self._base.glob(f"{_PREFIX}*"):
                    _clear_if_left(left)
            while self._path is None:
                made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._base))
                with contextlib.suppress(BlockingIOError, FileNotFoundError):
                    self._fd = _lock(made)
                    # Another process may have taken it for a leftover just before.
                    self._path = made if made.exists() else None
        except OSError as error:
            raise DiskError(f"no room for temporary data: {error.strerror or error}") from error
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._path = None
        if self._fd >= 0:
            os.close(self._fd)


_PREFIX = "job-"


def _lock(folder: Path) -> int:
    """Lock a folder -> the descriptor that holds the lock, -1 where folders cannot be locked.
    Raises BlockingIOError when another process has locked it.
    """
    if sys.platform == "win32":
        return -1
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise
    except OSError:  # a file system that knows no locks
        os.close(fd)
        return -1
    return fd


def _clear_if_left(folder: Path) -> None:
    with contextlib.suppress(OSError):
        fd = _lock(folder)
        if fd >= 0:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(fd)


class TemporaryScratch:
    """Use as a context manager; the file is made at the first byte and gone at the end."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._size = 0

    def __enter__(self) -> TemporaryScratch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, data: bytes) -> int:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed at the end
            offset = self._size
            self._file.seek(offset)
            self._file.write(data)
            self._size += len(data)
        except OSError as error:
            raise DiskError(f"no room for temporary data: {error.strerror or error}") from error
        return offset

    def read(self, offset: int, size: int) -> bytes:
        if self._file is None:
            return b""
        try:
            self._file.seek(offset)
            return self._file.read(size)
        except OSError as error:
            raise DiskError(f"temporary data cannot be read: {error.strerror or error}") from error
