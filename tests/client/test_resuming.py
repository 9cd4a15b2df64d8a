"""A download that was broken off goes on: whatever lies in the staging folder, only what is missing
is fetched, and nothing that is wrong is kept.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integrity.client.session import Session
from integrity.disk.staging import Staging
from integrity.errors import (
    DiskError,
    IntegrityError,
    Locked,
    SourceError,
    SourcesUnavailable,
    UnsafePath,
)
from tests.adversary.sources import MemorySource

from .conftest import MIXED, Publish, ReaderOf
from .helpers import MIB, Release, get, sha256, tree_of, write_tree

LARGE = 9
"""Pieces of the large file of ``pieces``."""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def reader(pieces: Release, reader_of: ReaderOf) -> Session:
    return reader_of(pieces.link)


def stage(out: Path, files: dict[str, bytes]) -> Path:
    """What an earlier run left behind."""
    tree = out.with_name(out.name + ".part") / "tree"
    tree.mkdir(parents=True)
    (tree.parent / "lock").touch()
    write_tree(tree, files)
    return tree


def finish(release: Release, reader: Session, out: Path) -> list[bytes]:
    """Get it from an honest source -> the digests it was asked for, the manifest's not among them."""
    source = MemorySource(release.blocks)
    got = get(reader, release.link, out, sources=[source])
    assert got.verdict == "verified"
    assert tree_of(out) == release.files
    assert not out.with_name(out.name + ".part").exists()
    assert len(source.asked) == len(set(source.asked))
    assert got.fetched == sum(len(release.blocks[digest]) for digest in source.asked)
    return [digest for digest in source.asked if digest != release.published.manifest]


def digests(release: Release, *indexes: int) -> set[bytes]:
    return {sha256(release.files["large"][i * MIB : (i + 1) * MIB]) for i in indexes}


SMALL = {sha256(b"small")}


# --- 33: partial files -------------------------------------------------------------------------


def cut(data: bytes) -> bytes:
    return data[: 4 * MIB + 10]


def zero_tail(data: bytes) -> bytes:
    return data[: 4 * MIB + 10] + bytes(len(data) - 4 * MIB - 10)


def hole(data: bytes) -> bytes:
    return data[: 4 * MIB] + bytes(2 * MIB) + data[6 * MIB :]


def garbage(data: bytes) -> bytes:
    return data[: 7 * MIB + 1] + b"garbage" + data[7 * MIB + 8 :]


def oversized(data: bytes) -> bytes:
    return data + b"and more"


def one_byte_short(data: bytes) -> bytes:
    return data[:-1]


PARTIAL: list[tuple[Callable[[bytes], bytes], set[int]]] = [
    (lambda data: data, set()),
    (lambda _: b"", set(range(LARGE))),
    (lambda data: bytes(len(data)), set(range(LARGE))),
    (cut, {4, 5, 6, 7, 8}),
    (zero_tail, {4, 5, 6, 7, 8}),
    (hole, {4, 5}),
    (garbage, {7}),
    (oversized, set()),
    (one_byte_short, {8}),
    (lambda data: data[::-1], set(range(LARGE))),
]


@pytest.mark.parametrize(("damage", "missing"), PARTIAL)
@pytest.mark.parametrize("small", [None, b"smalL", b"smaller"])
def test_threat_33_only_the_pieces_that_are_not_right_are_fetched_again(
    pieces: Release, reader: Session, out: Path,
    damage: Callable[[bytes], bytes], missing: set[int], small: bytes | None,
) -> None:  # fmt: skip
    files = {"large": damage(pieces.files["large"])}
    if small is not None:
        files["small"] = small
    stage(out, files)
    wanted = digests(pieces, *missing) | (SMALL if small != b"smaller" else set())
    assert set(finish(pieces, reader, out)) == wanted


def test_threat_34_what_another_release_left_is_cleared_away(
    mixed: Release, pieces: Release, reader: Session, out: Path
) -> None:
    stage(out, MIXED | {"large": pieces.files["large"]})
    assert set(finish(pieces, reader, out)) == SMALL


