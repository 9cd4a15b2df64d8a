"""Limits on how fast is fetched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_FREE = 0.1


class RateLimit:
    """So many bytes a second for everybody who shares it; safe to use from several threads.

    What was not used for a while is lost but for a tenth of a second's worth.
    """

    def __init__(
        self, bytes_per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = 0.0

    def spend(self, count: int) -> None:
        """Note that ``count`` bytes have come."""
        with self._lock:
            self._free_at = max(self._free_at, self._clock() - _FREE) + count / self._rate

    def delay(self) -> float:
        """In how many seconds more may come."""
        with self._lock:
            return max(0.0, self._free_at - self._clock())
