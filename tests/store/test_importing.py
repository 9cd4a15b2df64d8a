"""Imported CAR files: all of a file or nothing, blocks right or absent, and stores of older releases."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from integrity.core.anycid import AnyCid, cid_of, decode_any_cid
from integrity.core.car import SECTION_LIMIT, CarReader, car_header, car_section
from integrity.core.cid import DAG_PB, RAW
from integrity.core.dagpb import BLOCK_LIMIT, varint
from integrity.errors import (
    BlockMismatch,
    DiskError,
    FormatError,
    HashUnsupported,
    IntegrityError,
    LimitExceeded,
    StoreError,
    StoreFull,
)
from integrity.ports import Progress
from integrity.store import importing, schema
from integrity.store.database import Store
from integrity.store.entries import StoredImport
from integrity.store.importing import Imported, decode_roots, import_car
from integrity.store.reading import BlockReader

from .helpers import MIB, digest, pattern, piece, put

Block = tuple[AnyCid, bytes]

HASHES: dict[int, Callable[[bytes], bytes]] = {
    0x12: lambda data: hashlib.sha256(data).digest(),
    0x13: lambda data: hashlib.sha512(data).digest(),
    0x14: lambda data: hashlib.sha3_512(data).digest(),
    0x15: lambda data: hashlib.sha3_384(data).digest(),
    0x16: lambda data: hashlib.sha3_256(data).digest(),
    0xB220: lambda data: hashlib.blake2b(data, digest_size=32).digest(),
    0xB240: lambda data: hashlib.blake2b(data, digest_size=64).digest(),
}


def hashed(code: int, block: bytes, codec: int = RAW) -> Block:
    found = HASHES[code](block)
    raw = b"\x01" + varint(codec) + varint(code) + varint(len(found)) + found
    return decode_any_cid(raw), block


def inlined(block: bytes) -> Block:
    return AnyCid(1, RAW, b"\0" + varint(len(block)) + block), block


def sections(blocks: Sequence[Block]) -> bytes:
    return b"".join(car_section(bytes(cid), len(block)) + block for cid, block in blocks)


def car(blocks: Sequence[Block], roots: Sequence[AnyCid] | None = None) -> bytes:
    roots = [blocks[0][0]] if roots is None else roots
    return car_header(bytes(root) for root in roots) + sections(blocks)


def version_2(data: bytes, padding: int = 0) -> bytes:
    numbers = (51 + padding, len(data), 51 + padding + len(data))
    header = bytes(16) + b"".join(number.to_bytes(8, "little") for number in numbers)
    return b"\x0a\xa1\x67version\x02" + header + bytes(padding) + data + b"the index"


def take(store: Store, data: bytes, quota: int | None = None) -> Imported:
    return import_car(store, io.BytesIO(data).read, quota=quota)


def copies(store: Store) -> dict[str, bytes]:
    folder = store.imports_folder
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()} if folder.is_dir() else {}


def content(path: Path) -> list[str]:
    """All that the database says."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def columns(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """The columns of every table and index."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, type FROM sqlite_master").fetchall()
        return {
            name: connection.execute(f"PRAGMA {kind}_xinfo({name})").fetchall()
            for name, kind in rows
            if not name.startswith("sqlite_")
        }


def state(store: Store) -> tuple[dict[str, bytes], list[str]]:
    return copies(store), content(store.path)


SMALL = [hashed(code, b"a block of %d" % code) for code in HASHES]
MIXED = [
    *SMALL,
    *(hashed(code, pattern(20_000, code % 251)) for code in HASHES),
    hashed(0x12, b"", DAG_PB),
    hashed(0x13, pattern(BLOCK_LIMIT)),
    hashed(0x12, pattern(MIB)),
    (AnyCid(0, DAG_PB, cid_of(DAG_PB, b"\x0a\x02\x08\x01").multihash), b"\x0a\x02\x08\x01"),
]


def assert_found(store: Store, blocks: Sequence[Block]) -> None:
    reader = BlockReader(store)
    for _ in range(2):  # hashed, then held against a checksum
        for cid, block in blocks:
            assert reader.has(cid.key)
            assert reader.read(cid.key) == block


def assert_absent(store: Store, blocks: Sequence[Block]) -> None:
    reader = BlockReader(store)
    assert [cid for cid, _ in blocks if reader.has(cid.key) or reader.read(cid.key)] == []


