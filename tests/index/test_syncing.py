"""Step by step up to a block, and back over blocks that the chain drops."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.errors import RpcAnswerInvalid, RpcUnavailable
from integrity.index.database import MARKS, Index, Mark, Scope
from integrity.index.reading import endorsements, latest_changes, releases, revocations
from integrity.index.searching import Query, Searching
from integrity.index.syncing import Sync
from integrity.index.words import asked
from integrity.ports import EventStep, Progress

from .chains import (
    ACME,
    OTHER,
    SCOPE,
    Chain,
    Endorse,
    Latest,
    Release,
    Revoke,
    Wanted,
    contents,
    digest,
    synced,
)


def names(index: Index, *words: str) -> list[str]:
    wanted = asked(words)
    hits = Searching(index, SCOPE).run(Query(wanted, [()] * len(wanted), limit=100)).hits
    return sorted(hit.package for hit in hits)


def test_what_the_events_say_is_found_again(index: Index) -> None:
    chain = Chain()
    manifest = digest(f"{ACME.hex()}/tool@1.0.0")
    chain.mine([Release("tool"), Release("tool", "2.0.0", 2), Release("other", publisher=OTHER)])
    chain.mine([Latest("tool", "1.0.0", 1), Revoke("tool", "2.0.0", 2, text="it\x1b[2J leaks")])
    chain.mine([Endorse(manifest), Endorse(manifest, b"\x07" * 20, 2)])
    chain.mine([Endorse(manifest, kind=0)])
    done = synced(index, chain)
    assert (done.events, done.warnings) == (8, [])
    assert index.mark(SCOPE) == Mark(4, chain.newest.hash, False)
    rows = releases(index, SCOPE, ACME, "tool", 4)
    assert [(row.version, row.sequence, row.block) for row in rows] == [
        ("1.0.0", 1, 1),
        ("2.0.0", 2, 1),
    ]
    assert rows[0].manifest == manifest
    assert rows[0].block_hash == chain.block(1).hash
    assert rows[0].transaction == digest("transaction 1 0")
    assert releases(index, SCOPE, OTHER, "tool", 4) == []
    assert releases(index, SCOPE, ACME, "tool", 0) == [], "nothing from after the block"
    (change,) = latest_changes(index, SCOPE, ACME, "tool", 4)
    assert (change.version, change.sequence, change.block) == ("1.0.0", 1, 2)
    (revoked,) = revocations(index, SCOPE, ACME, "tool", 4)
    assert (revoked.sequence, revoked.reason, revoked.text) == (2, 2, "it\x1b[2J leaks")
    said = {row.endorser: row.kind for row in endorsements(index, SCOPE, manifest, 4)}
    assert said == {OTHER: 0, b"\x07" * 20: 2}, "the last word of each"
    before = {row.endorser: row.kind for row in endorsements(index, SCOPE, manifest, 3)}
    assert before == {OTHER: 1, b"\x07" * 20: 2}


def test_an_endorser_who_is_asked_for_is_told_however_many_others_there_are(index: Index) -> None:
    chain = Chain()
    manifest = digest("x")
    chain.mine([Endorse(manifest, bytes([1, n]) * 10) for n in range(50)])
    chain.mine([Endorse(manifest, b"\xff" * 20, 3)])
    synced(index, chain)
    some = endorsements(index, SCOPE, manifest, 9, limit=10)
    assert len(some) == 10
    assert b"\xff" * 20 not in {row.endorser for row in some}
    asked_for = endorsements(index, SCOPE, manifest, 9, [b"\xff" * 20, b"\x01\x00" * 10], limit=10)
    assert len(asked_for) == 11, "nobody twice"
    assert b"\xff" * 20 in {row.endorser for row in asked_for}


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_threat_07_what_a_reorg_drops_is_taken_out(index: Index, depth: int) -> None:
    chain = Chain()
    for number in range(30):
        chain.mine([Release(f"old-{number}")])
    synced(index, chain)
    chain.drop(depth)
    for number in range(depth + 1):
        chain.mine([Release(f"new-{number}")])
    done = synced(index, chain)
    assert done.warnings == [], "these blocks were never called final"
    assert names(index, "old") == sorted(f"old-{n}" for n in range(30 - depth))
    assert len(contents(index)["packages"]) == 31
    with Index(index.path.with_name("fresh.db")) as fresh:
        synced(fresh, chain)
        assert contents(fresh) == contents(index)


def test_threat_07_a_contradicted_finality_is_told(index: Index) -> None:
    chain = Chain(width=2)
    for number in range(9):
        chain.mine([Release(f"old-{number}")])
    synced(index, chain, final=True)
    chain.drop(4)
    for number in range(4):
        chain.mine([Release(f"new-{number}")])
    done = synced(index, chain, final=True)
    (warning,) = done.warnings
    assert "a chain contradicts what was final: its block 7" in warning
    assert names(index, "new") == [f"new-{n}" for n in range(4)]
    assert names(index, "old") == [f"old-{n}" for n in range(5)]


def test_a_chain_that_has_nothing_in_common_is_read_anew(index: Index) -> None:
    one, other = Chain(), Chain()
    for chain, name in ((one, "one"), (other, "other")):
        for number in range(8):
            chain.mine([Release(f"{name}-{number}")])
    synced(index, one)
    synced(index, other)
    assert names(index, "one") == []
    assert len(names(index, "other")) == 8


def test_a_node_that_is_behind_changes_nothing(index: Index) -> None:
    chain = Chain()
    for number in range(12):
        chain.mine([Release(f"p-{number}")])
    synced(index, chain)
    before, mark = contents(index), index.mark(SCOPE)
    done = synced(index, chain, chain.block(4))
    assert (done.events, done.warnings) == (0, [])
    assert (contents(index), index.mark(SCOPE)) == (before, mark)


def test_a_node_that_is_behind_on_another_chain_is_noticed(index: Index) -> None:
    chain, other = Chain(), Chain()
    for number in range(12):
        chain.mine([Release(f"p-{number}")])
    for number in range(7):
        other.mine([Release(f"q-{number}")])
    synced(index, chain, final=True)
    done = synced(index, other, final=True)
    assert len(done.warnings) == 1
    assert names(index, "p") == []
    assert len(names(index, "q")) == 7


def test_two_registries_do_not_mix(index: Index) -> None:
    here, there = Chain(), Chain()
    here.mine([Release("tool-here")])
    there.mine([Release("tool-there")])
    elsewhere = Scope(1, SCOPE.address)
    synced(index, here)
    Sync(index, there, elsewhere).run(there.newest)
    assert names(index, "tool") == ["tool-here"]
    found = Searching(index, elsewhere).run(Query(asked(["tool"]), [()])).hits
    assert [hit.package for hit in found] == ["tool-there"]
    there.drop(1)
    there.mine([])
    Sync(index, there, elsewhere, final=False).run(there.newest)
    assert names(index, "tool") == ["tool-here"]
    assert releases(index, elsewhere, ACME, "tool-there", 9) == []


def test_only_so_many_marks_are_kept(index: Index) -> None:
    chain = Chain(width=1)
    for _ in range(MARKS + 20):
        chain.mine([])
    synced(index, chain, final=True)
    marks = index.marks(SCOPE, 2 * MARKS)
    assert len(marks) == MARKS
    assert marks[0].number == MARKS + 20


def test_progress_is_told_in_blocks(index: Index) -> None:
    chain, told = Chain(width=2), list[Progress]()
    for _ in range(5):
        chain.mine([])
    Sync(index, chain, SCOPE, first=1, report=told.append).run(chain.newest)
    assert [(one.done, one.total, one.unit) for one in told] == [
        (2, 5, "blocks"), (4, 5, "blocks"), (5, 5, "blocks"),
    ]  # fmt: skip


# --- trouble in between ------------------------------------------------------------------------


class Breaking(Chain):
    """Gives two steps, and then no more."""

    def events(self, address, first, last):  # type: ignore[no-untyped-def]
        for number, step in enumerate(Chain.events(self, address, first, last)):
            if number == 2:
                raise RpcUnavailable("the line is cut")
            yield step


def test_what_was_read_before_a_failure_is_kept(index: Index) -> None:
    chain = Breaking()
    for number in range(20):
        chain.mine([Release(f"p-{number}")])
    with pytest.raises(RpcUnavailable, match="the line is cut"):
        synced(index, chain)
    assert index.mark(SCOPE) == Mark(5, chain.block(5).hash, False)
    assert len(names(index, "p")) == 5


def test_a_step_that_fails_in_the_middle_has_done_nothing(index: Index) -> None:
    chain = Chain()
    chain.mine([Release("a"), Release("b")])
    synced(index, chain)
    mark, before = index.mark(SCOPE), contents(index)
    place = chain.blocks[1][1][0].place._replace(block=2)
    good = Release("c").at(place)
    bad: Any = Release("d").at(place)
    bad = bad._replace(manifest=object())
    with pytest.raises(Exception):  # noqa: B017 - whatever SQLite says of it
        index.add(SCOPE, mark, EventStep(2, b"\x02" * 32, [good, bad]), final=True)
    assert (contents(index), index.mark(SCOPE)) == (before, mark)
    assert index.add(SCOPE, mark, EventStep(2, b"\x02" * 32, [good]), final=True)
    assert names(index, "c") == ["c"]


def test_a_step_after_a_mark_that_moved_is_not_put_in(index: Index) -> None:
    chain = Chain()
    chain.mine([Release("a")])
    step = EventStep(1, chain.newest.hash, chain.blocks[1][1])
    with Index(index.path) as other:
        assert other.add(SCOPE, None, step, final=True)
    assert not index.add(SCOPE, None, step, final=True)
    assert names(index, "a") == ["a"]


def test_rows_that_another_process_numbered_anew_are_not_taken_for_the_old_ones(
    index: Index,
) -> None:
    chain = Chain(width=1)
    for name in ("a", "b", "c"):
        chain.mine([Release(name)])
    synced(index, chain)
    mark = index.mark(SCOPE)
    with Index(index.path) as other:
        marks = other.marks(SCOPE)
        assert other.roll_back(SCOPE, marks[0], None)
        hidden = Chain(width=1, blocks=[chain.blocks[0], *((h, []) for h, _ in chain.blocks[1:3])])
        hidden.blocks.append((chain.blocks[3][0], [Release("c").at(chain.blocks[3][1][0].place)]))
        synced(other, hidden)
        assert other.mark(SCOPE) == mark
    chain.mine([Release("b", "2.0.0", 2), Release("c", "2.0.0", 2)])
    synced(index, chain)
    assert names(index, "b") == ["b"]
    assert names(index, "c") == ["c"]
    assert [row.version for row in releases(index, SCOPE, ACME, "c", 9)] == ["1.0.0", "2.0.0"]


class Racing(Chain):
    """Somebody else does each step a moment earlier, a few times."""

    def events(self, address, first, last):  # type: ignore[no-untyped-def]
        for step in Chain.events(self, address, first, last):
            if self.times:
                self.times -= 1
                with Index(self.path) as other:
                    assert other.add(SCOPE, other.mark(SCOPE), step, final=False)
            yield step

    path = Path()
    times = 0


@pytest.mark.parametrize("times", [1, 3])
def test_two_that_sync_at_once_share_the_work(index: Index, times: int) -> None:
    chain = Racing()
    chain.path, chain.times = index.path, times
    for number in range(12):
        chain.mine([Release(f"p-{number}")])
    synced(index, chain)
    assert len(names(index, "p")) == 12
    with Index(index.path.with_name("fresh.db")) as fresh:
        synced(fresh, chain)
        assert contents(fresh) == contents(index)


def test_a_chain_that_changes_all_the_time_is_an_error(index: Index) -> None:
    chain = Racing()
    chain.path, chain.times = index.path, 100
    chain.width = 1
    for _ in range(40):
        chain.mine([])
    with pytest.raises(RpcAnswerInvalid, match="another process"):
        synced(index, chain)


# --- whatever the chain does -------------------------------------------------------------------

PACKAGES = st.sampled_from(["tool", "lib", "my-tool.v2"])
PUBLISHERS = st.sampled_from([ACME, OTHER])
VERSIONS = st.sampled_from(["1", "2.0-rc.1"])
EVENTS: st.SearchStrategy[Wanted] = st.one_of(
    st.builds(Release, PACKAGES, VERSIONS, st.integers(1, 3), PUBLISHERS, st.booleans()),
    st.builds(Latest, PACKAGES, VERSIONS, st.integers(1, 3), PUBLISHERS),
    st.builds(Revoke, PACKAGES, VERSIONS, st.integers(1, 3), st.just(2), st.text(), PUBLISHERS),
    st.builds(
        Endorse, st.sampled_from([b"\x01" * 32, b"\x02" * 32]), PUBLISHERS, st.integers(0, 3)
    ),
)
BLOCKS = st.lists(st.lists(EVENTS, max_size=3), max_size=6)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 12), BLOCKS, st.booleans()), max_size=6), st.integers(1, 5)
)
def test_the_index_is_always_that_of_a_chain_read_from_its_beginning(
    turns: list[tuple[int, list[list[Wanted]], bool]], width: int
) -> None:
    chain = Chain(width=width)
    with TemporaryDirectory() as place:
        with Index(Path(place) / "index.db") as index:
            for depth, blocks, is_synced in turns:
                chain.drop(depth)
                for wanted in blocks:
                    chain.mine(wanted)
                if is_synced:
                    synced(index, chain)
            while len(chain.blocks) <= getattr(index.mark(SCOPE), "number", 0):
                chain.mine(
                    []
                )  # of a chain that is shorter than what was read nothing could be said
            synced(index, chain)
            found = contents(index)
            words = index.file.connection.execute(
                "SELECT count(*) FROM word WHERE word MATCH '\"t\"*'"
            )
            (tools,) = words.fetchone()
        with Index(Path(place) / "fresh.db") as fresh:
            synced(fresh, chain)
            assert contents(fresh) == found
        assert tools == sum("tool" in str(name) for _, name in found["packages"])
