"""Files of a tree that are written to in pieces, on several threads, few of them open at a time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from integrity.disk.safetree import SafeTree

_KEPT_OPEN = 64


@dataclass(slots=True)
class _File:
    fd: int
    users: int = 0


class OpenFiles:
    """Opens each file when it is first written to, and closes those that were not used for longest."""

    def __init__(self, tree: SafeTree) -> None:
        self._tree = tree
        self._lock = threading.Lock()
        self._files: dict[str, _File] = {}

    def close(self) -> None:
        """Close all that nobody writes to."""
        with self._lock:
            self._close_idle(0)

    @contextlib.contextmanager
    def writing(self, path: str, size: int) -> Iterator[int]:
        """A file of ``size`` bytes, of which a part is written now. Raises DiskError or UnsafePath."""
        file = self._take(path, size)
        try:
            yield file.fd
        finally:
            with self._lock:
                file.users -= 1
                self._close_idle(_KEPT_OPEN)

    def _take(self, path: str, size: int) -> _File:
        with self._lock:
            file = self._files.pop(path, None)
            if file is None:
                file = _File(self._tree.open_write(path, size))
            self._files[path] = file  # the last one is the one used last
            file.users += 1
            return file

    def _close_idle(self, most: int) -> None:
        for path, file in list(self._files.items()):
            if len(self._files) <= most:
                return
            if not file.users:
                del self._files[path]
                os.close(file.fd)
