"""Pieces from any number of sources: what verifies is kept, who lies is named, nobody else is."""

from __future__ import annotations

import contextlib
import hashlib
import random
import signal
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.core.pieces import PIECE_SIZE
from integrity.errors import DiskError, SourceError, SourcesLied, SourcesUnavailable, UnsafePath
from integrity.fetch.engine import Fetcher, Want, failure

from .doubles import (
    LIES,
    Act,
    MemorySource,
    Wanted,
    another,
    endless,
    flip,
    honest,
    longer,
    refuse,
)

THREADS = 4


def pieces(count: int = 40, size: int = 500) -> list[bytes]:
    generator = random.Random(count)
    return [generator.randbytes(size) for _ in range(count)]


def fetch(wanted: Wanted, *sources: MemorySource, threads: int = THREADS) -> Fetcher:
    fetcher = Fetcher(sources, threads)
    fetcher.run(wanted.wants(), wanted.on_piece)
    return fetcher


def fetching_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("fetch-")]


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_every_piece_is_fetched_once_and_kept_whole(threads: int) -> None:
    wanted = Wanted([*pieces(), b"", b"x", bytes(PIECE_SIZE)])
    source = MemorySource("one", wanted.blocks)
    fetcher = fetch(wanted, source, threads=threads)
    assert wanted.complete
    assert sorted(wanted.told) == list(range(len(wanted.pieces)))
    assert len(source.asked) == len(wanted.pieces)
    (tally,) = fetcher.tallies
    assert (tally.bytes, tally.pieces) == (sum(map(len, wanted.pieces)), len(wanted.pieces))
    assert (tally.rejected, tally.failures, fetcher.missing) == (0, 0, [])
    assert fetching_threads() == []


def test_nothing_wanted_is_nothing_asked() -> None:
    wanted = Wanted([])
    source = MemorySource("one", {})
    assert fetch(wanted, source).missing == []
    assert source.asked == []


def test_the_tallies_of_several_rounds_add_up() -> None:
    first, second = Wanted(pieces(5)), Wanted(pieces(7))
    source = MemorySource("one", first.blocks | second.blocks)
    fetcher = Fetcher([source], THREADS)
    for wanted in (first, second):
        fetcher.run(wanted.wants(), wanted.on_piece)
        assert wanted.complete
    assert fetcher.tallies[0].pieces == 12


def test_several_sources_share_what_one_of_them_has_not_got() -> None:
    wanted = Wanted(pieces(10))
    blocks = list(wanted.blocks.items())
    one, other = MemorySource("one", dict(blocks[:7])), MemorySource("other", dict(blocks[3:]))
    assert fetch(wanted, one, other).missing == []
    assert wanted.complete


# --- lies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 15, 31])
def test_threat_23_with_31_liars_of_32_the_right_bytes_come(place: int) -> None:
    wanted = Wanted(pieces(64))
    sources = [MemorySource(f"{n}", wanted.blocks, LIES[n % len(LIES)]) for n in range(32)]
    sources[place].act = honest
    fetcher = fetch(wanted, *sources)
    assert wanted.complete
    assert fetcher.missing == []
    for number, tally in enumerate(fetcher.tallies):
        if number == place:
            assert (tally.lie, tally.rejected, tally.pieces) == (None, 0, 64)
        else:
            assert (tally.pieces, tally.bytes) == (0, 0)
            assert tally.rejected == len(sources[number].asked) <= THREADS


@pytest.mark.parametrize("lie", LIES)
def test_threat_24_only_the_liar_is_blamed_for_a_piece_that_both_sent(lie: Act) -> None:
    wanted = Wanted(pieces(1))
    liar, right = MemorySource("liar", wanted.blocks, lie), MemorySource("right", wanted.blocks)
    fetcher = fetch(wanted, liar, right, threads=1)
    assert wanted.complete
    blamed, other = fetcher.tallies
    assert (blamed.rejected, blamed.pieces, blamed.usable) == (1, 0, False)
    assert (other.rejected, other.pieces, other.usable) == (0, 1, True)


