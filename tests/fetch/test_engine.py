"""Pieces from any number of sources: what verifies is kept, who lies is named, nobody else is."""

from __future__ import annotations

import hashlib
import itertools
import random
import signal
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.core.pieces import PIECE_SIZE
from integrity.errors import DiskError, SourcesLied, SourcesUnavailable, UnsafePath
from integrity.fetch.engine import Fetcher
from integrity.fetch.pool import Batch
from integrity.fetch.tallies import failure
from integrity.ports import Piece
from integrity.sources.blockwise import NotHere
from tests.adversary.sources import (
    AT_ONCE,
    LIES,
    AttackerAct,
    MemorySource,
    another,
    endless,
    flip,
    honest,
    longer,
    refuse,
)

from .doubles import Wanted, fetch


def pieces(count: int = 40, size: int = 500) -> list[bytes]:
    generator = random.Random(count)
    return [generator.randbytes(size) for _ in range(count)]


def fetching_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("fetch-")]


@pytest.mark.parametrize("connections", [1, 2, 8])
@pytest.mark.parametrize("together", [1, 4, 100])
def test_every_piece_is_fetched_once_and_kept_whole(connections: int, together: int) -> None:
    wanted = Wanted([*pieces(), b"", b"x", bytes(PIECE_SIZE)], together=together)
    source = MemorySource(wanted.blocks, connections=connections)
    fetcher = fetch(wanted, source)
    assert wanted.complete
    assert len(source.asked) == len(wanted.pieces)
    (tally,) = fetcher.tallies
    assert (tally.bytes, tally.pieces) == (sum(map(len, wanted.pieces)), len(wanted.pieces))
    assert (tally.rejected, tally.failures, fetcher.missing) == (0, 0, None)


def test_nothing_wanted_is_nothing_asked() -> None:
    wanted = Wanted([])
    source = MemorySource({})
    assert fetch(wanted, source).missing is None
    assert source.asked == []


def test_the_tallies_of_several_rounds_add_up() -> None:
    first, second = Wanted(pieces(5)), Wanted(pieces(7))
    fetcher = Fetcher([MemorySource(first.blocks | second.blocks)], AT_ONCE)
    for wanted in (first, second):
        fetcher.run(wanted.batches, wanted)
        assert wanted.complete
    assert fetcher.tallies[0].pieces == 12


def test_several_sources_share_what_one_of_them_has_not_got() -> None:
    wanted = Wanted(pieces(10))
    blocks = list(wanted.blocks.items())
    sources = MemorySource(dict(blocks[:7])), MemorySource(dict(blocks[3:]))
    assert fetch(wanted, *sources).missing is None
    assert wanted.complete


class Downloading(MemorySource):
    """Somebody who has not got all of it yet: a block more with each that it is asked for in vain."""

    later: dict[bytes, bytes]

    def read(self, digest: bytes, buffer: memoryview) -> int:
        try:
            return super().read(digest, buffer)
        except NotHere:
            if self.later:
                arrived = min(self.later, key=list(self.later).index)
                self.blocks[arrived] = self.later.pop(arrived)
            raise


@pytest.mark.parametrize("first", [1, 20])
def test_who_is_still_downloading_is_asked_again_for_what_it_lacked(first: int) -> None:
    wanted = Wanted(pieces(40))
    blocks = list(wanted.blocks.items())
    source = Downloading(dict(blocks[:first]))
    source.later = dict(reversed(blocks[first:]))
    assert fetch(wanted, source).missing is None
    assert wanted.complete


def test_who_gains_nothing_more_is_asked_again_only_so_often() -> None:
    wanted = Wanted(pieces(40))
    blocks = list(wanted.blocks.items())
    source = MemorySource(dict(blocks[:20]))
    assert fetch(wanted, source).missing is not None
    assert max(map(source.asked.count, source.asked)) == 1 + AT_ONCE.policy.rounds


def test_what_cannot_gain_anything_is_asked_once() -> None:
    wanted = Wanted(pieces(40))
    source = MemorySource(dict(list(wanted.blocks.items())[:20]))
    source.may_gain = False
    assert fetch(wanted, source).missing is not None
    assert max(map(source.asked.count, source.asked)) == 1


def test_what_is_at_hand_is_not_fetched() -> None:
    wanted = Wanted(pieces(20))
    blocks = list(wanted.blocks.items())
    own, far = MemorySource(dict(blocks[::2])), MemorySource(wanted.blocks)
    own.is_local = True
    fetch(wanted, far, own)
    assert wanted.complete
    assert sorted(far.asked) == sorted(digest for digest, _ in blocks[1::2])


