"""Small files that must be whole or not there at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from integrity.disk.system import sync_directory
from integrity.errors import DiskError


def write_whole(path: Path, data: bytes, *, private: bool = False) -> None:
    """Put ``data`` at ``path`` durably and in one step; ``private`` makes it its owner's only.

    Raises DiskError; what stood there before is then untouched.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        fd = os.open(part, flags, 0o600 if private else 0o666)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
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
