"""Sorting with the disk behind a port."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from integrity.core.sorting import ExternalSorter

from .releases import MemoryScratch
from .unhurried import given


@given(st.lists(st.binary(max_size=12)), st.integers(1, 7))
def test_records_come_back_sorted_whatever_was_spilled(records: list[bytes], limit: int) -> None:
    sorter = ExternalSorter(MemoryScratch(), limit)
    for record in records:
        sorter.add(record)
    assert list(sorter) == sorted(records)
    assert list(sorter) == sorted(records)


def test_records_longer_than_a_read_come_back_whole() -> None:
    records = [bytes((n,)) * size for n, size in enumerate([0, 1, 65_531, 65_532, 65_536, 300_000])]
    sorter = ExternalSorter(MemoryScratch(), limit=2)
    for record in reversed(records):
        sorter.add(record)
    assert list(sorter) == sorted(records)


def test_no_more_than_the_limit_is_held() -> None:
    scratch = MemoryScratch()
    sorter = ExternalSorter(scratch, limit=3)
    for n in range(8):
        sorter.add(b"%d" % n)
        assert len(scratch.held) == (n + 1) // 3 * 3 * (4 + 1)


class ShortScratch(MemoryScratch):
    """Gives back at most a few bytes at once, as a pipe would."""

    def read(self, offset: int, size: int) -> bytes:
        return super().read(offset, min(size, 5))


class LosingScratch(MemoryScratch):
    """Has lost the last byte of what was put down."""

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.held[:-1][offset : offset + size])


def test_short_reads_are_read_on() -> None:
    sorter = ExternalSorter(ShortScratch(), limit=2)
    records = [b"long-record-%d" % n for n in range(7)]
    for record in reversed(records):
        sorter.add(record)
    assert list(sorter) == records


def test_lost_bytes_are_noticed() -> None:
    sorter = ExternalSorter(LosingScratch(), limit=2)
    sorter.add(b"one")
    sorter.add(b"two")
    with pytest.raises(EOFError):
        list(sorter)
