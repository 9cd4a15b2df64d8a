"""Threat 45: whatever became of the files and the database, a block is right or it is absent."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from integrity.core.anycid import is_key_of
from integrity.errors import StoreError
from integrity.store import reading
from integrity.store.database import Store
from integrity.store.reading import BlockReader

from .helpers import MIB, digest, pattern, piece, put

TOOL = pattern(2 * MIB + 9)
FILES = {"README": b"read me", "tool": TOOL, "empty": b""}


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> Path:
    put(store, tmp_path / "release", FILES)
    return tmp_path / "release"


@pytest.fixture
def reader(store: Store) -> BlockReader:
    return BlockReader(store)


def test_every_block_is_given_with_its_bytes(
    store: Store, folder: Path, reader: BlockReader
) -> None:
    for index in range(3):
        assert reader.read(piece(TOOL, index)) == TOOL[index * MIB : (index + 1) * MIB]
    assert reader.read(digest(b"read me")) == b"read me"
    assert reader.read(digest(b"")) == b""
    manifest = store.releases()[0].manifest
    block = reader.read(manifest)
    assert block is not None
    assert digest(block) == manifest
    assert reader.read(digest(b"never stored")) is None


def test_a_large_block_is_hashed_once_and_held_against_its_checksum_from_then_on(
    folder: Path, reader: BlockReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []

    def counted(key: bytes, block: bytes) -> bool:
        hashed.append(key)
        return is_key_of(key, block)

    monkeypatch.setattr(reading, "is_key_of", counted)
    for _ in range(3):
        assert reader.read(piece(TOOL, 1)) == TOOL[MIB : 2 * MIB]
    assert hashed == [piece(TOOL, 1)]
    with (folder / "tool").open("r+b") as file:
        file.seek(MIB)
        file.write(b"!")
    assert reader.read(piece(TOOL, 1)) is None
    assert hashed == [piece(TOOL, 1)] * 2


# --- files that are not what they were ---------------------------------------------------------


def rewrite_with_old_times(path: Path) -> None:
    info = path.stat()
    path.write_bytes(pattern(info.st_size, 123))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert path.stat().st_mtime_ns == info.st_mtime_ns


def become_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_link_to_others(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(pattern(path.stat().st_size, 200))
    path.unlink()
    path.symlink_to(other)


def become_link_to_a_copy(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(other)


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def touch(path: Path) -> None:
    os.utime(path, ns=(0, 0))


def become_a_copy(path: Path) -> None:
    path.write_bytes(path.rename(path.with_name("old")).read_bytes())


HARMLESS: list[Callable[[Path], None]] = [become_link_to_a_copy, grow, touch, become_a_copy]

CHANGES: list[Callable[[Path], None]] = [
    rewrite_with_old_times, become_fifo, become_link_to_others, become_folder, Path.unlink,
    lambda path: os.truncate(path, 0),
    lambda path: path.symlink_to(path.rename(path.with_name("gone")).with_name("nowhere")),
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("hashed_before", [False, True])
@pytest.mark.parametrize("name", ["README", "tool"])
def test_threat_45_a_file_changed_after_it_was_published_is_absent(
    folder: Path,
    reader: BlockReader,
    change: Callable[[Path], None],
    hashed_before: bool,
    name: str,
) -> None:
    data = FILES[name]
    wanted = [piece(data, index) for index in range(-(-len(data) // MIB))]
    if hashed_before:
        for each in wanted:
            assert reader.read(each) is not None
    change(folder / name)
    assert [reader.read(each) for each in wanted] == [None] * len(wanted)
    assert reader.read(digest(b"")) == b""  # the others are still given


def test_threat_45_a_file_cut_short_loses_the_pieces_that_reached_there(
    folder: Path, reader: BlockReader
) -> None:
    os.truncate(folder / "tool", len(TOOL) - 1)
    found = [reader.read(piece(TOOL, index)) for index in range(3)]
    assert found == [TOOL[:MIB], TOOL[MIB : 2 * MIB], None]


@pytest.mark.parametrize("change", HARMLESS)
@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("name", ["README", "tool"])
def test_a_file_that_was_moved_or_touched_is_given_as_long_as_its_bytes_are_right(
    folder: Path, reader: BlockReader, change: Callable[[Path], None], read_before: bool, name: str
) -> None:
    data = FILES[name]
    wanted = [piece(data, index) for index in range(-(-len(data) // MIB))]
    if read_before:
        assert all(reader.read(each) for each in wanted)
    change(folder / name)
    assert b"".join(reader.read(each) or b"" for each in wanted) == data


def test_a_file_that_was_wrong_is_given_again_once_it_is_right(
    folder: Path, reader: BlockReader
) -> None:
    rewrite_with_old_times(folder / "tool")
    os.utime(folder / "tool", ns=(0, 0))
    assert [reader.read(piece(TOOL, 0)) for _ in range(2)] == [None, None]
    (folder / "tool").write_bytes(TOOL)
    assert reader.read(piece(TOOL, 0)) == TOOL[:MIB]


# --- at once -----------------------------------------------------------------------------------


@pytest.fixture(params=["system", "always in memory"])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """What is in memory, as this system tells it (or does not: tmpfs), and everything; whether it is
    everything.
    """
    everything: bool = request.param != "system"

    def read(fd: int, buffer: memoryview, offset: int) -> bool:
        return os.preadv(fd, [buffer], offset) == len(buffer)

    if everything:
        monkeypatch.setattr(reading, "read_from_memory", read)
    return everything


def test_a_block_is_given_at_once_only_after_it_was_read(
    folder: Path, reader: BlockReader, memory: bool
) -> None:
    for index in range(3):
        data = TOOL[index * MIB : (index + 1) * MIB]
        assert reader.read_at_once(piece(TOOL, index)) is None
        assert reader.read(piece(TOOL, index)) == data
        at_once = reader.read_at_once(piece(TOOL, index))
        if memory and len(data) == MIB:
            assert at_once is not None
        assert at_once is None or bytes(at_once) == data
    assert reader.read_at_once(digest(b"never stored")) is None


@pytest.mark.parametrize("change", CHANGES)
def test_threat_45_nothing_else_is_given_at_once(
    folder: Path, reader: BlockReader, change: Callable[[Path], None], memory: bool
) -> None:
    assert reader.read(piece(TOOL, 0)) == TOOL[:MIB]
    change(folder / "tool")
    assert reader.read_at_once(piece(TOOL, 0)) is None


def test_what_is_removed_is_not_given_at_once(
    store: Store, folder: Path, reader: BlockReader, memory: bool
) -> None:
    assert reader.read(piece(TOOL, 0)) == TOOL[:MIB]
    store.remove_release(store.releases()[0].manifest)
    store.collect(lambda _: [])
    assert reader.read_at_once(piece(TOOL, 0)) is None


# --- a database that claims what is not so -----------------------------------------------------


def test_threat_45_a_damaged_node_is_absent(store: Store, folder: Path) -> None:
    manifest = store.releases()[0].manifest
    with sqlite3.connect(store.path) as connection:
        (block,) = connection.execute(
            "SELECT block FROM node WHERE digest = ?", (manifest,)
        ).fetchone()
        connection.execute(
            "UPDATE node SET block = ? WHERE digest = ?", (block[:-1] + b"!", manifest)
        )
    connection.close()
    assert BlockReader(store).read(manifest) is None


def test_threat_45_a_damaged_node_that_is_also_a_file_is_given_from_the_file(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    manifest = store.releases()[0].manifest
    block = store.node(manifest)
    assert block is not None
    put(store, tmp_path / "archive", {"old.integrity": block})
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE node SET block = x'00' WHERE digest = ?", (manifest,))
    connection.close()
    assert BlockReader(store).read(manifest) == block


def test_publishing_again_mends_a_damaged_node(store: Store, folder: Path) -> None:
    manifest = store.releases()[0].manifest
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE node SET block = x'00' WHERE digest = ?", (manifest,))
    connection.close()
    assert put(store, folder) == manifest
    assert BlockReader(store).read(manifest) is not None


def test_threat_45_claims_about_other_pieces_neither_hide_the_true_one_nor_are_believed(
    store: Store, folder: Path
) -> None:
    """They are tried before the true one and after it."""
    with sqlite3.connect(store.path) as connection:
        connection.executemany(
            "INSERT INTO piece SELECT ?, id, ? FROM file WHERE path = ?",
            [
                (piece(TOOL, 1), number, os.fsencode(folder / "tool"))
                for number in (-1, 0, 2, 3, 10**6, 2**62)
            ],
        )
    connection.close()
    reader = BlockReader(store)
    for _ in range(3):
        assert reader.read(piece(TOOL, 1)) == TOOL[MIB : 2 * MIB]


@pytest.mark.parametrize("number", [3, 10**6, -1, 2**42])
def test_threat_45_a_claim_beyond_the_file_is_absence(
    store: Store, folder: Path, number: int
) -> None:
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE piece SET number = ? WHERE number = 1", (number,))
    connection.close()
    assert BlockReader(store).read(piece(TOOL, 1)) is None


@pytest.mark.parametrize("value", ["'x'", "x'ff'", "1e300"])
def test_threat_45_nonsense_in_the_database_is_absence_or_a_store_error(
    store: Store, folder: Path, value: str
) -> None:
    with sqlite3.connect(store.path) as connection:
        connection.execute(f"UPDATE file SET size = {value}")
    connection.close()
    try:
        found = BlockReader(store).read(piece(TOOL, 1))
    except StoreError:
        found = None
    assert found is None


# --- a piece in several places -----------------------------------------------------------------


@pytest.mark.parametrize("spoiled", ["one", "two"])
@pytest.mark.parametrize("change", CHANGES)
def test_threat_45_a_piece_in_two_places_is_given_from_the_good_one(
    store: Store, tmp_path: Path, spoiled: str, change: Callable[[Path], None]
) -> None:
    for name in ("one", "two"):
        put(store, tmp_path / name, {"file": TOOL})
    reader = BlockReader(store)
    assert reader.read(piece(TOOL, 1)) == TOOL[MIB : 2 * MIB]
    change(tmp_path / spoiled / "file")
    assert reader.read(piece(TOOL, 1)) == TOOL[MIB : 2 * MIB]


def test_a_piece_twice_in_one_file_is_given_from_either(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path / "zeros", {"file": bytes(3 * MIB)})
    reader = BlockReader(store)
    for _ in range(3):
        assert reader.read(digest(bytes(MIB))) == bytes(MIB)


# --- threads and descriptors -------------------------------------------------------------------


def test_many_threads_read_while_a_file_changes_and_none_gets_wrong_bytes(
    store: Store, folder: Path
) -> None:
    reader = BlockReader(store)
    wanted = [piece(TOOL, 0), piece(TOOL, 1), digest(b"read me")]
    wrong: list[bytes] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            for each in wanted:
                found = reader.read(each)
                if found is not None and digest(found) != each:
                    wrong.append(found)

    before = len(os.listdir("/proc/self/fd"))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(40):
        (folder / "tool").write_bytes(TOOL if number % 2 else pattern(len(TOOL), number))
        if number % 10 == 9:
            put(store, folder)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(os.listdir("/proc/self/fd")) == before