def test_a_liar_is_believed_until_its_first_lie_and_never_asked_again() -> None:
    wanted = Wanted(pieces(20))
    bad = hashlib.sha256(wanted.pieces[8]).digest()
    liar = MemorySource("liar", wanted.blocks, lambda d, b: flip(d, b) if d == bad else b)
    right = MemorySource("right", wanted.blocks)
    fetcher = fetch(wanted, liar, right, threads=1)
    assert wanted.complete
    assert len(liar.asked) == 9
    assert [tally.pieces for tally in fetcher.tallies] == [8, 12]


@pytest.mark.parametrize("lie", LIES)
def test_the_evidence_names_source_piece_and_both_digests(lie: Act) -> None:
    wanted = Wanted(pieces(1))
    fetcher = fetch(wanted, MemorySource("liar", wanted.blocks, lie))
    assert fetcher.missing == [("file", 0)]
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
    lie: Act, known: bool
) -> None:
    wanted = Wanted([pieces(1, PIECE_SIZE)[0]], lengths_known=known)
    fetcher = fetch(wanted, MemorySource("liar", wanted.blocks, lie))
    assert wanted.kept == {}
    assert fetcher.tallies[0].lie is not None
    assert fetcher.tallies[0].lie["length"] == PIECE_SIZE + 1


def test_a_block_of_unknown_length_may_be_short() -> None:
    wanted = Wanted([b"", b"short", bytes(PIECE_SIZE)], lengths_known=False)
    fetch(wanted, MemorySource("one", wanted.blocks))
    assert wanted.complete


# --- sources that fail -------------------------------------------------------------------------


def test_threat_32_dead_sources_are_unavailable_and_every_cause_is_kept() -> None:
    wanted = Wanted(pieces(30))
    fetcher = fetch(wanted, *(MemorySource(f"dead {n}", {}) for n in range(3)))
    error = failure(fetcher.tallies, "the file")
    assert isinstance(error, SourcesUnavailable)
    assert (error.family, error.exit_code) == ("could not check", 3)
    assert error.causes == [f"dead {n}: has not got it" for n in range(3)]
    assert wanted.kept == {}


def test_liars_and_dead_sources_together_are_a_lie_with_both_causes() -> None:
    wanted = Wanted(pieces(30))
    fetcher = fetch(
        wanted,
        MemorySource("dead", {}),
        MemorySource("liar", wanted.blocks, flip),
        MemorySource("second liar", wanted.blocks, another),
    )
    error = failure(fetcher.tallies, "the file")
    assert isinstance(error, SourcesLied)
    assert error.causes[0] == "dead: has not got it"
    assert {cause.split(":")[0] for cause in error.causes[1:]} == {"liar", "second liar"}
    assert "liar, second liar" in error.message


def test_a_source_that_fails_now_and_then_is_asked_again_for_other_pieces() -> None:
    wanted = Wanted(pieces(30))
    calls = iter(range(1000))

    def sometimes(digest: bytes, block: bytes) -> bytes:
        return block if next(calls) % 5 else refuse(digest, block)

    sources = [MemorySource(name, wanted.blocks, sometimes) for name in ("a", "b")]
    fetcher = fetch(wanted, *sources, threads=1)
    assert wanted.complete
    for tally in fetcher.tallies:
        assert tally.pieces > 10
        assert tally.failures > 1
        assert tally.causes == [f"{tally.source.name}: refused"]


def test_a_source_that_always_fails_is_dropped_after_a_few_tries() -> None:
    wanted = Wanted(pieces(100))
    dead, right = MemorySource("dead", {}), MemorySource("right", wanted.blocks)
    assert len(fetch(wanted, dead).tallies[0].causes) == 1
    assert 0 < len(dead.asked) < 8 + THREADS
    fetch(wanted, dead, right)
    assert wanted.complete


