"""Small files written whole, folders remembered by their stats, and records sorted on disk."""

from __future__ import annotations

import os
import random
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.core.sorting import ExternalSorter
from integrity.disk.files import write_whole
from integrity.disk.remembered import Remembered, Stats
from integrity.disk.system import Signature, read_at, read_whole, regular_signature, write_at
from integrity.disk.temporary import TemporaryScratch
from integrity.errors import DiskError

from .helpers import MIB, open_descriptors, pattern, without_rights


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file may grow beyond this: a disk that is full, for who writes to it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- write_whole -------------------------------------------------------------------------------


def test_a_file_is_replaced_as_a_whole_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    before = open_descriptors()
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]
    assert open_descriptors() <= before


def test_a_private_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_whole(tmp_path / "keys" / "file", b"secret", private=True)
        write_whole(tmp_path / "other" / "file", b"public")
    finally:
        os.umask(old)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys" / "file").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "other" / "file").stat().st_mode & 0o777 == 0o666


def test_threat_35_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"old")
    with file_size_limit(1000), pytest.raises(DiskError, match="File too large"):
        write_whole(tmp_path / "file", bytes(2000))
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_the_way_is_a_disk_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file" / "inside").mkdir(parents=True)
    with pytest.raises(DiskError):
        write_whole(tmp_path / "file", b"data")
    (tmp_path / "plain").touch()
    with pytest.raises(DiskError):
        write_whole(tmp_path / "plain" / "file", b"data")
    with pytest.raises(DiskError):
        write_whole(tmp_path / ("n" * 255), b"data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "plain"]


def test_a_link_at_the_place_is_replaced_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("canary")
    (tmp_path / "file").symlink_to("other")
    write_whole(tmp_path / "file", b"data")
    assert (tmp_path / "other").read_text() == "canary"
    assert not (tmp_path / "file").is_symlink()


def test_writers_at_once_each_write_the_whole_file(tmp_path: Path) -> None:
    contents = [bytes([number]) * 100_000 for number in range(8)]

    def write(data: bytes) -> None:
        for _ in range(5):
            write_whole(tmp_path / "file", data)

    threads = [threading.Thread(target=write, args=(data,)) for data in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if (tmp_path / "file").exists():
            assert (tmp_path / "file").read_bytes() in contents
    for thread in threads:
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- Remembered --------------------------------------------------------------------------------

MANIFEST = b"m" * 32
STATS: list[Signature] = [(1, 2, 3, 4, 5), (2**62, 2**63 - 1, 0, 2**64 - 1, 2**64 - 1)]


def summed(signatures: list[Signature]) -> Stats:
    stats = Stats()
    for one in signatures:
        stats.add(one)
    return stats


@pytest.fixture
def remembered(tmp_path: Path) -> Remembered:
    return Remembered(tmp_path / "memory")


def test_a_folder_is_known_again_by_every_stat_of_it(
    remembered: Remembered, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    assert not remembered.matches(target, MANIFEST, STATS)
    remembered.keep(target, MANIFEST, summed(STATS))
    assert remembered.matches(target, MANIFEST, STATS)
    assert remembered.matches(tmp_path / "x" / ".." / "out", MANIFEST, STATS)
    others: list[list[Signature | None]] = [
        [], [STATS[0]], [*STATS, STATS[0]], [STATS[1], STATS[0]], [STATS[0], None],
        [STATS[0], (*STATS[1][:2], 1, *STATS[1][3:])],
    ]  # fmt: skip
    for other in others:
        assert not remembered.matches(target, MANIFEST, other)
    assert not remembered.matches(target, b"n" * 32, STATS)
    assert not remembered.matches(tmp_path / "other", MANIFEST, STATS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:0], lambda data: data[:-1], lambda data: data + b"x", lambda data: data[:20],
        lambda data: b"x" + data[1:], lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
        lambda data: data + data[-32:], lambda data: data[:-32],
    ],
)  # fmt: skip
def test_threat_34_a_damaged_memory_remembers_nothing(
    remembered: Remembered, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    remembered.keep(tmp_path / "out", MANIFEST, summed(STATS))
    (file,) = (tmp_path / "memory").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert not remembered.matches(tmp_path / "out", MANIFEST, STATS)


def test_a_memory_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("a file where the folder should be")
    remembered = Remembered(tmp_path / "memory")
    remembered.keep(tmp_path / "out", MANIFEST, summed(STATS))
    assert not remembered.matches(tmp_path / "out", MANIFEST, STATS)


def test_only_a_regular_file_has_a_signature(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    assert regular_signature((tmp_path / "file").lstat()) is not None
    for name in (".", "link", "fifo"):
        assert regular_signature((tmp_path / name).lstat()) is None
    assert regular_signature(None) is None


# --- sorting with a scratch --------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40), max_size=300), st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_records_come_back_sorted_from_the_disk(records: list[bytes], limit: int) -> None:
    with TemporaryScratch() as scratch:
        sorter = ExternalSorter(scratch, limit)
        for record in records:
            sorter.add(record)
        assert list(sorter) == sorted(records)


def test_long_records_and_two_sorters_share_one_scratch() -> None:
    generator = random.Random(7)
    records = [generator.randbytes(generator.choice([0, 1, 5, 70_000, 200_000])) for _ in range(60)]
    before = open_descriptors()
    with TemporaryScratch() as scratch:
        one, other = ExternalSorter(scratch, 7), ExternalSorter(scratch, 3)
        for record in records:
            one.add(record)
            other.add(record[::-1])
        assert list(one) == sorted(records)
        assert list(other) == sorted(record[::-1] for record in records)
    assert open_descriptors() <= before


def test_a_scratch_makes_no_file_until_it_is_needed_and_leaves_none(tmp_path: Path) -> None:
    with TemporaryScratch(tmp_path) as scratch:
        assert list(tmp_path.iterdir()) == []
        assert scratch.read(0, 10) == b""
        assert scratch.append(b"abc") == 0
        assert scratch.append(b"def") == 3
        assert (scratch.read(2, 2), scratch.read(4, 100)) == (b"cd", b"ef")
    assert list(tmp_path.iterdir()) == []


def test_threat_35_a_scratch_without_room_is_a_disk_error(tmp_path: Path) -> None:
    with TemporaryScratch(tmp_path / "absent") as scratch, pytest.raises(DiskError):
        scratch.append(b"x")
    with (
        TemporaryScratch(tmp_path) as scratch,
        file_size_limit(100_000),
        pytest.raises(DiskError, match="no room"),
    ):
        scratch.append(bytes(200_000))


def test_a_scratch_in_a_closed_folder_is_a_disk_error(open_folder: Path) -> None:
    open_folder.chmod(0o555)

    def attempt() -> str:
        with TemporaryScratch(open_folder) as scratch, pytest.raises(DiskError) as caught:
            scratch.append(b"x")
        return caught.value.name

    assert without_rights(attempt) == "DiskError"


# --- positional reads and writes ---------------------------------------------------------------


@pytest.mark.parametrize(("offset", "size"), [(0, 10), (MIB, MIB), (3 * MIB - 3, 10), (9 * MIB, 5)])
def test_reading_at_an_offset_stops_only_at_the_end(tmp_path: Path, offset: int, size: int) -> None:
    data = pattern(3 * MIB)
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as file:
        buffer = bytearray(size)
        got = read_at(file.fileno(), memoryview(buffer), offset)
        assert buffer[:got] == data[offset : offset + size]
        assert got == len(data[offset : offset + size])


def test_reading_whole_gathers_what_a_pipe_gives_in_bits() -> None:
    ours, theirs = os.pipe()
    thread = threading.Thread(target=lambda: [os.write(theirs, b"ab") for _ in range(50)])
    thread.start()
    assert read_whole(ours, 100) == b"ab" * 50
    thread.join()
    os.close(theirs)
    assert read_whole(ours, 100) == b""
    os.close(ours)


def test_threat_35_a_write_that_is_cut_short_is_an_error_not_a_short_file(tmp_path: Path) -> None:
    with (
        (tmp_path / "file").open("wb") as file,
        file_size_limit(1500),
        pytest.raises(OSError, match="too large"),
    ):
        write_at(file.fileno(), memoryview(bytes(1000)), 1000)
