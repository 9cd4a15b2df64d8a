"""Limits on how fast is fetched."""

from __future__ import annotations

import threading
import time


class RateLimit:
    """So many bytes a second for everybody who shares it; safe to use from several threads.

    What was not used for a while is lost but for a tenth of a second's worth.
    """

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._lock = threading.Lock()
        self._free_at = 0.0

    def spend(self, count: int, stop: threading.Event) -> None:
        """Returns once ``count`` bytes more may have come, or at once when ``stop`` is set."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - 0.1) + count / self._rate
            wait = self._free_at - now
        if wait > 0:
            stop.wait(wait)
