"""The core's scratch port over an unnamed temporary file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType

from integrity.errors import DiskError


class TemporaryScratch:
    """Use as a context manager; the file is made at the first byte and gone at the end."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._file: tempfile._TemporaryFileWrapper[bytes] | None = None
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
                self._file = tempfile.NamedTemporaryFile(dir=self._folder)  # noqa: SIM115 - closed at the end
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
