"""What this home has seen vouched for: each file is read in one way by whoever reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from integrity.client.seen import Seen

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
