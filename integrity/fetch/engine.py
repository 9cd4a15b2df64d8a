"""Takes pieces from sources on many threads and hands on those that verify.

A piece that does not verify is blamed on the source that sent it, which is dropped; the piece is
asked for elsewhere. A source that merely fails is tried again after a pause (see the scheduler).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from integrity.core.pieces import PIECE_SIZE
from integrity.errors import ManifestInvalid, SourceError
from integrity.fetch.limits import RateLimit
from integrity.fetch.pool import Batch
from integrity.fetch.scheduler import Flight, Lane, Policy, Scheduler
from integrity.fetch.tallies import SourceTally
from integrity.ports import Piece, Source
from integrity.verifier.content import step7_piece

_CONNECTIONS = 64
_LOOK = 0.1
_BUSY = 0.8
"""Cores' worth of this process's own work from which it, and not the network, sets the pace."""


class Sink(Protocol):
    """Where pieces go that verified."""

    def keep(self, piece: Piece, data: memoryview) -> None:
        """Called on any thread, once for a piece; what it raises ends the run."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """How to fetch: ``limit`` is for all sources together, ``limit_each`` for each one, both in bytes
    a second and None for no limit.
    """

    limit: float | None = None
    limit_each: float | None = None
    policy: Policy = field(default_factory=Policy)


class Fetcher:
    """Use :meth:`run` for any number of rounds; the tallies add up."""

    def __init__(self, sources: Sequence[Source], terms: Terms | None = None) -> None:
        terms = terms or Terms()
        self.tallies = [SourceTally(source) for source in sources]
        self.missing: Piece | None = None
        self._policy = terms.policy
        self._limit = None if terms.limit is None else RateLimit(terms.limit)
        self._limit_each = terms.limit_each
        self._limits: dict[int, RateLimit] = {}

    def add(self, source: Source) -> None:
        """One source more, for the rounds to come."""
        self.tallies.append(SourceTally(source))

    def run(
        self,
        batches: Callable[[], Iterable[Batch]],
        sink: Sink,
        look: Callable[[], None] | None = None,
        *,
        ahead: int | None = None,
    ) -> None:
        """Fetch every piece of ``batches``, which gives what is missing at the time it is called: for
        local sources, and then for the others. ``look`` is called on this thread now and then.

        Raises what ``keep``, ``batches`` or ``look`` raised, KeyboardInterrupt, and ManifestInvalid
        when a piece's length is not that of its digest's bytes; nothing is kept or asked of
        ``batches`` from then on, even while a source keeps its thread waiting. The first piece that
        nobody gave is in ``missing``. At most ``ahead`` pieces beyond the first unfinished one are
        begun.
        """
        local = [tally for tally in self.tallies if tally.source.is_local]
        others = [tally for tally in self.tallies if not tally.source.is_local]
        for tallies in (local, others) if local and others else (self.tallies,):
            lanes = [Lane(tally) for tally in tallies]
            # Closed here: what it reads from must not stay open with a thread that a source holds.
            with contextlib.closing(_stream(batches())) as stream:
                scheduler = Scheduler(lanes, stream, self._policy, ahead)
                _Run(self, scheduler, sink).whole(look)
                self.missing = scheduler.first_missing()

    def limits_of(self, tally: SourceTally) -> list[RateLimit]:
        """What holds for a source."""
        limits = [] if self._limit is None else [self._limit]
        if self._limit_each is not None:
            limits.append(self._limits.setdefault(id(tally), RateLimit(self._limit_each)))
        return limits


def _stream(batches: Iterable[Batch]) -> Generator[Batch, None, None]:
    yield from batches


class _Run:
    """One round: its threads, and what they share."""

    def __init__(self, fetcher: Fetcher, scheduler: Scheduler, sink: Sink) -> None:
        self.scheduler = scheduler
        self.fetcher = fetcher
        self.sink = sink
        self.changed = threading.Condition()
        self.stop = threading.Event()
        self._clocks = time.monotonic(), time.process_time()
        self._error: BaseException | None = None

    def whole(self, look: Callable[[], None] | None) -> None:
        lanes = self.scheduler.lanes
        most = max(1, _CONNECTIONS // max(1, len(lanes)))
        threads = [
            threading.Thread(
                target=self._work, args=(lane,), name=f"fetch-{at}-{number}", daemon=True
            )
            for at, lane in enumerate(lanes)
            for number in range(min(most, lane.tally.source.connections))
        ]
        try:
            for thread in threads:
                thread.start()
            while not self._is_over(threads):
                with self.changed:
                    self.changed.wait_for(lambda: self._is_over(threads), _LOOK)
                    self._govern()
                if look is not None:
                    look()
        finally:
            self._halt()
        if self._error is not None:
            raise self._error

    def _govern(self) -> None:
        """More threads than cores only get into each other's way when they have much to do."""
        now, cpu = time.monotonic(), time.process_time()
        (before, used), self._clocks = self._clocks, (now, cpu)
        is_busy = cpu - used > _BUSY * (now - before)
        self.scheduler.at_once = (os.cpu_count() or 1) if is_busy else None

    def _is_over(self, threads: Sequence[threading.Thread]) -> bool:
        """Threads that a source keeps waiting are left to themselves once all is done."""
        over = self.stop.is_set() or self.scheduler.over
        return over or not any(thread.is_alive() for thread in threads)

    def _halt(self) -> None:
        """From here on nothing is kept."""
        self.stop.set()
        with self.changed:
            self.scheduler.over = True
            self.changed.notify_all()
            self.changed.wait_for(lambda: not self.scheduler.keeping)

    def _work(self, lane: Lane) -> None:
        # One byte more than a piece: so a source that sends too much shows itself.
        buffer = memoryview(bytearray(PIECE_SIZE + 1))
        limits = self.fetcher.limits_of(lane.tally)
        try:
            while (flight := self._next(lane, limits)) is not None:
                self._fetch(_Order(self, flight, buffer, limits))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self.end(error)

    def end(self, error: BaseException) -> None:
        with self.changed:
            self._error = self._error or error
            self.stop.set()
            self.changed.notify_all()

    def _next(self, lane: Lane, limits: Sequence[RateLimit]) -> Flight | None:
        with self.changed:
            while not self.stop.is_set():
                # Whoever must wait takes no work that others could do meanwhile.
                what: Flight | float | None = _delay(limits)
                if not what or self.scheduler.over:
                    what = self.scheduler.next(lane, time.monotonic())
                if isinstance(what, Flight):
                    return what
                if what is None:
                    break
                self.changed.wait(what)
            self.changed.notify_all()
            return None

    def _fetch(self, order: _Order) -> None:
        flight = order.flight
        failed = None
        try:
            flight.lane.tally.source.fetch(order)
        except SourceError as error:
            failed = error
        with self.changed:
            if failed is not None and not self.stop.is_set():
                tally = flight.lane.tally
                tally.failures += 1
                tally.note(failed.message)
                self.scheduler.fail(flight, time.monotonic())
            self.scheduler.land(flight, time.monotonic())
            self.changed.notify_all()

    def keep(self, order: _Order, piece: Piece, data: memoryview) -> None:
        """Hand on a piece that verified, if nobody else was faster."""
        with self.changed:
            if not self.scheduler.claim(order.flight, piece, time.monotonic()):
                return
        kept = 0
        try:
            self.sink.keep(piece, data)
            kept = 1
        except BaseException as error:
            self.end(error)
            raise
        finally:
            with self.changed:
                self.scheduler.keeping.discard(piece.number)
                tally = order.flight.lane.tally
                tally.bytes += kept * len(data)
                tally.pieces += kept
                if self.stop.is_set() or self.scheduler.ahead is not None:
                    self.changed.notify_all()


