"""Hashing on all cores gives what hashlib gives, in order, and lets go of every file."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.core.pieces import PIECE_SIZE, split_digests
from integrity.disk.hashing import SMALL, Hashed, Hasher, Job, NotTaken
from integrity.disk.system import signature

from .helpers import MIB, open_descriptors, pattern

EDGES = [
    0, 1, SMALL - 1, SMALL, SMALL + 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB - 1, 3 * MIB + 1,
    5 * MIB + 12345,
]  # fmt: skip


def pieces_of(data: bytes) -> bytes:
    cuts = range(0, max(1, len(data)), PIECE_SIZE)
    return b"".join(hashlib.sha256(data[at : at + PIECE_SIZE]).digest() for at in cuts)


def open_job(path: Path, size: int | None = None) -> Job[str]:
    fd = os.open(path, os.O_RDONLY)
    return Job(path.name, fd, os.fstat(fd).st_size if size is None else size)


def hash_all(
    jobs: Iterable[Job[str]], *, whole: bool = True, workers: int | None = None
) -> list[Hashed[str]]:
    with Hasher[str](whole=whole, workers=workers) as hasher:
        return list(hasher.run(jobs))


def hashing_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("hash-")]


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_digests_are_those_of_hashlib_at_every_edge(tmp_path: Path, workers: int) -> None:
    files = {str(size): pattern(size, size % 251) for size in EDGES}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    before = open_descriptors()
    results = hash_all((open_job(tmp_path / name) for name in files), workers=workers)
    assert [result.item for result in results] == list(files)
    for result in results:
        data = files[result.item]
        assert result.error is None
        assert result.digests == pieces_of(data)
        assert result.length == result.size == len(data)
        assert result.after == signature(os.stat(tmp_path / result.item))
        several = len(data) > PIECE_SIZE
        assert result.whole == (hashlib.sha256(data).digest() if several else None)
    assert open_descriptors() <= before
    assert hashing_threads() == []


@given(st.lists(st.integers(0, 4 * MIB), max_size=12), st.integers(1, 4), st.booleans())
@settings(max_examples=30, deadline=None)
def test_any_mix_of_sizes_comes_back_in_order(sizes: list[int], workers: int, whole: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        contents = [pattern(size, number) for number, size in enumerate(sizes)]
        for number, data in enumerate(contents):
            (Path(name) / str(number)).write_bytes(data)
        jobs = (open_job(Path(name) / str(number)) for number in range(len(sizes)))
        results = hash_all(jobs, whole=whole, workers=workers)
    assert [result.item for result in results] == [str(n) for n in range(len(sizes))]
    assert [result.digests for result in results] == [pieces_of(data) for data in contents]
    if not whole:
        assert all(result.whole is None for result in results)


def test_small_files_overtake_nobody(tmp_path: Path) -> None:
    names = []
    for number in range(300):
        path = tmp_path / f"{number:03}"
        path.write_bytes(pattern(3 * MIB if number % 60 == 0 else number, number))
        names.append(path.name)
    results = hash_all(open_job(tmp_path / name) for name in names)
    assert [result.item for result in results] == names


def test_jobs_of_nothing_keep_their_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    results = hash_all([Job("a", None, 0), open_job(tmp_path / "file"), Job("b", None, 0)])
    assert [(r.item, r.after is None, r.digests == b"") for r in results] == [
        ("a", True, True), ("file", False, False), ("b", True, True),
    ]  # fmt: skip


def test_hashed_bytes_counts_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(pattern(2 * MIB + 7))
    (tmp_path / "small").write_bytes(pattern(9))
    with Hasher[str](whole=True) as hasher:
        list(hasher.run([open_job(tmp_path / "large"), open_job(tmp_path / "small")]))
    assert hasher.hashed_bytes == 2 * MIB + 7 + 9


@pytest.mark.parametrize("whole", [False, True])
def test_every_piece_is_given_on_with_its_digest(tmp_path: Path, whole: bool) -> None:
    sizes = [0, 1, SMALL, SMALL + 1, MIB, 3 * MIB + 5]
    taken: list[tuple[bytes, bytes]] = []
    jobs = []
    for size in sizes:
        (tmp_path / str(size)).write_bytes(pattern(size))
        jobs.append(open_job(tmp_path / str(size)))
    with Hasher[str](
        whole=whole, take=lambda digest, piece, _: taken.append((digest, piece))
    ) as it:
        results = list(it.run(jobs))
    expected = [
        pattern(size)[at : at + MIB] for size in sizes for at in range(0, max(size, 1), MIB)
    ]
    assert sorted(taken) == sorted((hashlib.sha256(piece).digest(), piece) for piece in expected)
    assert b"".join(sorted(digest for digest, _ in taken)) == b"".join(
        sorted(d for result in results for d in split_digests(result.digests))
    )


def test_who_takes_no_piece_for_ever_does_not_hold_up_the_end(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(pattern(5 * MIB))
    waiting = threading.Event()

    def take(_: bytes, __: bytes, stopped: Callable[[], bool]) -> None:
        waiting.set()
        while not stopped():
            time.sleep(0.01)

    class Given(Exception):
        pass

    def jobs() -> Iterator[Job[str]]:
        yield open_job(tmp_path / "large")
        waiting.wait()
        raise Given

    with pytest.raises(Given), Hasher[str](whole=True, take=take) as hasher:
        list(hasher.run(jobs()))


@pytest.mark.parametrize("size", [10, 3 * MIB])
@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "of the upload"), ValueError("?")])
def test_what_taking_a_piece_raises_ends_the_hashing(
    tmp_path: Path, size: int, error: Exception
) -> None:
    (tmp_path / "file").write_bytes(pattern(size))

    def take(*_: object) -> None:
        raise error

    kind = NotTaken if isinstance(error, OSError) else type(error)
    with pytest.raises(kind), Hasher[str](whole=True, take=take) as hasher:
        list(hasher.run([open_job(tmp_path / "file")]))
    assert hashing_threads() == []


# --- files that are not what they were ---------------------------------------------------------


@pytest.mark.parametrize("size", [10, SMALL, 3 * MIB + 5])
def test_a_file_that_shrank_says_how_much_there_was(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(pattern(size))
    job = open_job(tmp_path / "file")
    os.truncate(tmp_path / "file", size // 2)
    (result,) = hash_all([job])
    assert (result.length, result.size) == (size // 2, size)
    assert result.after is not None
    assert result.after[0] == size // 2


@pytest.mark.parametrize("size", [10, SMALL, 3 * MIB + 5])
def test_a_file_that_grew_is_hashed_as_far_as_it_was_and_shows_its_new_size(
    tmp_path: Path, size: int
) -> None:
    data = pattern(size)
    (tmp_path / "file").write_bytes(data)
    job = open_job(tmp_path / "file")
    with (tmp_path / "file").open("ab") as file:
        file.write(b"more")
    (result,) = hash_all([job])
    assert (result.length, result.digests) == (size, pieces_of(data))
    assert result.after is not None
    assert result.after[0] == size + 4


@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_a_file_that_cannot_be_read_is_an_error_of_that_file_alone(
    tmp_path: Path, size: int
) -> None:
    (tmp_path / "good").write_bytes(pattern(2 * MIB))
    # Address 0 of a process is never mapped: a real EIO, without a broken disk.
    jobs = [open_job(Path("/proc/self/mem"), size), open_job(tmp_path / "good")]
    before = open_descriptors() - {
        f"{job.fd} {os.readlink(f'/proc/self/fd/{job.fd}')}" for job in jobs
    }
    bad, good = hash_all(jobs)
    assert isinstance(bad.error, OSError)
    assert good.error is None
    assert good.digests == pieces_of(pattern(2 * MIB))
    assert open_descriptors() <= before


# --- leaving early -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SMALL, 3 * MIB])
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_leaving_early_closes_every_file_and_ends_every_thread(
    tmp_path: Path, size: int, taken: int
) -> None:
    for number in range(12):
        (tmp_path / str(number)).write_bytes(pattern(size, number))
    before = open_descriptors()
    with Hasher[str](whole=True, workers=3) as hasher:
        results = hasher.run(open_job(tmp_path / str(number)) for number in range(12))
        for _ in range(taken):
            next(results)
    del results
    assert open_descriptors() <= before
    assert hashing_threads() == []


def test_an_error_in_the_jobs_closes_every_file(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / str(number)).write_bytes(pattern(3 * MIB, number))

    def jobs() -> Iterator[Job[str]]:
        for number in range(6):
            yield open_job(tmp_path / str(number))
        raise LookupError("the walk failed")

    before = open_descriptors()
    with pytest.raises(LookupError):
        hash_all(jobs(), workers=8)
    assert open_descriptors() <= before
    assert hashing_threads() == []
