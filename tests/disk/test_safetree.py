"""Threat 37: no open below a tree ever leads out of it, whatever is swapped for a link meanwhile."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from integrity.disk.safetree import SafeTree
from integrity.errors import DiskError, FormatError, UnsafePath

from .helpers import open_descriptors, without_rights, write_tree

CANARY = {"x": b"canary", "sub/x": b"canary"}


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder beside the tree; whatever a test does, it must stay as it is."""
    folder = tmp_path / "outside"
    write_tree(folder, CANARY)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    yield folder
    assert {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    } == CANARY
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tree(tmp_path / "tree", {"x": b"mine", "sub/x": b"mine", "sub/deep/x": b"mine"})
    return tmp_path / "tree"


@pytest.fixture
def tree(root: Path) -> Iterator[SafeTree]:
    before = open_descriptors()
    with SafeTree(root) as opened:
        yield opened
    assert open_descriptors() <= before


def write(tree: SafeTree, path: str, data: bytes = b"new!") -> None:
    fd = tree.open_write(path, len(data))
    os.pwrite(fd, data, 0)
    os.close(fd)


def write_at_once(tree: SafeTree, path: str) -> None:
    tree.write_file(path, memoryview(b"new!"))


def read(tree: SafeTree, path: str) -> bytes:
    fd = tree.open_read(path)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


WAYS: list[Callable[[SafeTree, str], object]] = [
    write,
    write_at_once,
    read,
    lambda tree, path: tree.remove(path),
]


@pytest.mark.parametrize("put", [write, write_at_once])
def test_files_are_written_read_and_removed_below_the_root(
    tree: SafeTree, root: Path, put: Callable[[SafeTree, str], None]
) -> None:
    put(tree, "new/folders/file")
    assert (root / "new" / "folders" / "file").read_bytes() == b"new!"
    assert read(tree, "new/folders/file") == b"new!"
    info = tree.stat("new/folders/file")
    assert info is not None
    assert info.st_size == 4
    tree.remove("new/folders/file")
    assert not (root / "new").exists()
    tree.remove("sub/deep/x")
    assert (root / "sub" / "x").exists()


def test_a_file_gets_its_size_when_it_is_opened(tree: SafeTree, root: Path) -> None:
    os.close(tree.open_write("x", 10))
    assert (root / "x").read_bytes() == b"mine\0\0\0\0\0\0"
    os.close(tree.open_write("x", 2))
    assert (root / "x").read_bytes() == b"mi"


@pytest.mark.parametrize("before", ["", "longer than that", "four"])
def test_a_file_that_is_written_at_once_has_nothing_of_what_was_there(
    tree: SafeTree, root: Path, before: str
) -> None:
    (root / "x").write_text(before)
    write_at_once(tree, "x")
    assert (root / "x").read_bytes() == b"new!"


def test_whoever_may_read_may_run_what_is_made_executable(tree: SafeTree, root: Path) -> None:
    (root / "x").chmod(0o640)
    tree.set_executable("x", executable=True)
    assert (root / "x").stat().st_mode & 0o777 == 0o750
    tree.set_executable("x", executable=False)
    assert (root / "x").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("swapped", ["sub", "sub/deep"])
@pytest.mark.parametrize("absolute", [True, False])
def test_threat_37_a_folder_swapped_for_a_link_in_mid_run_leads_nowhere(
    tree: SafeTree,
    root: Path,
    outside: Path,
    way: Callable[[SafeTree, str], object],
    swapped: str,
    absolute: bool,
) -> None:
    path = swapped + "/x"
    write(tree, path)
    (root / swapped).rename(root.parent / "moved")
    (root / swapped).symlink_to(
        outside if absolute else os.path.relpath(outside, (root / swapped).parent)
    )
    tree.look_anew()
    with pytest.raises(UnsafePath) as caught:
        way(tree, path)
    assert caught.value.evidence["path"] == path
    with pytest.raises(UnsafePath):
        tree.stat(path)
    assert (root / swapped).is_symlink()


@pytest.mark.parametrize("swapped", ["sub", "sub/deep"])
def test_threat_37_a_folder_that_is_held_open_is_written_to_wherever_it_is_now(
    tree: SafeTree, root: Path, outside: Path, swapped: str
) -> None:
    path = swapped + "/x"
    write(tree, path, b"old")
    (root / swapped).rename(root.parent / "moved")
    (root / swapped).symlink_to(outside)
    write_at_once(tree, path)
    assert (root.parent / "moved" / "x").read_bytes() == b"new!"
    with pytest.raises(UnsafePath):  # but nothing is deleted there
        tree.remove(path)
    assert (root.parent / "moved" / "x").exists()