def test_files_and_folders_that_changed_places_are_sorted_out(
    mixed: Release, reader_of: ReaderOf, out: Path
) -> None:
    files = {path: data for path, data in MIXED.items() if not path.startswith(("a/", "README"))}
    stage(out, files | {"a": b"a file where a folder must be", "README/x": b"and the reverse"})
    asked = finish(mixed, reader_of(mixed.link), out)
    assert set(asked) == {sha256(MIXED["README"]), sha256(MIXED["a/b/c/d"])}


def test_empty_folders_that_were_left_do_not_stay_and_are_not_in_the_way(
    mixed: Release, reader_of: ReaderOf, out: Path
) -> None:
    tree = stage(out, {"README": MIXED["README"]})
    for name in ("void/deep", "bin/void", "empty", "a/b/c/d/e"):
        (tree / name).mkdir(parents=True)
    finish(mixed, reader_of(mixed.link), out)
    folders = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_dir()}
    assert folders == {"bin", "docs", "a", "a/b", "a/b/c", "also empty"}


@pytest.mark.parametrize("kind", ["CON", "con/x/y", "a:b", "tail.", "fifo", "link", "folder link"])
def test_odd_things_that_were_left_are_cleared_away(
    pieces: Release, reader: Session, out: Path, kind: str
) -> None:
    outside = out.with_name("outside")
    write_tree(outside, {"canary": b"canary"})
    tree = stage(out, {"large": pieces.files["large"]})
    if kind == "fifo":
        os.mkfifo(tree / "x")
    elif kind == "link":
        (tree / "x").symlink_to(outside / "canary")
    elif kind == "folder link":
        (tree / "x").symlink_to(outside)
    else:
        write_tree(tree, {kind: b"odd"})
    assert set(finish(pieces, reader, out)) == SMALL
    assert tree_of(outside) == {"canary": b"canary"}


def test_a_name_that_is_not_utf8_is_cleared_away_too(
    pieces: Release, reader: Session, out: Path
) -> None:
    tree = stage(out, {"large": pieces.files["large"]})
    Path(os.fsdecode(os.fsencode(tree) + b"/\xff\xfe")).write_bytes(b"odd")
    assert set(finish(pieces, reader, out)) == SMALL


@pytest.mark.parametrize("name", ["large", "small"])
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_threat_37_what_stands_in_a_files_place_is_never_written_through(
    pieces: Release, reader: Session, out: Path, name: str, kind: str
) -> None:
    outside = out.with_name("outside")
    write_tree(outside, {"canary": b"canary"})
    tree = stage(out, {})
    if kind == "link":
        (tree / name).symlink_to(outside / "canary")
    else:
        os.mkfifo(tree / name)
    source = MemorySource(pieces.blocks)
    try:
        get(reader, pieces.link, out, sources=[source])
    except UnsafePath:
        assert not out.exists()
    else:
        assert tree_of(out) == pieces.files
    assert tree_of(outside) == {"canary": b"canary"}


def test_the_x_bits_of_what_was_left_are_set_right(
    mixed: Release, reader_of: ReaderOf, out: Path
) -> None:
    tree = stage(out, MIXED)
    for path in MIXED:
        (tree / path).chmod(0o755 if path == "README" else 0o644)
    assert finish(mixed, reader_of(mixed.link), out) == []
    assert not (out / "README").stat().st_mode & 0o100
    assert (out / "bin" / "tool").stat().st_mode & 0o100


# --- broken off in the middle ------------------------------------------------------------------


class BreaksOff:
    """An act that gives a number of pieces, and then fails for good."""

    def __init__(self, count: int) -> None:
        self._left = iter(range(count))

    def __call__(self, _: bytes, block: bytes) -> bytes:
        if next(self._left, None) is None:
            raise SourceError("gone")
        return block


