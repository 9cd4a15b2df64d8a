"""How fast a download goes, in all and from each source."""

from __future__ import annotations

import time
from collections.abc import Callable

from integrity.fetch.engine import Fetcher
from integrity.ports import Progress, Report, SourceProgress

_SECONDS = 0.2
_MEMORY = 3.0
"""Seconds over which a speed is taken."""


class Meter:
    """Reports what a fetcher does; ``done`` tells how many of the ``total`` bytes are there."""

    def __init__(
        self, fetcher: Fetcher, report: Report | None, done: Callable[[], int], total: int
    ) -> None:
        self._tallies = fetcher.tallies
        self._report = report
        self._done = done
        self._total = total
        self._next = 0.0
        self._seen: list[tuple[float, list[int]]] = []

    def look(self) -> None:
        """Report, if the last time is some while ago."""
        now = time.monotonic()
        if self._report is None or now < self._next:
            return
        self._next = now + _SECONDS
        self._seen.append((now, [tally.bytes for tally in self._tallies]))
        while self._seen[0][0] < now - _MEMORY:
            del self._seen[0]
        self._report(self._progress())

    def finish(self) -> None:
        """Report that all is there."""
        if self._report is not None:
            self._report(Progress("fetching", self._total, self._total))

    def _progress(self) -> Progress:
        (since, before), (now, _) = self._seen[0], self._seen[-1]
        seconds = max(now - since, _SECONDS)
        sources = tuple(
            SourceProgress(
                tally.source.name, tally.bytes, (tally.bytes - was) / seconds, tally.rejected
            )
            for tally, was in zip(self._tallies, before, strict=True)
        )
        return Progress("fetching", self._done(), self._total, sources=sources)