# --- what is taken -----------------------------------------------------------------------------


def test_blocks_of_every_hash_function_are_found_and_right(store: Store) -> None:
    data = car(MIXED, [MIXED[-1][0], SMALL[0][0]])
    imported = take(store, data)
    assert_found(store, MIXED)
    assert not imported.already
    assert imported.roots == [MIXED[-1][0], SMALL[0][0]]
    assert decode_roots(imported.stored.roots) == imported.roots
    assert store.imports() == [imported.stored]
    assert (imported.stored.blocks, imported.stored.size) == (len(MIXED), len(data))
    assert copies(store) == {imported.stored.name: data}
    assert_absent(store, [hashed(0x12, b"never imported"), hashed(0x16, b"a block of 18")])


def test_a_block_is_found_whatever_codec_it_had(store: Store) -> None:
    take(store, car([hashed(0x12, b"x", 0x71)]))
    for cid in (cid_of(RAW, b"x"), AnyCid(0, DAG_PB, cid_of(DAG_PB, b"x").multihash)):
        assert BlockReader(store).read(cid.key) == b"x"


def test_the_same_car_twice_is_there_already(store: Store) -> None:
    first = take(store, car(MIXED))
    before = state(store)
    second = take(store, car(MIXED))
    assert (first.already, second.already) == (False, True)
    assert second.stored == first.stored
    assert state(store) == before
    assert_found(store, MIXED)


def test_a_car_of_version_2_is_kept_as_version_1(store: Store) -> None:
    data = car(SMALL)
    imported = take(store, version_2(data, padding=13))
    assert copies(store) == {imported.stored.name: data}
    assert_found(store, SMALL)
    assert take(store, data).already
    assert take(store, version_2(data)).already


def test_cars_that_share_blocks_are_kept_both(store: Store) -> None:
    one, two = take(store, car(SMALL[:4])), take(store, car(SMALL[2:]))
    assert store.imports() == [one.stored, two.stored]
    assert_found(store, SMALL)
    store.remove_import(one.stored.id)
    assert_found(store, SMALL[2:])
    assert_absent(store, SMALL[:2])