def test_threads_do_not_share_the_folder_they_are_in(tree: SafeTree, root: Path) -> None:
    paths = [f"{folder}/{name}" for name in "abcdefgh" for folder in ("sub", "sub/deep", "new")]
    together = threading.Barrier(8)

    def one(at: int) -> None:
        together.wait()
        for path in paths[at:] + paths[:at]:
            tree.write_file(f"{path}-{at}", memoryview(path.encode()))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(8)))
    for path in paths:
        assert {(root / f"{path}-{at}").read_text() for at in range(8)} == {path}


@pytest.mark.parametrize("way", [write, read])
def test_threat_37_a_file_swapped_for_a_link_is_neither_written_nor_read(
    tree: SafeTree, root: Path, outside: Path, way: Callable[[SafeTree, str], object]
) -> None:
    (root / "x").unlink()
    (root / "x").symlink_to(outside / "x")
    with pytest.raises(UnsafePath):
        way(tree, "x")
    info = tree.stat("x")
    assert info is not None
    assert info.st_size == len(os.fspath(outside / "x"))  # the link's own


def test_a_folder_is_removed_with_all_that_is_in_it_and_no_link_is_followed(
    tree: SafeTree, root: Path, outside: Path
) -> None:
    write_tree(root, {"sub/gone/a/b": b"", "sub/gone/void/": b""})
    (root / "sub" / "gone" / "link").symlink_to(outside)
    tree.remove("sub/gone")
    assert sorted(path.name for path in (root / "sub").iterdir()) == ["deep", "x"]


def test_removing_a_link_removes_the_link(tree: SafeTree, root: Path, outside: Path) -> None:
    (root / "link").symlink_to(outside / "x")
    tree.remove("link")
    assert not (root / "link").is_symlink()


def test_threat_37_the_root_itself_swapped_for_a_link_is_not_followed(
    tree: SafeTree, root: Path, outside: Path
) -> None:
    root.rename(root.parent / "moved")
    root.symlink_to(outside)
    write(tree, "x")
    assert (root.parent / "moved" / "x").read_bytes() == b"new!"


def test_a_root_that_is_a_link_is_refused(root: Path, outside: Path) -> None:
    (root.parent / "link").symlink_to(outside)
    with pytest.raises(UnsafePath), SafeTree(root.parent / "link"):
        pass


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "path",
    ["../outside/x", "sub/../../outside/x", "..", "sub/..", "", "/etc/hosts", "sub//x", "./x"],
)
def test_threat_19_no_path_climbs_out(
    tree: SafeTree, outside: Path, way: Callable[[SafeTree, str], object], path: str
) -> None:
    with pytest.raises(FormatError):
        way(tree, path)


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_what_is_no_file_is_neither_written_nor_read(tree: SafeTree, root: Path, kind: str) -> None:
    (root / "x").unlink()
    if kind == "fifo":
        os.mkfifo(root / "x")
    elif kind == "folder":
        (root / "x").mkdir()
    else:
        (root / "x").symlink_to("/dev/full")
    with pytest.raises(UnsafePath):
        read(tree, "x")
    with pytest.raises((UnsafePath, DiskError)):
        write(tree, "x")


def test_a_file_where_a_folder_must_be_is_not_written_through(tree: SafeTree, root: Path) -> None:
    with pytest.raises(UnsafePath):
        write(tree, "x/below")
    assert (root / "x").read_bytes() == b"mine"


def test_a_full_or_closed_disk_is_a_disk_error_that_names_the_path(open_folder: Path) -> None:
    open_folder.chmod(0o555)

    def attempt() -> str:
        with SafeTree(open_folder) as tree, pytest.raises(DiskError) as caught:
            write(tree, "sub/x")
        return f"{caught.value.evidence['path']}: {caught.value.message}"

    answer = without_rights(attempt)
    assert answer.startswith("sub/x: cannot write")
    assert answer.endswith("Permission denied")


def test_a_file_larger_than_the_disk_allows_is_a_disk_error(tree: SafeTree, root: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = open_descriptors()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DiskError, match="File too large"):
            tree.open_write("sub/huge", 1001)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    tree.look_anew()
    assert open_descriptors() <= before
