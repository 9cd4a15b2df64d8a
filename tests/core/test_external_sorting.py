"""Sorting with the disk behind a port."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from integrity.core.sorting import ExternalSorter

from .releases import MemoryScratch
from .unhurried import given


@given(st.lists(st.binary(max_size=12)), st.integers(1, 7), st.integers(2, 4))
def test_records_come_back_sorted_whatever_was_spilled(
    records: list[bytes], limit: int, fan_in: int
) -> None:
    sorter = ExternalSorter(MemoryScratch(), limit, fan_in)
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
        held = len(scratch.held)
        sorter.add(b"%d" % n)
        assert (len(scratch.held) > held) == (n % 3 == 2)


def test_runs_are_merged_before_there_are_too_many() -> None:
    """Few frames are in memory at a time, however many records there are."""
    sorter = ExternalSorter(MemoryScratch(), limit=4, fan_in=3)
    records = [b"%06d" % (n * 7919 % 1000) for n in range(1000)]
    for record in records:
        sorter.add(record)
    assert list(sorter) == sorted(records)
    runs = [run for level in sorter._runs for run in level]
    assert len(runs) <= 2 * 6  # two of each length at most: 3 ** 6 is more than the 250 written


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