def test_wrong_bytes_at_hand_are_no_lie() -> None:
    wanted = Wanted(pieces(20))
    own, far = MemorySource(wanted.blocks, another), MemorySource(wanted.blocks)
    own.is_local = True
    fetcher = fetch(wanted, own, far)
    assert wanted.complete
    assert [tally.lie for tally in fetcher.tallies] == [None, None]


# --- lies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 15, 31])
def test_threat_23_with_31_liars_of_32_the_right_bytes_come(place: int) -> None:
    wanted = Wanted(pieces(64))
    sources = [MemorySource(wanted.blocks, LIES[n % len(LIES)], name=f"{n}") for n in range(32)]
    sources[place].attacker_act = honest
    fetcher = fetch(wanted, *sources)
    assert wanted.complete
    assert fetcher.missing is None
    for number, tally in enumerate(fetcher.tallies):
        if number == place:
            assert (tally.lie, tally.rejected, tally.pieces) == (None, 0, 64)
        else:
            assert (tally.pieces, tally.bytes) == (0, 0)
            assert tally.rejected <= len(sources[number].asked) <= sources[number].connections


@pytest.mark.parametrize("lie", LIES)
def test_threat_24_only_the_liar_is_blamed_for_a_piece_that_both_sent(lie: AttackerAct) -> None:
    wanted = Wanted(pieces(1))
    lied = threading.Event()

    def act(digest: bytes, block: bytes) -> bytes:
        lied.set()
        return lie(digest, block)

    def patient(_: bytes, block: bytes) -> bytes:
        lied.wait()
        return block

    liar = MemorySource(wanted.blocks, act, name="liar", connections=1)
    right = MemorySource(wanted.blocks, patient, name="right", connections=1)
    blamed, other = fetch(wanted, liar, right).tallies
    while not wanted.complete:  # pragma: no cover - the honest one was first to be asked
        blamed, other = fetch(wanted, liar, right).tallies
    assert (other.rejected, other.pieces, other.lie) == (0, 1, None)
    assert (blamed.pieces, blamed.rejected) == (0, len(liar.asked))


def test_a_liar_is_believed_until_its_first_lie_and_never_asked_again() -> None:
    wanted = Wanted(pieces(20))
    bad = hashlib.sha256(wanted.pieces[8]).digest()
    liar = MemorySource(
        wanted.blocks, lambda d, b: flip(d, b) if d == bad else b, name="liar", connections=1
    )
    fetcher = Fetcher([liar], AT_ONCE)
    fetcher.run(wanted.batches, wanted)
    assert len(liar.asked) == 9
    assert fetcher.tallies[0].pieces == 8
    fetcher.run(wanted.batches, wanted)
    assert len(liar.asked) == 9
    fetch(wanted, MemorySource(wanted.blocks))
    assert wanted.complete


@pytest.mark.parametrize("lie", LIES)
def test_the_evidence_names_source_piece_and_both_digests(lie: AttackerAct) -> None:
    wanted = Wanted(pieces(1))
    fetcher = fetch(wanted, MemorySource(wanted.blocks, lie, name="liar"))
    assert fetcher.missing == wanted.missing()[0]
    error = failure(fetcher.tallies, "the file")
    assert isinstance(error, SourcesLied)
    assert (error.family, error.exit_code) == ("does not verify", 4)
    expected = hashlib.sha256(wanted.pieces[0]).digest()
    sent = lie(expected, wanted.pieces[0])[: len(wanted.pieces[0]) + 1]
    assert error.evidence == {
        "source": "liar", "path": "file", "piece": 0, "expected": expected.hex(),
        "actual": hashlib.sha256(sent).hexdigest(), "length": len(sent),
    }  # fmt: skip
    assert error.causes == ["liar: sent wrong bytes for file piece 0"]


@pytest.mark.parametrize("lie", [longer, endless])
@pytest.mark.parametrize("known", [True, False])
def test_threat_25_more_than_a_piece_is_a_lie_even_if_it_begins_right(
    lie: AttackerAct, known: bool
) -> None:
    wanted = Wanted([pieces(1, PIECE_SIZE)[0]], lengths_known=known)
    fetcher = fetch(wanted, MemorySource(wanted.blocks, lie))
    assert wanted.kept == {}
    assert fetcher.tallies[0].lie is not None
    assert fetcher.tallies[0].lie["length"] == PIECE_SIZE + 1


def test_a_block_of_unknown_length_may_be_short() -> None:
    wanted = Wanted([b"", b"short", bytes(PIECE_SIZE)], lengths_known=False)
    fetch(wanted, MemorySource(wanted.blocks))
    assert wanted.complete


# --- sources that fail -------------------------------------------------------------------------


def test_threat_32_dead_sources_are_unavailable_and_every_cause_is_kept() -> None:
    wanted = Wanted(pieces(30))
    fetcher = fetch(wanted, *(MemorySource({}, name=f"dead {n}") for n in range(3)))
    error = failure(fetcher.tallies, "the file")
    assert isinstance(error, SourcesUnavailable)
    assert (error.family, error.exit_code) == ("could not check", 3)
    assert error.causes == [f"dead {n}: has not got it" for n in range(3)]
    assert wanted.kept == {}


