"""A Kubo daemon as a source of blocks: its own, and those that it finds."""

from __future__ import annotations

import threading

from integrity.core.anycid import raw_cid_of_key
from integrity.errors import IpfsRefused, IpfsUnavailable, SourceError
from integrity.ipfs.kubo import Kubo
from integrity.sources.blockwise import Blockwise


class DaemonSource(Blockwise):
    """Safe to use from several threads, which get a connection each."""

    def __init__(self, api: str | None = None) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._opened: list[Kubo] = [Kubo(api)]
        self._local.kubo = self._opened[0]
        self.name = f"ipfs {self._opened[0].api}"

    def close(self) -> None:
        with self._lock:
            for kubo in self._opened:
                kubo.close()

    def read(self, digest: bytes, buffer: memoryview) -> int:
        """See :class:`Blockwise`."""
        try:
            return self._kubo().block(raw_cid_of_key(digest), buffer)
        except (IpfsUnavailable, IpfsRefused) as error:
            raise SourceError(f"{self.name}: {error.message}") from error

    def _kubo(self) -> Kubo:
        found: Kubo | None = getattr(self._local, "kubo", None)
        if found is None:
            found = Kubo(self._opened[0].api)
            self._local.kubo = found
            with self._lock:
                self._opened.append(found)
        return found
