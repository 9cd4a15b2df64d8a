"""A folder filled with what is missing in it, from whoever has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from integrity.client.meter import Meter
from integrity.client.receiving import Entries, Receiver
from integrity.core.cid import Cid
from integrity.disk.remembered import Stats
from integrity.disk.safetree import SafeTree
from integrity.fetch.engine import Fetcher
from integrity.fetch.plan import batches
from integrity.fetch.tallies import failure
from integrity.ports import Report


@dataclass(frozen=True, slots=True)
class Filled:
    """The files' stats, the paths of files that are too many, and what was put right."""

    stats: Stats
    extra: list[str]
    pieces: int
    bytes: int


def fill(
    root: Path,
    entries: Entries,
    content: Cid,
    size: int,
    fetcher: Fetcher,
    report: Report | None,
    *,
    clear: bool,
) -> Filled:
    """Fetch into a folder whatever of these files, of ``size`` bytes in all, is not right in it.

    ``clear`` takes away what does not belong there. Raises SourcesLied, SourcesUnavailable, UnsafePath
    or DiskError; what was verified until then is in its place.
    """
    with SafeTree(root) as tree, Receiver(tree, entries) as receiver:
        extra = receiver.scan(report, clear=clear)
        before, present = _given(fetcher), receiver.bytes
        meter = Meter(fetcher, report, lambda: receiver.bytes, size)
        fetcher.run(lambda: batches(receiver.lacks(), content), receiver, meter.look)
        missing = fetcher.missing
        if missing is not None:
            what = f"pieces are missing, {missing.path!r} piece {missing.index} for one"
            raise failure(fetcher.tallies, what)
        meter.finish()
        stats = receiver.complete()
        return Filled(stats, extra, _given(fetcher) - before, receiver.bytes - present)


def _given(fetcher: Fetcher) -> int:
    return sum(tally.pieces for tally in fetcher.tallies)