def test_liars_and_dead_sources_together_are_a_lie_with_both_causes() -> None:
    wanted = Wanted(pieces(30))
    fetcher = fetch(
        wanted,
        MemorySource({}, name="dead"),
        MemorySource(wanted.blocks, flip, name="liar"),
        MemorySource(wanted.blocks, another, name="second liar"),
    )
    error = failure(fetcher.tallies, "the file")
    assert isinstance(error, SourcesLied)
    assert error.causes[0] == "dead: has not got it"
    assert {cause.split(":")[0] for cause in error.causes[1:]} == {"liar", "second liar"}
    assert "liar, second liar" in error.message


def test_a_source_that_fails_now_and_then_is_asked_again() -> None:
    wanted = Wanted(pieces(30))
    calls = itertools.count()

    def sometimes(digest: bytes, block: bytes) -> bytes:
        return block if next(calls) % 5 else refuse(digest, block)

    fetcher = fetch(wanted, MemorySource(wanted.blocks, sometimes, name="a"))
    assert wanted.complete
    (tally,) = fetcher.tallies
    assert tally.failures > 1
    assert tally.causes == ["a: refused"]


def test_a_source_that_always_fails_is_given_up_after_a_few_tries() -> None:
    wanted = Wanted(pieces(100))
    dead = MemorySource(wanted.blocks, refuse, name="dead")
    assert fetch(wanted, dead).tallies[0].causes == ["dead: refused"]
    assert AT_ONCE.policy.tries <= len(dead.asked) < AT_ONCE.policy.tries + dead.connections
    fetch(wanted, dead, MemorySource(wanted.blocks))
    assert wanted.complete


def test_of_many_pieces_that_a_source_lacks_a_few_are_named() -> None:
    class Empty(MemorySource):
        def read(self, digest: bytes, buffer: memoryview) -> int:
            raise NotHere(f"{self.name}: has not got {digest.hex()} of {len(buffer)} bytes")

    causes = failure(fetch(Wanted(pieces(30)), Empty({}, name="empty")).tallies, "it").causes
    assert len(causes) == 4
    assert causes[3] == "empty: has not got others either"


def test_many_different_causes_are_kept_but_not_without_end() -> None:
    wanted = Wanted(pieces(400))
    sources = [MemorySource({}, name=f"{n}") for n in range(30)]
    assert len(failure(fetch(wanted, *sources).tallies, "it").causes) == 30
    numbers = itertools.count()

    def complain(digest: bytes, block: bytes) -> bytes:
        return block if next(numbers) % 2 else refuse(digest, block)

    calls = itertools.count()

    class Chatty(MemorySource):
        def read(self, digest: bytes, buffer: memoryview) -> int:
            self.name = f"{next(calls)}"
            return super().read(digest, buffer)

    assert len(fetch(wanted, Chatty(wanted.blocks, complain)).tallies[0].causes) == 20


