"""What this home has seen vouched for: each file is read in one way by whoever reads it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from integrity.client.seen import Seen
from integrity.core.links import Link, parse_link
from integrity.core.registry import Block, Head
from integrity.disk import files
from integrity.verifier.checks import Mark
from integrity.verifier.policy import FINALIZED
from integrity.verifier.record import Record
from integrity.verifier.state import CHECKPOINT, QUORUM, Vouched

HASH = bytes(32)


@pytest.mark.parametrize(
    ("text", "votes"),
    [("checkpoint", 100), ("1", 1), ("3", 3), ("100", 100), ("000000002", 2)]
    + [(bad, None) for bad in ("", "0x3", "-1", "3\n", " 3", "٣", "²", "9" * 10, "9" * 5000, "x")],
)
def test_who_vouched_for_a_block_is_read_or_told_to_be_broken(
    tmp_path: Path, text: str, votes: int | None
) -> None:
    seen = Seen(tmp_path)
    path = seen._block(1, HASH)
    path.parent.mkdir()
    path.write_text(text)
    assert seen.broken() == ([path] if votes is None else [])
    assert seen.has_block(1, HASH, votes or 1) == (votes is not None)
    assert not seen.has_block(1, HASH, 101) or text == "checkpoint"


@pytest.mark.parametrize(
    "text", ["[" * 10**5, "{}", '{"count": %s}' % ("9" * 5000), '{"count": 1.0, "block": 1}', ""]
)
def test_a_mark_that_is_none_is_told_to_be_broken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ab"
    path.write_text(text)
    assert Seen(tmp_path).broken() == [path]


def record(count: int, block: int, how: str = QUORUM) -> Record:
    """A release as it is seen in a package with so many, well vouched for."""
    link = parse_link("integrity:1:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed/tool@1.0.0")
    assert isinstance(link, Link)
    return Record(
        1, link.publisher, "tool", "1.0.0", HASH, 1, Head(count, 1, count), 1, link.publisher,
        Block(block, block.to_bytes(32, "big"), count), link.publisher,
        Vouched(how, ("a", "b"), 2, finality=FINALIZED), True,
    )  # fmt: skip


def mark(seen: Seen) -> Mark | None:
    one = record(1, 1)
    return seen.mark(one.chain_id, one.registry, one.publisher, one.package)


def test_a_mark_never_goes_down_whoever_vouches_for_less(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    seen.note(record(5, 18))
    for less in (record(2, 19, CHECKPOINT), record(2, 10**9), record(9, 17), record(5, 18)):
        seen.note(less)
        assert mark(seen) == Mark(5, 5, 18)
    seen.note(record(6, 20, CHECKPOINT))
    assert mark(seen) == Mark(6, 6, 20)


def test_of_two_that_note_at_once_the_further_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, write = Seen(tmp_path), files.write_whole
    near, further = record(5, 5), record(9, 9)
    path = seen.path(near.chain_id, near.registry, near.publisher, near.package)
    other = threading.Thread(target=Seen(tmp_path).note, args=(further,))

    def slow(where: Path, data: bytes, *, private: bool) -> None:
        if where == path and not other.ident:
            other.start()
            other.join(1)
        write(where, data, private=private)

    monkeypatch.setattr("integrity.client.seen.write_whole", slow)
    seen.note(near)
    other.join()
    assert mark(seen) == Mark(9, 9, 9)
    assert seen.broken() == []
