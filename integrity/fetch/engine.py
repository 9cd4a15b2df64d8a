"""Takes pieces from sources on several threads and hands on those that verify.

A piece that does not verify is blamed on the source that sent it, which is dropped; the piece is
asked for elsewhere. A source that merely fails is tried again for other pieces, a few times.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from integrity.core.pieces import PIECE_SIZE
from integrity.errors import (
    IntegrityError,
    ManifestInvalid,
    SourceError,
    SourcesLied,
    SourcesUnavailable,
)
from integrity.ports import Source
from integrity.verifier.content import step7_piece

_FAILURES = 8
_CAUSES = 20


@dataclass(frozen=True, slots=True)
class Want:
    """One block that is missing. ``length`` is None when only its digest is known; it then has at
    most one piece's bytes. ``keep`` is called, on any thread, with bytes that verified.
    """

    path: str
    index: int
    digest: bytes
    length: int | None
    keep: Callable[[memoryview], None]


@dataclass(slots=True)
class SourceTally:
    """What one source did; ``lie`` is the evidence of the piece for which it was dropped."""

    source: Source
    bytes: int = 0
    pieces: int = 0
    rejected: int = 0
    failures: int = 0
    causes: list[str] = field(default_factory=list)
    lie: dict[str, object] | None = None

    @property
    def usable(self) -> bool:
        return self.lie is None and self.failures < _FAILURES


class Fetcher:
    """Use :meth:`run` for any number of rounds; the tallies add up."""

    def __init__(self, sources: Sequence[Source], threads: int) -> None:
        self.tallies = [SourceTally(source) for source in sources]
        self.missing: list[tuple[str, int]] = []
        self._threads = threads
        self._lock = threading.Lock()
        self._idle = threading.Condition()
        self._keeping = 0
        self._stop = threading.Event()
        self._error: BaseException | None = None

    def run(self, wants: Iterator[Want], on_piece: Callable[[Want], None]) -> None:
        """Fetch every piece of ``wants``; ``on_piece`` is told of each one kept.

        Raises what ``keep`` or ``wants`` raised, KeyboardInterrupt, and ManifestInvalid when a want's
        length is not that of its digest's bytes; nothing is kept or asked of
        ``wants`` from then on, even while a source keeps its thread waiting. Pieces that nobody gave
        are in ``missing``.
        """
        threads = [
            threading.Thread(
                target=self._work, args=(wants, on_piece), name=f"fetch-{n}", daemon=True
            )
            for n in range(self._threads)
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive() and not self._stop.is_set():
                    thread.join(0.2)
        except BaseException:
            self._halt()
            raise
        if self._error is not None:
            self._halt()
            raise self._error

    def _halt(self) -> None:
        """From here on nothing is kept. Threads that wait for a source are left to themselves."""
        self._stop.set()
        with self._lock, self._idle:  # whoever takes the next want, or keeps a piece, ends first
            self._idle.wait_for(lambda: self._keeping == 0)

    def _work(self, wants: Iterator[Want], on_piece: Callable[[Want], None]) -> None:
        # One byte more than a piece: so a source that sends too much shows itself.
        buffer = memoryview(bytearray(PIECE_SIZE + 1))
        first = 0
        try:
            while not self._stop.is_set():
                with self._lock:
                    want = None if self._stop.is_set() else next(wants, None)
                if want is None:
                    return
                served = self._fetch(want, buffer, first)
                if served is None:
                    with self._lock:
                        self.missing.append((want.path, want.index))
                    if not any(tally.usable for tally in self.tallies):
                        return
                else:
                    first = served
                    on_piece(want)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            with self._lock:
                self._error = self._error or error
            self._stop.set()

    def _fetch(self, want: Want, buffer: memoryview, first: int) -> int | None:
        """Ask the usable sources in turn, the one that served last first -> which one served."""
        for step in range(len(self.tallies)):
            number = (first + step) % len(self.tallies)
            tally = self.tallies[number]
            if self._stop.is_set():
                break
            if tally.usable and self._try(tally, want, buffer):
                return number
        return None

    def _try(self, tally: SourceTally, want: Want, buffer: memoryview) -> bool:
        try:
            limit = PIECE_SIZE if want.length is None else want.length
            got = tally.source.read(want.digest, buffer[: limit + 1])
        except SourceError as error:
            self._failed(tally, error)
            return False
        actual = step7_piece(buffer[:got], want.digest)
        if actual is not None:
            self._blame(tally, want, got, actual)
            return False
        if want.length not in {None, got}:
            raise ManifestInvalid(
                f"{want.path!r} piece {want.index} is said to have {want.length} bytes, "
                f"but what has its digest has {got}",
                evidence={
                    "path": want.path,
                    "piece": want.index,
                    "expected": want.length,
                    "actual": got,
                },
            )
        if not self._keep(want, buffer[:got]):
            return False
        with self._lock:
            tally.bytes += got
            tally.pieces += 1
        return True

    def _keep(self, want: Want, data: memoryview) -> bool:
        """Whether it was kept: not once this run has halted."""
        with self._idle:
            if self._stop.is_set():
                return False
            self._keeping += 1
        try:
            want.keep(data)
        finally:
            with self._idle:
                self._keeping -= 1
                self._idle.notify_all()
        return True

    def _failed(self, tally: SourceTally, error: SourceError) -> None:
        with self._lock:
            tally.failures += 1
            if error.message not in tally.causes and len(tally.causes) < _CAUSES:
                tally.causes.append(error.message)

    def _blame(self, tally: SourceTally, want: Want, got: int, actual: bytes) -> None:
        with self._lock:
            tally.rejected += 1
            tally.lie = tally.lie or {
                "source": tally.source.name,
                "path": want.path,
                "piece": want.index,
                "expected": want.digest.hex(),
                "actual": actual.hex(),
                "length": got,
            }


def failure(tallies: Sequence[SourceTally], what: str) -> IntegrityError:
    """Why ``what`` could not be fetched: SourcesLied with the evidence, or SourcesUnavailable."""
    lies = [tally.lie for tally in tallies if tally.lie is not None]
    causes = [cause for tally in tallies for cause in tally.causes]
    causes += [
        f"{lie['source']}: sent wrong bytes for {lie['path']} piece {lie['piece']}" for lie in lies
    ]
    if lies:
        liars = ", ".join(str(lie["source"]) for lie in lies)
        return SourcesLied(
            f"{what}: {liars} sent wrong bytes, and no honest source is left",
            evidence=lies[0],
            causes=causes,
        )
    return SourcesUnavailable(f"{what}: no source gave it", causes=causes)