@given(
    st.lists(st.sampled_from([*LIES, honest, refuse]), max_size=6),
    st.integers(0, 6), st.integers(1, 25), st.integers(1, 5), st.integers(1, 30),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_whatever_the_others_do_one_honest_source_is_enough(
    acts: list[AttackerAct], place: int, count: int, connections: int, together: int
) -> None:
    acts.insert(place, honest)
    wanted = Wanted(pieces(count, 50), together=together)
    sources = (
        MemorySource(wanted.blocks, act, name=f"{n}", connections=connections)
        for n, act in enumerate(acts)
    )
    fetcher = fetch(wanted, *sources)
    assert wanted.complete
    assert fetcher.missing is None
    for act, tally in zip(acts, fetcher.tallies, strict=True):
        assert (tally.lie is not None) == (tally.rejected > 0)
        assert act in LIES or tally.lie is None


# --- slow sources ------------------------------------------------------------------------------


class Gate:
    """An act that lets pieces through until a given one, and holds every later call."""

    def __init__(self, free: int) -> None:
        self.held = threading.Event()
        self.open = threading.Event()
        self._free = iter(range(free))

    def __call__(self, _: bytes, block: bytes) -> bytes:
        if next(self._free, None) is None:
            self.held.set()
            self.open.wait()
        return block


def test_threat_26_a_source_that_holds_the_last_piece_is_overtaken() -> None:
    wanted = Wanted(pieces(20), together=20)
    gate = Gate(3)

    def after(_: bytes, block: bytes) -> bytes:
        gate.held.wait()
        return block

    slow = MemorySource(wanted.blocks, gate, name="slow", connections=1)
    quick = MemorySource(wanted.blocks, after, name="quick", connections=1)
    fetcher = fetch(wanted, slow, quick)
    assert wanted.complete
    assert fetcher.missing is None
    _nothing_is_kept_any_more(wanted, gate)
    assert sum(tally.pieces for tally in fetcher.tallies) == 20


# --- failures of our own -----------------------------------------------------------------------


def test_threat_35_a_disk_that_is_full_stops_everything_and_is_raised() -> None:
    class Full(Wanted):
        def keep(self, piece: Piece, data: memoryview) -> None:
            if piece.number == 20:
                raise DiskError("the disk is full")
            super().keep(piece, data)

    wanted = Full(pieces(200))
    source = MemorySource(wanted.blocks)
    with pytest.raises(DiskError, match="full"):
        fetch(wanted, source)
    assert len(source.asked) < 60
    assert all(wanted.kept[number] == wanted.pieces[number] for number in wanted.kept)


def test_an_error_in_what_is_wanted_is_raised() -> None:
    class Broken(Wanted):
        def batches(self) -> Iterator[Batch]:
            yield Batch(self.missing()[:5])
            raise UnsafePath("a link")

    wanted = Broken(pieces(10))
    with pytest.raises(UnsafePath):
        fetch(wanted, MemorySource(wanted.blocks))
    assert set(wanted.kept) <= set(range(5))


def test_a_mistake_in_a_source_is_raised_not_swallowed() -> None:
    wanted = Wanted(pieces(10))

    def broken(_: bytes, block: bytes) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fetch(wanted, MemorySource(wanted.blocks, broken))


def test_ctrl_c_is_obeyed_while_a_source_keeps_us_waiting() -> None:
    wanted = Wanted(pieces(20))
    gate = Gate(5)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        gate.held.wait()
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        fetch(wanted, MemorySource(wanted.blocks, gate))
    thread.join()
    _nothing_is_kept_any_more(wanted, gate)


def test_an_error_is_raised_while_a_source_keeps_us_waiting() -> None:
    gate = Gate(5)

    class Broken(Wanted):
        def batches(self) -> Iterator[Batch]:
            yield from itertools.islice(super().batches(), 6)
            gate.held.wait()
            raise UnsafePath("a link")

    wanted = Broken(pieces(20), together=1)
    with pytest.raises(UnsafePath):
        fetch(wanted, MemorySource(wanted.blocks, gate, connections=2))
    _nothing_is_kept_any_more(wanted, gate)


def _nothing_is_kept_any_more(wanted: Wanted, gate: Gate) -> None:
    """Whoever called has closed the files: a late answer must not be written to them."""
    kept = dict(wanted.kept)
    assert fetching_threads() != []
    gate.open.set()
    while fetching_threads():
        threading.Event().wait(0.01)
    assert wanted.kept == kept


def test_a_piece_that_is_being_kept_is_kept_before_the_interrupt_is_raised() -> None:
    finished = []
    main = threading.main_thread().ident
    assert main is not None

    class Interrupted(Wanted):
        def keep(self, piece: Piece, data: memoryview) -> None:
            super().keep(piece, data)
            signal.pthread_kill(main or 0, signal.SIGINT)
            threading.Event().wait(0.3)  # long enough for who does not wait to be gone
            finished.append(True)

    wanted = Interrupted(pieces(1))
    with pytest.raises(KeyboardInterrupt):
        fetch(wanted, MemorySource(wanted.blocks))
    assert finished == [True]


def test_what_looks_on_is_called_on_the_thread_that_waits_and_may_end_it() -> None:
    gate = Gate(5)
    wanted = Wanted(pieces(20))

    def look() -> None:
        assert threading.current_thread() is threading.main_thread()
        if gate.held.is_set():
            raise UnsafePath("enough")

    with pytest.raises(UnsafePath, match="enough"):
        Fetcher([MemorySource(wanted.blocks, gate)], AT_ONCE).run(wanted.batches, wanted, look)
    _nothing_is_kept_any_more(wanted, gate)


@pytest.mark.parametrize("ahead", [1, 2, 7])
@pytest.mark.parametrize("together", [1, 3, 64])
def test_no_more_is_begun_than_may_be_ahead(ahead: int, together: int) -> None:
    most = 0

    class Ordered(Wanted):
        def keep(self, piece: Piece, data: memoryview) -> None:
            nonlocal most
            super().keep(piece, data)
            lowest = next((n for n in range(len(self.pieces)) if n not in self.kept), 50)
            most = max(most, piece.number - lowest)

    wanted = Ordered(pieces(50), together=together)
    fetcher = Fetcher([MemorySource(wanted.blocks, connections=8)], AT_ONCE)
    fetcher.run(wanted.batches, wanted, ahead=ahead)
    assert wanted.complete
    assert most < ahead