@pytest.mark.parametrize("remembered", [0, 1, 3, 1 << 20])
def test_a_block_that_comes_again_and_again_is_kept_once(
    store: Store, remembered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_SEEN", remembered)
    retold = [(cid._replace(codec=0x71), block) for cid, block in SMALL]
    imported = take(store, car([*SMALL, *SMALL, *retold]))
    assert imported.stored.blocks == len(SMALL)
    assert_found(store, SMALL)
    if remembered > 3:
        assert copies(store) == {imported.stored.name: car(SMALL)}
    elif not remembered:  # as memory has its bounds, the copy has what it came with
        assert copies(store) == {imported.stored.name: car([*SMALL, *SMALL, *retold])}


def test_blocks_that_stand_in_their_cids_are_not_kept(store: Store) -> None:
    inline = [inlined(b""), inlined(b"inline"), inlined(bytes(range(128)))]
    imported = take(store, car([*inline, *SMALL, *inline]))
    assert copies(store) == {imported.stored.name: car(SMALL, [inline[0][0]])}
    assert imported.stored.blocks == len(SMALL)
    assert imported.roots == [inline[0][0]]
    assert_found(store, SMALL)
    assert_absent(store, inline)


def test_a_car_of_nothing_is_one(store: Store) -> None:
    imported = take(store, car([], []))
    assert (imported.roots, imported.stored.blocks) == ([], 0)
    assert take(store, car([], [])).already


def test_how_far_it_is_is_told(store: Store) -> None:
    data, told = car([hashed(0x12, b"%d" % n) for n in range(1000)]), list[Progress]()
    import_car(store, io.BytesIO(data).read, report=told.append)
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert len(done) > 2
    assert done[-1] == len(data)


def test_roots_that_cannot_be_read_are_left_out() -> None:
    raw = bytes(SMALL[0][0]) + bytes(SMALL[3][0])
    assert decode_roots(raw) == [SMALL[0][0], SMALL[3][0]]
    for damaged in (raw + b"\x01", raw + b"\xff" * 40, raw + b"\x01\x55\x11\x14" + bytes(20)):
        assert decode_roots(damaged) == [SMALL[0][0], SMALL[3][0]]
    assert decode_roots(raw[:-1]) == [SMALL[0][0]]
    assert decode_roots(b"") == []


# --- what is refused: the store is as it was -----------------------------------------------------

KNOWN = [hashed(0x12, b"known before"), hashed(0xB220, pattern(30_000))]
NEW = [hashed(0x12, b"new"), hashed(0x13, pattern(100_000)), hashed(0x12, pattern(MIB, 1))]


@pytest.fixture
def lived_in(store: Store, tmp_path: Path) -> Store:
    """A store with a release and an import."""
    put(store, tmp_path / "release", {"file": b"published"})
    take(store, car(KNOWN))
    return store


@contextlib.contextmanager
def unchanged(store: Store) -> Iterator[None]:
    before = state(store)
    descriptors = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert state(store) == before
    assert_found(store, [*KNOWN, hashed(0x12, b"published")])
    assert_absent(store, NEW)


def wrong(code: int) -> bytes:
    cid, block = hashed(code, pattern(500, code % 251))
    return sections([(cid, block[:-1] + b"!")])


BROKEN: dict[str, tuple[bytes, type[IntegrityError]]] = {
    "nothing": (b"", FormatError),
    "no CAR": (b"#!/bin/sh\necho it is not a CAR\n", FormatError),
    "a header and no more": (car(NEW)[:20], FormatError),
    "cut off in a block": (car(NEW)[:-1], FormatError),
    "cut off in a CID": (car(NEW) + b"\x30\x01\x55\x12", FormatError),
    "version 2, cut off": (version_2(car(NEW))[:-10], FormatError),
    "version 2, cut off between two blocks": (
        version_2(car(NEW))[: len(version_2(car(NEW[:2]))) - 9], FormatError,
    ),
    "something behind": (car(NEW) + b"the end", FormatError),
    "a section too large": (car(NEW) + varint(SECTION_LIMIT + 1), LimitExceeded),
    "a block too large": (car([*NEW, hashed(0x12, bytes(BLOCK_LIMIT + 1))]), LimitExceeded),
    "a varint without an end": (car(NEW) + b"\xff" * 20, LimitExceeded),
    "a block of SHA-1": (
        car(NEW) + b"\x19\x01\x55\x11\x14" + hashlib.sha1(b"x").digest() + b"x", HashUnsupported,
    ),
    "a block of another CID": (car([*NEW, (NEW[0][0], b"old")]), BlockMismatch),
    "a wrong block first": (car([(SMALL[0][0], b"!"), *NEW]), BlockMismatch),
    "a wrong block that is known": (car([*NEW, (KNOWN[0][0], b"!")]), BlockMismatch),
    "a wrong block with a CID's bytes": (car([*NEW, (inlined(b"a")[0], b"b")]), BlockMismatch),
    "a wrong empty block": (car([*NEW, (NEW[0][0], b"")]), BlockMismatch),
    **{
        f"a wrong block of 0x{code:x}": (car(NEW) + wrong(code), BlockMismatch) for code in HASHES
    },
}  # fmt: skip


@pytest.mark.parametrize(("data", "error"), BROKEN.values(), ids=BROKEN)
def test_of_a_broken_car_nothing_is_taken(
    lived_in: Store, data: bytes, error: type[IntegrityError]
) -> None:
    with unchanged(lived_in), pytest.raises(IntegrityError) as caught:
        take(lived_in, data)
    assert type(caught.value) is error


def test_of_a_car_cut_off_anywhere_nothing_is_taken(store: Store) -> None:
    """But between two sections, where it is a CAR as well."""
    data = car(SMALL)
    ends = {len(car([], [SMALL[0][0]])) + len(sections(SMALL[:n])) for n in range(len(SMALL))}
    before = state(store)
    for end in sorted(set(range(0, len(data), 7)) - ends):
        with pytest.raises(FormatError):
            take(store, data[:end])
    assert state(store) == before


def test_a_wrong_block_is_named_with_what_was_seen(store: Store) -> None:
    cid, block = NEW[1]
    data = car([NEW[0], (cid, b"!" * len(block))])
    with pytest.raises(BlockMismatch) as caught:
        take(store, data)
    evidence = caught.value.evidence
    assert evidence["cid"] == str(cid)
    assert evidence["sha256"] == digest(b"!" * len(block)).hex()
    at, length = evidence["offset"], evidence["length"]
    assert data[at : at + length] == b"!" * len(block)


def test_imports_have_a_quota_together(lived_in: Store) -> None:
    known = len(car(KNOWN))
    size = len(car(NEW))
    for quota in (known + size - 1, known + 10, known, known - 1, 0):
        with unchanged(lived_in), pytest.raises(StoreFull):
            take(lived_in, car(NEW), quota=quota)
    assert not take(lived_in, car(NEW), quota=known + size).already
    assert_found(lived_in, [*NEW, *KNOWN])


def test_what_is_there_already_needs_no_room(lived_in: Store) -> None:
    for quota in (len(car(KNOWN)), 1, 0):
        with unchanged(lived_in):
            assert take(lived_in, car(KNOWN), quota=quota).already


def test_what_is_not_kept_is_not_counted(store: Store) -> None:
    inline = [inlined(bytes(100))] * 50
    quota = len(car(SMALL, [inline[0][0]]))
    imported = take(store, car([*inline, *SMALL, *SMALL]), quota=quota)
    assert imported.stored.size == quota


# --- disks that fail ---------------------------------------------------------------------------


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@contextlib.contextmanager
def patched(where: object, name: str, number: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, failing(number))
        yield


@contextlib.contextmanager
def no_room_for_files(_: Store) -> Iterator[None]:
    """The kernel itself refuses what goes beyond half a mebibyte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB // 2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def no_room_in_the_database(store: Store) -> Iterator[None]:
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        store._db.execute("PRAGMA max_page_count = 1000000")


Trouble = Callable[[Store], contextlib.AbstractContextManager[None]]
TROUBLES: dict[str, tuple[Trouble, type[IntegrityError]]] = {
    "files": (no_room_for_files, DiskError),
    "fsync": (lambda _: patched(os, "fsync", errno.EIO), DiskError),
    "replace": (lambda _: patched(os, "replace", errno.ENOSPC), DiskError),
    "the folder's fsync": (lambda _: patched(importing, "sync_directory", errno.EIO), DiskError),
    "the database": (no_room_in_the_database, StoreError),
}
MANY = [*NEW, *(hashed(0x13, b"%d" % number) for number in range(3000))]


@pytest.mark.parametrize(("trouble", "error"), TROUBLES.values(), ids=TROUBLES)
def test_a_disk_that_fails_leaves_the_store_as_it_was(
    lived_in: Store, trouble: Trouble, error: type[IntegrityError]
) -> None:
    with unchanged(lived_in):
        with trouble(lived_in), pytest.raises(error):
            take(lived_in, car(MANY))
        assert_absent(lived_in, MANY)
    assert not take(lived_in, car(MANY)).already
    assert_found(lived_in, MANY[:50])


@pytest.mark.parametrize("trouble", [trouble for trouble, _ in TROUBLES.values()], ids=TROUBLES)
def test_a_disk_that_fails_takes_nothing_from_what_was_there(
    lived_in: Store, trouble: Trouble
) -> None:
    take(lived_in, car(MANY))
    before = state(lived_in)
    with trouble(lived_in), contextlib.suppress(DiskError, StoreError):
        take(lived_in, car(MANY))
    assert state(lived_in) == before
    assert_found(lived_in, MANY[:50])


@pytest.mark.parametrize(
    ("error", "expected"),
    [(OSError(errno.EIO, "gone"), DiskError), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["error", "Ctrl-C"],
)
def test_a_source_that_breaks_off_leaves_the_store_as_it_was(
    lived_in: Store, error: BaseException, expected: type[BaseException]
) -> None:
    data = io.BytesIO(car(NEW)[:-500])

    def read(count: int) -> bytes:
        given_out = data.read(count)
        if not given_out:
            raise error
        return given_out

    with unchanged(lived_in), pytest.raises(expected):
        import_car(lived_in, read)


def test_a_copy_is_on_the_disk_before_it_has_its_name_and_is_told_of_last(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace, add = os.fsync, os.replace, Store.add_import

    def synced(fd: int) -> None:
        done.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{fd}')).suffix}")
        fsync(fd)

    def replaced(one: str, other: Path) -> None:
        done.append("replace")
        replace(one, other)

    def added(*arguments: Any) -> StoredImport:
        done.append("add")
        return add(*arguments)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(Store, "add_import", added)
    take(store, car(SMALL))
    assert done == ["fsync .part", "replace", "fsync ", "add"]


def test_a_folder_that_cannot_be_made_is_a_disk_error(store: Store) -> None:
    store.imports_folder.write_bytes(b"a file")
    before = content(store.path)
    with pytest.raises(DiskError):
        take(store, car(SMALL))
    assert content(store.path) == before


# --- copies that are not what they were ----------------------------------------------------------


def flip_every_block(path: Path, data: bytes) -> None:
    changed = bytearray(data)
    for section in CarReader(io.BytesIO(data).read):
        if section.block:
            changed[section.offset + len(section.block) // 2] ^= 1
    path.write_bytes(changed)


def shift(path: Path, data: bytes) -> None:
    path.write_bytes(b"\0" + data)


def lose_the_first_byte(path: Path, data: bytes) -> None:
    path.write_bytes(data[1:])


def become_fifo(path: Path, _: bytes) -> None:
    path.unlink()
    os.mkfifo(path)


def rewrite_with_old_times(path: Path, data: bytes) -> None:
    info = path.stat()
    path.write_bytes(pattern(len(data), 7))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


DAMAGES: list[Callable[[Path, bytes], None]] = [
    flip_every_block, shift, lose_the_first_byte, become_fifo, rewrite_with_old_times,
    lambda path, _: path.unlink(),
    lambda path, _: os.truncate(path, 0),
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("read_before", [False, True])
def test_threat_45_of_a_damaged_copy_the_blocks_are_absent(
    store: Store, damage: Callable[[Path, bytes], None], read_before: bool
) -> None:
    data = car(MIXED)
    path = store.imports_folder / take(store, data).stored.name
    reader = BlockReader(store)
    if read_before:
        assert_found(store, MIXED)
        assert all(reader.read(cid.key) is not None for cid, _ in MIXED)
    damage(path, data)
    # An empty block is right wherever it is said to stand, as long as there is a file.
    found = [(cid, reader.read(cid.key)) for cid, block in MIXED if block]
    assert [cid for cid, block in found if block is not None] == []
    assert take(store, data).already  # and mended
    assert_found(store, MIXED)


@pytest.mark.parametrize("at", range(0, 1100, 97))
def test_threat_45_one_changed_byte_costs_one_block_at_most(store: Store, at: int) -> None:
    data = car(SMALL)
    at %= len(data)
    path = store.imports_folder / take(store, data).stored.name
    path.write_bytes(data[:at] + bytes((data[at] ^ 0x55,)) + data[at + 1 :])
    reader = BlockReader(store)
    lost = [block for cid, block in SMALL if reader.read(cid.key) != block]
    assert lost == [block for _, block in SMALL if 0 <= at - data.index(block) < len(block)]
    assert all(reader.read(cid.key) in {None, block} for cid, block in SMALL)


@pytest.mark.parametrize(
    "claim",
    ["offset = offset + 1", "offset = 0", "offset = -1", "length = length - 1", "length = 0",
     "length = 2097153", "length = -1", "offset = 9223372036854775807", "length = 1e300",
     "offset = 'x'", "length = x'00'", "import = 99"],
)  # fmt: skip
def test_threat_45_what_a_damaged_database_says_is_not_believed(store: Store, claim: str) -> None:
    take(store, car(MIXED))
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(f"UPDATE block SET {claim}")
    reader = BlockReader(store)
    for cid, block in MIXED:
        if block:
            try:
                found = reader.read(cid.key)
            except StoreError:
                continue
            assert found is None


def test_a_block_in_two_places_is_given_from_the_good_one(store: Store, tmp_path: Path) -> None:
    shared = hashed(0x12, pattern(MIB, 3))
    put(store, tmp_path / "release", {"file": shared[1]})
    first, second = take(store, car([shared])), take(store, car([shared, *SMALL]))
    (tmp_path / "release" / "file").write_bytes(b"changed")
    assert_found(store, [shared])
    os.truncate(store.imports_folder / first.stored.name, 10)
    assert_found(store, [shared])
    (store.imports_folder / second.stored.name).unlink()
    assert BlockReader(store).read(shared[0].key) is None
    (tmp_path / "release" / "file").write_bytes(shared[1])
    assert_found(store, [shared])


# --- several processes -------------------------------------------------------------------------

AT_ONCE = """
import sys
from pathlib import Path
from integrity.store.database import Store
from integrity.store.importing import import_car
with Store(Path(sys.argv[1])) as store, open(sys.argv[2], "rb") as file:
    print("ready", flush=True)
    sys.stdin.readline()
    print(import_car(store, file.read).stored.name, flush=True)
"""

STUCK = """
import sys, time
from pathlib import Path
from integrity.store import importing
from integrity.store.database import Store

def stop(*_):
    print("stuck", flush=True)
    time.sleep(600)

left = int(sys.argv[3])
def read(count):
    global left
    if not left:
        stop()
    part = file.read(min(count, left))
    left -= len(part)
    return part

if sys.argv[4] == "before the database":
    Store.add_import = stop
elif sys.argv[4] == "in the database":
    importing._Copy.entries = stop
elif sys.argv[4] == "before it is in its place":
    importing.os.fsync = stop
with Store(Path(sys.argv[1])) as store, open(sys.argv[2], "rb") as file:
    importing.import_car(store, read)
"""


def child(script: str, store: Store, data: bytes, *more: str) -> subprocess.Popen[bytes]:
    path = store.path.with_name(f"{digest(data).hex()}.in")
    path.write_bytes(data)
    return subprocess.Popen(
        [sys.executable, "-c", script, os.fspath(store.path), os.fspath(path), *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def line_of(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_several_processes_import_at_once(store: Store) -> None:
    blocks = [hashed(0x12, pattern(MIB, n)) for n in range(4)]
    cars = [car(MIXED), car(MIXED), car([*SMALL, *blocks]), car([*blocks, *KNOWN])]
    running = [child(AT_ONCE, store, data) for data in cars]
    try:
        assert [line_of(process) for process in running] == [b"ready"] * 4
        ended = [process.communicate(b"go\n") for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert [process.returncode for process in running] == [0] * 4
    names = {name.strip().decode() for name, _ in ended}
    assert names == {f"{digest(data).hex()}.car" for data in cars}
    assert {entry.name for entry in store.imports()} == names
    assert copies(store) == {f"{digest(data).hex()}.car": data for data in cars}
    assert_found(store, [*MIXED, *blocks, *KNOWN])


WHERE = {
    "at the start": (0, ""),
    "in the header": (30, ""),
    "in a block": (150_000, ""),
    "at the end": (len(car(NEW)), ""),
    "before it is in its place": (10**9, "before it is in its place"),
    "before the database": (10**9, "before the database"),
    "in the database": (10**9, "in the database"),
}


@pytest.mark.parametrize(("end", "stage"), WHERE.values(), ids=WHERE)
def test_of_a_killed_import_nothing_is_served_and_the_next_one_succeeds(
    lived_in: Store, end: int, stage: str
) -> None:
    before = content(lived_in.path)
    process = child(STUCK, lived_in, car(NEW), str(end), stage)
    try:
        assert line_of(process) == b"stuck"
        assert_absent(lived_in, NEW)
    finally:
        process.kill()
        process.communicate()
    assert content(lived_in.path) == before
    with Store(lived_in.path) as again:
        assert_absent(again, NEW)
        assert_found(again, KNOWN)
        imported = take(again, car(NEW))
        assert not imported.already
        assert copies(again)[imported.stored.name] == car(NEW)
        assert_found(again, [*NEW, *KNOWN])


def test_two_threads_import_over_one_store(store: Store) -> None:
    cars = [car([*SMALL, hashed(0x12, pattern(MIB, n))]) for n in (1, 1, 2, 3)]
    ready = threading.Barrier(len(cars))

    def work(data: bytes) -> Imported:
        ready.wait()
        return take(store, data)

    with ThreadPoolExecutor(len(cars)) as pool:
        stored = [imported.stored for imported in pool.map(work, cars)]
    assert {entry.name for entry in stored} == {f"{digest(data).hex()}.car" for data in cars}
    assert sorted(store.imports(), key=lambda i: i.id) == sorted(set(stored), key=lambda i: i.id)
    assert_found(store, SMALL)


# --- stores of older and newer releases ----------------------------------------------------------

VERSION_1 = """
CREATE TABLE release (
    manifest BLOB PRIMARY KEY, chain_id INTEGER NOT NULL, publisher TEXT NOT NULL,
    package TEXT NOT NULL, version TEXT NOT NULL, content BLOB NOT NULL, folder BLOB NOT NULL,
    files INTEGER NOT NULL, size INTEGER NOT NULL, added INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX release_name ON release (chain_id, publisher, package, version);
CREATE TABLE file (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
    mtime INTEGER NOT NULL, ctime INTEGER NOT NULL, inode TEXT NOT NULL, device TEXT NOT NULL
);
CREATE TABLE piece (
    digest BLOB NOT NULL, file INTEGER NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (digest, file, number)
) WITHOUT ROWID;
CREATE INDEX piece_file ON piece (file);
CREATE TABLE node (digest BLOB PRIMARY KEY, block BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
"""As the first release of this program made it."""

TOOL = pattern(2 * MIB + 9)
FILES = {"README": b"read me", "bin/tool": TOOL, "empty": b""}


@pytest.fixture
def old(store: Store, tmp_path: Path) -> Path:
    """A store of version 1 with what `store` has, a release among it."""
    put(store, tmp_path / "release", FILES)
    path = tmp_path / "old" / "store.db"
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(VERSION_1)
        connection.execute("ATTACH ? AS today", (os.fspath(store.path),))
        for table in ("release", "piece", "node"):
            connection.execute(f"INSERT INTO {table} SELECT * FROM today.{table}")
        connection.execute(
            "INSERT INTO file SELECT id, path, size, 1, 2, '18446744073709551615', '5' "
            "FROM today.file"
        )
        connection.commit()
    return path


def wanted() -> list[bytes]:
    return [*(piece(TOOL, index) for index in range(3)), digest(b"read me"), digest(b"")]


def version_of(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def assert_as_new(path: Path, store: Store) -> None:
    """Nothing tells the store at ``path`` from the one that has the same and was never older."""
    assert version_of(path) == version_of(store.path) == 2
    assert columns(path) == columns(store.path)
    with Store(path) as opened:
        assert opened.releases() == store.releases()
        assert list(opened.each_node()) == list(store.each_node())
        assert list(opened.each_place()) == list(store.each_place())
        reader = BlockReader(opened)
        nodes = [key for key, _ in store.each_node()]
        assert len(nodes) > 3
        for key in (*wanted(), *nodes):
            block = reader.read(key)
            assert block is not None
            assert digest(block) == key


def test_a_store_of_version_1_has_all_it_had(store: Store, old: Path) -> None:
    assert columns(old) != columns(store.path)
    assert version_of(old) == 1
    with Store(old) as opened:
        assert opened.releases() == store.releases()
    assert_as_new(old, store)


def test_a_store_of_version_1_takes_what_today_s_takes(
    store: Store, old: Path, tmp_path: Path
) -> None:
    with Store(old) as opened:
        for each in (opened, store):
            put(each, tmp_path / "release", {"README": b"read me again"})
            put(each, tmp_path / "other", {"file": b"another"})
            take(each, car(MIXED))
            assert_found(each, [*MIXED, hashed(0x12, b"read me again"), hashed(0x12, b"another")])
            assert BlockReader(each).read(digest(b"read me")) is None
        assert [entry.name for entry in opened.imports()] == [e.name for e in store.imports()]


def test_an_empty_store_of_version_1_becomes_today_s(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
    Store(path).close()
    assert columns(path) == columns(store.path)
    assert version_of(path) == 2


def test_a_store_of_version_1_is_opened_by_many_at_once(store: Store, old: Path) -> None:
    ready = threading.Barrier(6)

    def work(_: int) -> int:
        ready.wait()
        with Store(old) as opened:
            return len(opened.releases())

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [1] * 6
    assert_as_new(old, store)


@pytest.mark.parametrize("step", range(8))
def test_a_store_that_could_not_become_today_s_is_as_it_was(
    store: Store, old: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(old), columns(old)
    statements = schema.statements(1)
    assert statements is not None
    assert len(statements) == 7
    with monkeypatch.context() as patch:
        broken = [*statements[:step], "INSERT INTO nowhere VALUES (1)", *statements[step:]]
        patch.setattr(schema, "statements", lambda version: broken if version == 1 else [])
        with pytest.raises(StoreError):
            Store(old)
    assert (content(old), columns(old)) == before
    assert version_of(old) == 1
    Store(old).close()
    assert_as_new(old, store)


@pytest.mark.parametrize("version", [3, 4, 2**31 - 1, -1])
def test_a_store_from_the_future_is_refused_and_left_alone(
    store: Store, tmp_path: Path, version: int
) -> None:
    put(store, tmp_path / "release", FILES)
    store.close()
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    before = content(store.path)
    with pytest.raises(StoreError, match="newer"):
        Store(store.path)
    assert content(store.path) == before
    assert version_of(store.path) == version
