"""Who fetches which pieces next: decided here, by rules that take the time as an argument.

Work comes as a stream of batches in the manifest's order. What comes back unfetched waits in a pool
that is handed out first. Whoever has nothing to do takes over the end of somebody else's order, or,
when that is a single piece, races for it. Nothing here waits, reads or locks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from integrity.core.pieces import PIECE_SIZE
from integrity.fetch.pool import Batch, Pool
from integrity.fetch.tallies import SourceTally
from integrity.ports import Piece


@dataclass(frozen=True, slots=True)
class Policy:
    """All times are in seconds.

    After a failure a source is left alone for ``pause``, twice as long after each further one, up to
    ``longest``, every time by chance up to half as much more or less. After ``tries`` failures in a
    row, ``more_tries`` if it has given something before, or when it has given nothing and lacked
    ``lacks`` pieces, it is asked again every ``longest`` for as long as others go on. A source that
    has given something, and may gain more, is asked for what it lacked again, up to ``rounds`` times in
    a row that bring nothing. An order is for ``order`` of work.
    """

    tries: int = 5
    more_tries: int = 8
    rounds: int = 6
    pause: float = 0.25
    longest: float = 30.0
    lacks: int = 8
    order: float = 2.0
    stall: float = 5.0
    """Without a piece for so long, an order is raced for by its own source's other connections."""


_FIRST_ORDER = 4
_LARGEST_ORDER = 64
_RACERS = 3
_WORTH_IT = 0.25
_WAIT = 0.25


@dataclass(eq=False, slots=True)
class Lane:
    """One source while a run lasts. ``speed`` is in bytes a second of one order."""

    tally: SourceTally
    in_air: int = 0
    failures: int = 0
    lacking: int = 0
    retry_at: float = 0.0
    speed: float = 0.0
    rounds: int = 0
    again_at: float | None = None


@dataclass(eq=False, slots=True)
class Flight:
    """One order under way. ``left`` are its pieces that were neither taken nor lacking, in order."""

    lane: Lane
    pieces: list[Piece]
    tree: str | None
    started: float
    latest: float
    left: dict[int, Piece]
    bytes: int = 0

    @property
    def bytes_left(self) -> int:
        return sum(piece.room for piece in self.left.values())