def test_many_different_causes_are_kept_but_not_without_end() -> None:
    wanted = Wanted(pieces(4000))
    sources = [MemorySource(f"{n}", {}) for n in range(30)]
    causes = failure(fetch(wanted, *sources).tallies, "it").causes
    assert len(causes) == 30


@given(
    st.lists(st.sampled_from([*LIES, honest, refuse]), max_size=6),
    st.integers(0, 6), st.integers(1, 25), st.integers(1, 5),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_whatever_the_others_do_one_honest_source_is_enough(
    acts: list[Act], place: int, count: int, threads: int
) -> None:
    acts.insert(place, honest)
    wanted = Wanted(pieces(count, 50))
    fetcher = fetch(
        wanted,
        *(MemorySource(f"{n}", wanted.blocks, act) for n, act in enumerate(acts)),
        threads=threads,
    )
    assert wanted.complete
    assert fetcher.missing == []
    for act, tally in zip(acts, fetcher.tallies, strict=True):
        assert (tally.lie is not None) == (tally.rejected > 0)
        assert act in LIES or tally.lie is None


# --- failures of our own -----------------------------------------------------------------------


def test_threat_35_a_disk_that_is_full_stops_everything_and_is_raised() -> None:
    wanted = Wanted(pieces(200))

    def full(_: memoryview) -> None:
        raise DiskError("the disk is full")

    def wants() -> Iterator[Want]:
        for want in wanted.wants():
            keep = full if want.index == 20 else want.keep
            yield Want(want.path, want.index, want.digest, want.length, keep)

    source = MemorySource("one", wanted.blocks)
    with pytest.raises(DiskError, match="full"):
        Fetcher([source], THREADS).run(wants(), wanted.on_piece)
    assert 20 not in wanted.kept
    assert len(source.asked) < 40
    assert all(wanted.kept[number] == wanted.pieces[number] for number in wanted.kept)


def test_an_error_in_the_wants_is_raised() -> None:
    wanted = Wanted(pieces(10))

    def wants() -> Iterator[Want]:
        yield from list(wanted.wants())[:5]
        raise UnsafePath("a link")

    with pytest.raises(UnsafePath):
        Fetcher([MemorySource("one", wanted.blocks)], THREADS).run(wants(), wanted.on_piece)
    assert set(wanted.kept) <= set(range(5))


def test_a_mistake_in_a_source_is_raised_not_swallowed() -> None:
    wanted = Wanted(pieces(10))

    def broken(_: bytes, block: bytes) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fetch(wanted, MemorySource("one", wanted.blocks, broken))


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
        fetch(wanted, MemorySource("slow", wanted.blocks, gate))
    thread.join()
    _nothing_is_kept_any_more(wanted, gate)


def test_an_error_is_raised_while_a_source_keeps_us_waiting() -> None:
    wanted = Wanted(pieces(20))
    gate = Gate(5)

    def wants() -> Iterator[Want]:
        yield from list(wanted.wants())[:6]
        gate.held.wait()
        raise UnsafePath("a link")

    with pytest.raises(UnsafePath):
        Fetcher([MemorySource("slow", wanted.blocks, gate)], 2).run(wants(), wanted.on_piece)
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
    wanted = Wanted(pieces(1))
    finished = []
    main = threading.main_thread().ident
    assert main is not None
    begun = threading.Event()

    def keep(_: memoryview) -> None:
        signal.pthread_kill(main, signal.SIGINT)
        begun.wait(0.3)  # long enough for who does not wait to be gone
        finished.append(True)

    def wants() -> Iterator[Want]:
        for want in wanted.wants():
            yield Want(want.path, want.index, want.digest, want.length, keep)

    with contextlib.suppress(SourceError), pytest.raises(KeyboardInterrupt):
        Fetcher([MemorySource("one", wanted.blocks)], 1).run(wants(), wanted.on_piece)
    assert finished == [True]
