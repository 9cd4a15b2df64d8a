"""A folder filled with what is missing in it, from whoever has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from integrity.core.cid import Cid
from integrity.core.manifest import FileEntry
from integrity.disk.remembered import Stats
from integrity.disk.safetree import SafeTree
from integrity.downloading.meter import Meter
from integrity.downloading.receiving import Entries, Receiver
from integrity.fetch.engine import Fetcher
from integrity.fetch.plan import Lack, batches
from integrity.fetch.pool import Batch
from integrity.fetch.tallies import failure
from integrity.ports import FileHolder, Report


@dataclass(frozen=True, slots=True)
class Filled:
    """The files' stats now, and those from before they were hashed (None unless all were right); the
    paths of files that are too many; the bytes that were right before any source was asked; what was
    put right: pieces, their bytes, and ``mended`` lengths and execute bits of files.
    """

    stats: Stats
    before: Stats | None
    extra: list[str]
    present: int
    pieces: int
    bytes: int
    mended: int
    warnings: list[str]


def fill(
    root: Path,
    scratch: Path,
    entries: Entries,
    content: Cid,
    size: int,
    fetcher: Fetcher,
    report: Report | None,
    *,
    clear: bool,
    release: Entries | None = None,
) -> Filled:
    """Fetch into a folder whatever of these files, of ``size`` bytes in all, is not right in it. All the
    release's files are ``release``, if these are only some. ``scratch`` is ours, on the same file system.

    ``clear`` takes away what does not belong there, and takes files that can be had at no cost before
    they are checked: it is for a folder that is nobody's yet. Raises SourcesLied, SourcesUnavailable,
    UnsafePath or DiskError; what was verified until then is in its place.
    """
    with SafeTree(root) as tree, Receiver(tree, entries, scratch) as receiver:
        if clear:
            sources = [tally.source for tally in fetcher.tallies]
            receiver.clone_from([source for source in sources if isinstance(source, FileHolder)])
        extra = receiver.scan(report, clear=clear)
        had, present = _given(fetcher), receiver.bytes
        meter = Meter(fetcher, report, lambda: receiver.bytes, size)
        plan = partial(_planned, receiver, release, content)
        fetcher.run(plan, receiver, meter.look)
        missing = fetcher.missing
        if missing is not None:
            what = f"pieces are missing, {missing.path!r} piece {missing.index} for one"
            raise failure(fetcher.tallies, what)
        meter.finish()
        stats = receiver.complete()
        return Filled(
            stats,
            receiver.before,
            extra,
            present,
            _given(fetcher) - had,
            receiver.bytes - present,
            receiver.mended,
            _warnings(receiver.bits),
        )


def _warnings(bits: int) -> list[str]:
    if not bits:
        return []
    what = "a file is" if bits == 1 else f"{bits:,} files are"
    return [
        f"this file system keeps no execute bits: {what} executable, or not, other than in the release"
    ]


def _planned(receiver: Receiver, release: Entries | None, content: Cid) -> Iterator[Batch]:
    """The batches of what is missing. What else a folder of the release has counts too: it decides
    whether all of the folder is asked for.
    """
    lacks = receiver.lacks()
    return batches(lacks if release is None else _among(lacks, release()), content)


def _among(lacks: Iterator[Lack], release: Iterator[FileEntry]) -> Iterator[Lack]:
    """The same, and between them the files that are not asked for, of which nothing is missing."""
    lack = next(lacks, None)
    for entry in release:
        if lack is not None and lack.entry.path == entry.path:
            yield lack
            lack = next(lacks, None)
        else:
            yield Lack(entry, 0, [])


def _given(fetcher: Fetcher) -> int:
    return sum(tally.pieces for tally in fetcher.tallies)