def test_again_and_again_broken_off_it_still_ends_and_repeats_nothing(
    pieces: Release, reader: Session, out: Path
) -> None:
    asked: list[bytes] = []
    for count in (1, 2, 3, 4):  # the manifest, and as many pieces but one
        source = MemorySource(pieces.blocks, BreaksOff(count))
        with pytest.raises(SourcesUnavailable, match="pieces are missing"):
            get(reader, pieces.link, out, sources=[source])
        asked += source.asked[1:count]
        assert not out.exists()
        assert not out.with_name("out.integrity").exists()
    asked += finish(pieces, reader, out)
    assert len(asked) == len(set(asked)) == LARGE + 1


def test_a_better_source_in_the_next_run_gets_only_what_is_missing(
    mixed: Release, reader_of: ReaderOf, out: Path
) -> None:
    reader = reader_of(mixed.link)
    some = {
        digest: block for digest, block in mixed.blocks.items()
        if digest[0] % 2 or digest == mixed.published.manifest
    }  # fmt: skip
    with pytest.raises(SourcesUnavailable):
        get(reader, mixed.link, out, sources=[MemorySource(some)])
    asked = finish(mixed, reader, out)
    assert set(asked) & set(some) == set()


def test_threat_38_two_gets_into_one_folder_do_not_mix(
    pieces: Release, reader_of: ReaderOf, out: Path
) -> None:
    with Staging(out) as other:
        write_tree(other.tree, {"theirs": b"in use"})
        with pytest.raises(Locked):
            get(reader_of(pieces.link), pieces.link, out, sources=[MemorySource(pieces.blocks)])
        assert tree_of(other.tree) == {"theirs": b"in use"}
    assert not out.exists()


# --- 37: swapped in mid-run --------------------------------------------------------------------


def swap(place: Path, target: Path) -> None:
    """Put a link in the place of a folder, however often another thread makes it anew."""
    for number in range(1000):
        place.rename(target.with_name(f"moved away {number}"))
        with contextlib.suppress(FileExistsError):
            place.symlink_to(target)
            return


@pytest.mark.parametrize("swapped", ["docs", "a", "a/b", "bin", "."])
def test_threat_37_a_folder_swapped_for_a_link_in_mid_run_leads_nowhere(
    mixed: Release, reader_of: ReaderOf, out: Path, swapped: str
) -> None:
    outside = out.with_name("outside")
    write_tree(outside, {"canary": b"canary", "b/c/canary": b"canary", "c/canary": b"canary"})
    before = tree_of(outside)
    tree = stage(out, {"docs/x": b"", "a/b/c/x": b"", "bin/x": b""})
    done: list[bool] = []

    def act(digest: bytes, block: bytes) -> bytes:
        if digest != mixed.published.manifest and not done:
            done.append(True)
            swap(tree if swapped == "." else tree / swapped, outside)
        return block

    # The clearing away has made the folders empty, so they are made anew on the way.
    write_tree(tree, dict.fromkeys(MIXED, b"?"))
    with pytest.raises(UnsafePath):
        get(reader_of(mixed.link), mixed.link, out, sources=[MemorySource(mixed.blocks, act)])
    assert done
    assert not os.path.lexists(out)
    assert tree_of(outside) == before


def test_threat_37_a_file_swapped_after_it_was_verified_is_found(
    mixed: Release, reader_of: ReaderOf, out: Path
) -> None:
    tree = stage(out, {"bin/exact": MIXED["bin/exact"]})
    outside = out.with_name("outside")
    outside.write_bytes(b"canary")
    done: list[bool] = []

    def act(digest: bytes, block: bytes) -> bytes:
        if digest != mixed.published.manifest and not done:
            done.append(True)
            (tree / "bin" / "exact").unlink()
            (tree / "bin" / "exact").symlink_to(outside)
        return block

    with pytest.raises(UnsafePath, match="bin/exact"):
        get(reader_of(mixed.link), mixed.link, out, sources=[MemorySource(mixed.blocks, act)])
    assert not out.exists()


