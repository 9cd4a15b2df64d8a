"""Who fetches what next, decided without a clock, a thread or a socket."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.core.pieces import PIECE_SIZE
from integrity.fetch.pool import Batch
from integrity.fetch.scheduler import Flight, Lane, Policy, Scheduler
from integrity.fetch.tallies import SourceTally
from integrity.ports import Piece
from tests.adversary.sources import MemorySource

POLICY = Policy()


def piece(number: int, length: int = PIECE_SIZE) -> Piece:
    digest = hashlib.sha256(str(number).encode()).digest()
    return Piece(number, "file", number, digest, length, 1 << 40)


def lane(connections: int = 4, name: str = "a") -> Lane:
    return Lane(SourceTally(MemorySource({}, name=name, connections=connections)))


def scheduler(
    lanes: list[Lane], count: int, together: int = 64, ahead: int | None = None
) -> Scheduler:
    def stream() -> Iterator[Batch]:
        for at in range(0, count, together):
            yield Batch([piece(n) for n in range(at, min(at + together, count))])

    return Scheduler(lanes, stream(), POLICY, ahead, chance=random.Random(1))


def order(made: Scheduler, who: Lane, now: float = 0) -> Flight:
    flight = made.next(who, now)
    assert isinstance(flight, Flight), flight
    return flight


def fail(made: Scheduler, who: Lane, now: float) -> Flight:
    """An order that ends without anything."""
    flight = order(made, who, now)
    made.fail(flight, now)
    made.land(flight, now)
    return flight


def deliver(made: Scheduler, flight: Flight, now: float) -> None:
    """All of it, as one who needs that long for it."""
    for wanted in list(flight.left.values()):
        assert made.claim(flight, wanted, now)
        made.keeping.remove(wanted.number)
        flight.lane.tally.pieces += 1
    made.land(flight, now)


def test_a_new_source_gets_a_small_order_and_a_quick_one_larger_ones() -> None:
    who = lane()
    made = scheduler([who], 1000)
    first = order(made, who)
    assert len(first.pieces) == 4
    deliver(made, first, 0.01)
    assert len(order(made, who, 0.01).pieces) > 50


def test_a_slow_source_gets_a_piece_at_a_time() -> None:
    who = lane()
    made = scheduler([who], 1000)
    deliver(made, order(made, who), 100)
    assert len(order(made, who, 100).pieces) == 1


def test_a_source_gets_no_more_orders_than_it_has_connections() -> None:
    who = lane(connections=2)
    made = scheduler([who], 1000)
    order(made, who)
    order(made, who)
    assert isinstance(made.next(who, 0), float)


def test_what_comes_back_is_given_out_first() -> None:
    one, other = lane(), lane(name="b")
    made = scheduler([one, other], 1000)
    flight = fail(made, one, 0)
    assert order(made, other).pieces == flight.pieces


def test_what_fewest_have_is_given_out_first() -> None:
    lanes = [lane(name=n) for n in "abc"]
    made = scheduler(lanes, 1000, together=1)
    for who in lanes[:2]:
        flight = order(made, who)
        made.lack(flight, flight.pieces[0], 0)
        made.land(flight, 0)
    second = order(made, lanes[1])  # the first one's piece, which it lacks as well
    made.lack(second, second.pieces[0], 0)
    made.land(second, 0)
    numbers = [order(made, lanes[2]).pieces[0].number for _ in range(2)]
    assert numbers == [0, 1]


def test_a_source_that_fails_is_left_alone_for_longer_each_time() -> None:
    who = lane()
    made = scheduler([who], 1000)
    pauses = []
    now = 0.0
    for _ in range(POLICY.tries - 1):
        fail(made, who, now)
        pauses.append(who.retry_at - now)
        assert isinstance(made.next(who, now), float)
        now = who.retry_at
    for number, pause in enumerate(pauses):
        assert POLICY.pause * 2**number * 0.5 <= pause <= POLICY.pause * 2**number * 1.5


def test_a_source_that_was_given_up_is_asked_again_as_long_as_others_go_on() -> None:
    dead, slow = lane(name="dead"), lane(name="slow")
    made = scheduler([dead, slow], 1000)
    now = 0.0
    for _ in range(POLICY.tries):
        fail(made, dead, now)
        now = dead.retry_at
    assert dead.retry_at - now <= POLICY.longest
    going = order(made, slow, now)
    assert order(made, dead, dead.retry_at).pieces
    assert going.left


@pytest.mark.parametrize(("given", "tries"), [(0, POLICY.tries), (4, POLICY.more_tries)])
def test_when_all_are_given_up_it_is_over_and_says_what_is_missing(given: int, tries: int) -> None:
    """Who has given something before is waited for longer: it may only have been started anew."""
    who = lane()
    made = scheduler([who], 10)
    if given:
        deliver(made, order(made, who), 0)
    now = 0.0
    for left in reversed(range(tries)):
        fail(made, who, now)
        now = who.retry_at
        if left:
            assert made.next(who, now - 1e-6) is not None
    assert made.next(who, now - POLICY.longest) is None
    missing = made.first_missing()
    assert missing is not None
    assert missing.number == given


def test_who_has_nothing_to_do_takes_over_half_of_what_another_has_left() -> None:
    slow, quick = lane(connections=1, name="slow"), lane(connections=1, name="quick")
    made = scheduler([slow, quick], 12, together=12)
    slow.speed = 8 * PIECE_SIZE / POLICY.order
    first = order(made, slow)
    assert len(first.pieces) == 8
    deliver(made, order(made, quick), 1)
    taken = order(made, quick, 10)
    assert taken.pieces
    assert {p.number for p in taken.pieces} | set(first.left) == set(range(8))
    assert not {p.number for p in taken.pieces} & set(first.left)
    assert 0 in first.left


def test_threat_26_a_stalled_last_piece_is_raced_for_and_claimed_once() -> None:
    slow, quick = lane(connections=1, name="slow"), lane(connections=1, name="quick")
    made = scheduler([slow, quick], 1)
    first = order(made, slow)
    assert isinstance(made.next(quick, 0.01), float)
    second = order(made, quick, 60)
    assert second.pieces == first.pieces
    assert made.claim(second, piece(0), 61)
    assert not made.claim(first, piece(0), 62)
    assert made.next(slow, 62) is None


def test_a_race_that_is_lost_by_failing_leaves_the_piece_to_the_other() -> None:
    slow, quick = lane(connections=1, name="slow"), lane(connections=1, name="quick")
    made = scheduler([slow, quick], 1)
    first = order(made, slow)
    fail(made, quick, 60)
    assert isinstance(made.next(quick, 60), float)  # it is under way, not in the pool
    assert made.claim(first, piece(0), 61)
    made.land(first, 61)
    assert made.next(quick, 61) is None
    assert made.first_missing() is None


def test_its_own_connections_race_for_what_stalls() -> None:
    who = lane(connections=2)
    made = scheduler([who], 1)
    order(made, who)
    assert isinstance(made.next(who, POLICY.stall - 1), float)
    assert order(made, who, POLICY.stall + 1).pieces == [piece(0)]


def test_no_more_waits_than_may_wait() -> None:
    """One source has nothing of the release, the other is slow: the first must not read it all."""
    empty, slow = lane(name="empty"), lane(name="slow", connections=1)
    empty.tally.pieces = 1  # it once had something
    read = 0

    def stream() -> Iterator[Batch]:
        nonlocal read
        for number in range(100_000):
            read += 1
            yield Batch([piece(number)])

    made = Scheduler([empty, slow], stream(), POLICY)
    order(made, slow)
    now = 0.0
    while True:
        flight = made.next(empty, now)
        if not isinstance(flight, Flight):
            if now < empty.retry_at:
                now = empty.retry_at
                continue
            break
        made.lack(flight, flight.pieces[0], now)
        made.land(flight, now)
    assert read < 5000


class Simulation:
    """Sources that give, lack or fail by chance, in a time of their own."""

    def __init__(self, seed: int, lanes: int, count: int) -> None:
        self.chance = random.Random(seed)
        self.lanes = [lane(self.chance.randint(1, 3), f"{n}") for n in range(lanes)]
        self.honest = self.lanes[0]
        self.made = scheduler(self.lanes, count, self.chance.choice([1, 7, 64]))
        self.done: list[int] = []
        self.now = 0.0

    def run(self) -> None:
        under_way: list[Flight] = []
        while True:
            idle = 0
            for who in self.lanes:
                what = self.made.next(who, self.now)
                if isinstance(what, Flight):
                    under_way.append(what)
                idle += what is None
            if idle == len(self.lanes):
                return
            self.now += self.chance.random()
            for flight in list(under_way):
                self.step(flight)
                if not flight.left or self.chance.random() < 0.2:
                    self.made.land(flight, self.now)
                    under_way.remove(flight)

    def step(self, flight: Flight) -> None:
        for wanted in list(flight.left.values())[: self.chance.randint(0, 5)]:
            if flight.lane is not self.honest and self.chance.random() < 0.5:
                self.made.lack(flight, wanted, self.now)
            elif self.made.claim(flight, wanted, self.now):
                self.made.keeping.remove(wanted.number)
                self.done.append(wanted.number)
                flight.lane.tally.pieces += 1
        if flight.lane is not self.honest and self.chance.random() < 0.3:
            self.made.fail(flight, self.now)


@given(st.integers(0, 1 << 30), st.integers(1, 5), st.integers(0, 200))
@settings(max_examples=100, deadline=None)
def test_whatever_happens_each_piece_is_claimed_exactly_once(
    seed: int, lanes: int, count: int
) -> None:
    world = Simulation(seed, lanes, count)
    world.run()
    assert sorted(world.done) == list(range(count))
    assert world.made.first_missing() is None


@pytest.mark.parametrize("busy", [1, 2])
def test_fewer_orders_are_given_out_while_there_is_much_to_do_here(busy: int) -> None:
    who = lane(connections=4)
    made = scheduler([who], 1000)
    made.at_once = busy
    for _ in range(busy):
        order(made, who)
    assert isinstance(made.next(who, 0), float)


def test_what_a_source_has_is_found_behind_very_much_that_it_lacks() -> None:
    who = lane()
    made = scheduler([who], 600)
    for piece in [piece for batch in made.batches for piece in batch.pieces]:
        made.pool.add(Batch([piece]))
        if piece.number != 599:
            made.pool.lack(who, piece)
    found = [made.next(who, now) for now in (0.0, 0.25, 0.5, 0.75)]
    (flight,) = [one for one in found if isinstance(one, Flight)]
    assert [piece.number for piece in flight.pieces] == [599]


def test_while_a_piece_is_being_kept_nothing_is_hopeless() -> None:
    """Those behind it wait for room until it is, and nobody else is under way."""
    who = lane()
    made = scheduler([who], 20, ahead=4)
    first = order(made, who)
    for wanted in list(first.left.values()):
        assert made.claim(first, wanted, 0)
    waiting = made.next(who, 0)
    assert isinstance(waiting, float)
    assert not made.over
    made.keeping.clear()
    assert order(made, who).pieces[0].number == 4
