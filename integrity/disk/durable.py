"""What was written is on the disk, or is not believed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from integrity.disk import system


def make_durable(folder: Path) -> None:
    """Sync all that was written in a folder. Raises OSError.

    A system that could not write a page may take it for written from then on, and a later sync
    succeeds without it (Linux does so). After a failure the files are therefore dropped from memory:
    whoever hashes them next sees what the disk has.
    """
    try:
        system.sync_file_system(os.fspath(folder))
    except OSError:
        _drop(folder)
        raise


def _drop(folder: Path) -> None:
    if not hasattr(os, "posix_fadvise"):
        return
    for _, _, names, fd in os.fwalk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                file = system.open_read(name, dir_fd=fd)
                try:
                    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(file)