@pytest.mark.parametrize("change", ["cut", "grown", "removed", "folder", "link"])
def test_a_file_changed_by_somebody_after_it_arrived_is_found_before_it_is_done(
    mixed: Release, reader_of: ReaderOf, out: Path, change: str
) -> None:
    file = out.with_name("out.part") / "tree" / "README"
    done: list[bool] = []

    def act(digest: bytes, block: bytes) -> bytes:
        # README is the first file in the manifest's order and this piece one of the last.
        if digest == sha256(MIXED["docs/näme 💡.txt"]) and not done:
            done.append(True)
            while not file.exists() or file.read_bytes() != MIXED["README"]:
                threading.Event().wait(0.01)
            if change in {"cut", "grown"}:
                os.truncate(file, 3 if change == "cut" else 300)
            else:
                file.unlink()
            if change == "folder":
                file.mkdir()
            elif change == "link":
                file.symlink_to(mixed.folder / "README")
        return block

    with pytest.raises(UnsafePath, match="README"):
        get(reader_of(mixed.link), mixed.link, out, sources=[MemorySource(mixed.blocks, act)])
    assert done
    assert not os.path.lexists(out)


# --- 35: a disk that refuses -------------------------------------------------------------------


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_threat_35_a_full_disk_is_a_disk_error_and_the_rest_is_kept(
    mixed: Release, reader_of: ReaderOf, out: Path
) -> None:
    reader = reader_of(mixed.link)
    large = {sha256(MIXED["bin/tool"][at : at + MIB]) for at in range(0, 4 * MIB, MIB)}

    def last(digest: bytes, block: bytes) -> bytes:
        time.sleep(0.5 * (digest in large))
        return block

    with file_size_limit(2 * MIB + 5), pytest.raises(DiskError) as caught:
        get(reader, mixed.link, out, sources=[MemorySource(mixed.blocks, last)])
    assert caught.value.evidence["path"] == "bin/tool"
    assert "resumes" in caught.value.next
    assert not out.exists()
    kept = tree_of(out.with_name("out.part") / "tree")
    have = {path for path, data in kept.items() if data == MIXED[path]}
    assert have - {"empty", "also empty/in a folder"}
    asked = finish(mixed, reader, out)
    assert not {sha256(MIXED[path]) for path in have} & set(asked) - {sha256(b"")}


@pytest.mark.parametrize("number", range(1, LARGE + 1))
def test_threat_35_a_disk_that_fails_at_any_write_never_says_done(
    pieces: Release, reader: Session, out: Path, number: int
) -> None:
    """The file has its full size from the start, so the limit hits the nth piece that is written."""
    written = iter(range(1, 100))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def act(digest: bytes, block: bytes) -> bytes:
        if digest != pieces.published.manifest and next(written) == number:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        return block

    try:
        with pytest.raises(DiskError, match="large"):
            get(reader, pieces.link, out, sources=[MemorySource(pieces.blocks, act)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not out.exists()
    finish(pieces, reader, out)


def test_threat_35_no_room_for_a_long_manifest_is_a_disk_error(
    published: Publish, reader_of: ReaderOf, out: Path
) -> None:
    names = [f"{'f' * 200}-{n % 3}/{'n' * 200}-{n}" for n in range(2600)]
    release = published("long-manifest", dict.fromkeys(names, b"x"))
    reader = reader_of(release.link)
    with file_size_limit(MIB + 100), pytest.raises(DiskError, match="room for the manifest"):
        get(reader, release.link, out, sources=[MemorySource(release.blocks)])
    assert not list(out.parent.glob("out*"))
    assert not any((reader.home.data_folder / "tmp").iterdir())


def test_a_part_folder_that_cannot_be_made_is_a_disk_error(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(IntegrityError, match="Not a directory"):
        get(
            reader_of(mixed.link), mixed.link, tmp_path / "file" / "out",
            sources=[MemorySource(mixed.blocks)],
        )  # fmt: skip
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_no_file_stays_open_when_pieces_fail(pieces: Release, reader: Session, out: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for count in (1, 3, 5):
        with pytest.raises(SourcesUnavailable):
            get(reader, pieces.link, out, sources=[MemorySource(pieces.blocks, BreaksOff(count))])
    shutil.rmtree(out.with_name("out.part"))
    assert len(os.listdir("/proc/self/fd")) == before