def _delay(limits: Sequence[RateLimit]) -> float:
    return max((limit.delay() for limit in limits), default=0.0)


class _Order:
    """A flight as its source sees it (:class:`integrity.ports.Order`)."""

    def __init__(
        self, run: _Run, flight: Flight, buffer: memoryview, limits: Sequence[RateLimit]
    ) -> None:
        self.pieces = flight.pieces
        self.tree = flight.tree
        self.buffer = buffer
        self.flight = flight
        self._run = run
        self._limits = limits

    def wants(self, piece: Piece) -> bool:
        run = self._run
        with run.changed:
            return not run.scheduler.over and piece.number in self.flight.left

    def take(self, piece: Piece, data: memoryview) -> bool:
        actual = step7_piece(data, piece.digest)
        if actual is not None:
            return self._reject(piece, len(data), actual)
        if piece.length not in {None, len(data)}:
            raise ManifestInvalid(
                f"{piece.path!r} piece {piece.index} is said to have {piece.length} bytes, "
                f"but what has its digest has {len(data)}",
                evidence={
                    "path": piece.path, "piece": piece.index,
                    "expected": piece.length, "actual": len(data),
                },
            )  # fmt: skip
        run = self._run
        run.keep(self, piece, data)
        if self._limits:
            for limit in self._limits:
                limit.spend(len(data))
            run.stop.wait(_delay(self._limits))
        return bool(self.flight.left) and not run.stop.is_set()

    def _reject(self, piece: Piece, length: int, actual: bytes) -> bool:
        lane = self.flight.lane
        if lane.tally.source.is_local:
            self.lacks(piece, f"{lane.tally.source.name}: has other bytes there")
            return True
        run = self._run
        with run.changed:
            tally = lane.tally
            tally.rejected += 1
            tally.lie = tally.lie or {
                "source": tally.source.name,
                "path": piece.path or "the manifest",
                "piece": piece.index,
                "expected": piece.digest.hex(),
                "actual": actual.hex(),
                "length": length,
            }
            run.changed.notify_all()
        return False

    def lacks(self, piece: Piece, why: str) -> None:
        run = self._run
        with run.changed:
            self.flight.lane.tally.note_lack(why)
            run.scheduler.lack(self.flight, piece, time.monotonic())
            run.changed.notify_all()

    def more(self) -> Sequence[Piece]:
        with self._run.changed:
            return self._run.scheduler.extend(self.flight)