@dataclass(slots=True)
class Scheduler:
    """``ahead`` is how many pieces beyond the first unfinished one may be begun, ``at_once`` how many
    orders may be under way; None for any number.
    """

    lanes: Sequence[Lane]
    batches: Iterator[Batch]
    policy: Policy = field(default_factory=Policy)
    ahead: int | None = None
    at_once: int | None = None
    chance: random.Random = field(default_factory=random.Random)
    pool: Pool = field(default_factory=Pool)
    keeping: set[int] = field(default_factory=set)
    """Numbers of the pieces that are claimed, and not kept yet."""

    _flights: list[Flight] = field(default_factory=list)
    _racing: dict[int, list[Flight]] = field(default_factory=dict)
    _head: Batch | None = None
    _dry: bool = False
    over: bool = False

    # --- what to do next -----------------------------------------------------------------------

    def next(self, lane: Lane, now: float) -> Flight | float | None:
        """What one connection of a source does now: an order, or wait that many seconds at most and
        ask again, or end.
        """
        if self.over or lane.tally.lie is not None:
            return None
        if now >= lane.retry_at and self._has_room(lane):
            batch = self.pool.take(lane) or self._from_stream(lane) or self._taken_over(lane, now)
            batch = batch or self._asked_again(lane, now)
            if batch is not None:
                return self._begin(lane, batch, now)
        if self._is_finished() or self._is_hopeless():
            self.over = True
            return None
        return max(0.0, min(_WAIT, lane.retry_at - now)) or _WAIT

    def _has_room(self, lane: Lane) -> bool:
        if self.at_once is not None and self._flights:
            # Small files are Python's work, of which threads get no more done than one does.
            many = any(flight.tree is not None for flight in self._flights)
            if many or len(self._flights) >= self.at_once:
                return False
        return lane.in_air < lane.tally.source.connections

    def _begin(self, lane: Lane, batch: Batch, now: float) -> Flight:
        pieces = list(batch.pieces)
        left = {piece.number: piece for piece in pieces}
        flight = Flight(lane, pieces, batch.tree, now, now, left)
        for number in left:
            if number in self._racing:
                self._racing[number].append(flight)
        self._flights.append(flight)
        lane.in_air += 1
        return flight

    def _from_stream(self, lane: Lane) -> Batch | None:
        if not self._may_go_on():
            return None
        batch = self._head
        self._head = None
        if batch is None or batch.tree is not None:
            return batch
        size = _FIRST_ORDER
        if lane.speed:
            size = max(1, min(_LARGEST_ORDER, int(lane.speed * self.policy.order / PIECE_SIZE)))
        room = size * PIECE_SIZE
        end = None if self.ahead is None else self._lowest(batch) + self.ahead
        for count, piece in enumerate(batch.pieces):
            room -= piece.room
            if count and (room < 0 or (end is not None and piece.number >= end)):
                self._head = Batch(batch.pieces[count:])
                return Batch(batch.pieces[:count])
        return batch

    def _may_go_on(self) -> bool:
        """Whether there is more in the stream, and room to begin with it."""
        if self._head is None and not self._dry:
            self._head = next(self.batches, None)
            self._dry = self._head is None
        if self._head is None or self.pool.is_full:
            return False
        return self.ahead is None or (
            self._head.pieces[0].number < self._lowest(self._head) + self.ahead
        )

    def _lowest(self, head: Batch) -> int:
        """The first piece that is not kept; those of the stream begin with ``head``."""
        first = self.pool.first()
        numbers = (
            [head.pieces[0].number] if first is None else [head.pieces[0].number, first.number]
        )
        numbers += [number for flight in self._flights for number in flight.left]
        numbers += self.keeping
        return min(numbers)

    def extend(self, flight: Flight) -> Sequence[Piece]:
        """More of the file that an order ends with, once all of it was taken: what waits, else what the
        stream goes on with.
        """
        if self.over or flight.left:
            return ()
        last = flight.pieces[-1]
        pieces = self.pool.take_after(flight.lane, last) or self._streamed_after(last)
        flight.pieces += pieces
        flight.left.update((piece.number, piece) for piece in pieces)
        return pieces

    def _streamed_after(self, last: Piece) -> list[Piece]:
        if not self._may_go_on():
            return []
        assert self._head is not None
        if self._head.pieces[0].path != last.path:
            return []
        pieces = list(self._head.pieces)
        if self.ahead is not None:
            # Who waits for the first piece that is missing must not be kept from it by later ones.
            end = self._lowest(self._head) + self.ahead
            pieces = [piece for piece in pieces if piece.number < end]
        rest = self._head.pieces[len(pieces) :]
        self._head = Batch(rest) if rest else None
        return pieces

    def _asked_again(self, lane: Lane, now: float) -> Batch | None:
        """What the source lacked, if it may have got it meanwhile."""
        if not self._may_ask_again(lane):
            return None
        if lane.again_at is None:
            lane.again_at = now + self._pause_after(lane.rounds)
        if now < lane.again_at:
            return None
        lane.rounds += 1
        lane.again_at = None
        self.pool.forget(lane)
        return self.pool.take(lane)

    def _may_ask_again(self, lane: Lane) -> bool:
        return (
            lane.tally.source.may_gain
            and lane.tally.pieces > 0
            and lane.rounds < self.policy.rounds
            and bool(self.pool)
        )

    # --- helping others out --------------------------------------------------------------------

    def _taken_over(self, lane: Lane, now: float) -> Batch | None:
        """The end of the order that would last longest, or a race for what it waits for."""
        found = [(self._seconds_left(flight, now), flight) for flight in self._flights]
        for seconds, flight in sorted(found, key=lambda pair: -pair[0]):
            if seconds < _WORTH_IT:
                break
            pieces = [p for p in flight.left.values() if not self.pool.lacks(lane, p)]
            if len(flight.left) > 1 and flight.tree is None and len(pieces) == len(flight.left):
                return self._cut(flight, lane, seconds)
            if pieces and self._may_race(flight, lane, pieces[0], seconds, now):
                return self._race(flight, pieces[:_FIRST_ORDER])
        return None

    def _seconds_left(self, flight: Flight, now: float) -> float:
        """How long an order would take yet, as far as can be told."""
        passed = now - flight.started
        if flight.bytes and passed > 0:
            # A stall shows in the time since the latest piece.
            return flight.bytes_left * passed / flight.bytes + (now - flight.latest)
        if flight.lane.speed:
            return max(flight.bytes_left / flight.lane.speed, now - flight.latest)
        return passed

    def _cut(self, flight: Flight, lane: Lane, seconds: float) -> Batch:
        """Both end at about the same time."""
        theirs = flight.bytes_left / seconds
        share = lane.speed / (lane.speed + theirs) if lane.speed else 0.5
        count = max(1, min(len(flight.left) - 1, round(len(flight.left) * share), _LARGEST_ORDER))
        numbers = list(flight.left)[-count:]
        return Batch([flight.left.pop(number) for number in numbers])

    def _may_race(
        self, flight: Flight, lane: Lane, piece: Piece, seconds: float, now: float
    ) -> bool:
        if flight.lane is lane and now - flight.latest < self.policy.stall:
            return False
        racers = self._racing.get(piece.number, ())
        if len(racers) >= _RACERS or any(racer.lane is lane for racer in racers):
            return False
        mine = piece.room / lane.speed if lane.speed else 1.0
        return seconds > 2 * mine

    def _race(self, flight: Flight, pieces: list[Piece]) -> Batch:
        for piece in pieces:
            self._racing.setdefault(piece.number, [flight])
        return Batch(pieces)

    # --- what came of it -----------------------------------------------------------------------

    def claim(self, flight: Flight, piece: Piece, now: float) -> bool:
        """Whether the piece is this order's still; it is nobody's from then on, and ``keeping`` until
        it is kept.
        """
        if self.over or flight.left.pop(piece.number, None) is None:
            return False
        for other in self._racing.pop(piece.number, ()):
            other.left.pop(piece.number, None)
        self.pool.done(piece)
        self.keeping.add(piece.number)
        lane = flight.lane
        lane.failures = lane.lacking = lane.rounds = 0
        flight.latest = now
        flight.bytes += piece.room
        return True

    def lack(self, flight: Flight, piece: Piece, now: float) -> None:
        """The source has not got the piece: it is not asked for it again."""
        if flight.left.pop(piece.number, None) is None:
            return
        lane = flight.lane
        lane.lacking += 1
        gives = lane.tally.pieces > 0 or lane.tally.source.is_local
        if lane.lacking >= self.policy.lacks and not gives:
            over = lane.lacking - self.policy.lacks
            lane.retry_at = now + self._pause_after(over)
        self.pool.lack(lane, piece)
        self._return([piece], flight)

    def fail(self, flight: Flight, now: float) -> None:
        """The source failed as a whole; its order is given out again by :meth:`land`."""
        lane = flight.lane
        lane.failures += 1
        tries = self._tries(lane)
        lane.retry_at = now + self._pause_after(min(lane.failures, tries) - 1)
        if lane.failures >= tries:
            lane.retry_at = now + self.policy.longest

    def _tries(self, lane: Lane) -> int:
        return self.policy.more_tries if lane.tally.pieces else self.policy.tries

    def _pause_after(self, failures: int) -> float:
        pause = min(self.policy.longest, self.policy.pause * 2.0 ** min(failures, 30))
        return pause * self.chance.uniform(0.5, 1.5)

    def land(self, flight: Flight, now: float) -> None:
        """An order has ended; what is left of it waits for others."""
        self._flights.remove(flight)
        lane = flight.lane
        lane.in_air -= 1
        seconds = now - flight.started
        if flight.bytes and seconds > 0:
            speed = flight.bytes / seconds
            lane.speed = speed if not lane.speed else (lane.speed + speed) / 2
        self._return(list(flight.left.values()), flight)
        flight.left.clear()

    def _return(self, pieces: list[Piece], flight: Flight) -> None:
        waiting = []
        for piece in pieces:
            racers = [r for r in self._racing.get(piece.number, ()) if r is not flight]
            if any(piece.number in racer.left for racer in racers):
                self._racing[piece.number] = racers
            else:
                self._racing.pop(piece.number, None)
                waiting.append(piece)
        if waiting:
            tree = flight.tree if len(waiting) == len(flight.pieces) else None
            self.pool.add(Batch(waiting, tree))

    # --- the end -------------------------------------------------------------------------------

    def _is_finished(self) -> bool:
        return self._dry and self._head is None and not self.pool and not self._awaited()

    def _awaited(self) -> bool:
        """Whether some order under way may still bring something."""
        return any(flight.left for flight in self._flights)

    def _is_hopeless(self) -> bool:
        """Nothing is under way, and nobody is left who could be asked for anything. What is being kept
        may make room for more.
        """
        if self._awaited() or self.keeping:
            return False
        return not any(map(self._could_go_on, self.lanes))

    def _could_go_on(self, lane: Lane) -> bool:
        if lane.tally.lie is not None or lane.failures >= self._tries(lane):
            return False
        if not lane.tally.pieces and lane.lacking >= self.policy.lacks:
            return False
        return self._may_ask_again(lane) or self.pool.has_for(lane) or self._may_go_on()

    def first_missing(self) -> Piece | None:
        """The first piece that nobody gave, once the run is over; None when there is none."""
        first = self.pool.first()
        self._head = self._head or next(self.batches, None)
        if self._head is None:
            return first
        return min(first or self._head.pieces[0], self._head.pieces[0], key=lambda p: p.number)
