"""Walking: the manifest's order, nothing that a release cannot hold, and never out of the folder."""

from __future__ import annotations

import os
import resource
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.disk.walk import Walker
from integrity.errors import IntegrityError, PathRefused, UnsafePath

from .helpers import open_descriptors, without_rights, write_tree

Tree: TypeAlias = "dict[str, Tree | None]"

# Bytes just below and above the slash, and names whose order changes with the encoding.
_NAME = st.text(alphabet="ab-.0!~é\uffe6💡", min_size=1, max_size=3).filter(
    lambda name: name[-1] != "."
)
_TREE = st.recursive(
    st.dictionaries(_NAME, st.none(), max_size=5),
    lambda below: st.dictionaries(_NAME, st.none() | below, max_size=5),
    max_leaves=20,
)


def paths_of(root: Path) -> list[str]:
    return [found.path for found in Walker(root)]


def write(root: Path, tree: Tree) -> None:
    root.mkdir(exist_ok=True)
    for name, below in tree.items():
        if below is None:
            (root / name).touch()
        else:
            write(root / name, below)


def files_and_empty(tree: Tree, prefix: str = "") -> tuple[list[str], list[str]]:
    files, empty = [], []
    for name, below in tree.items():
        if below is None:
            files.append(prefix + name)
            continue
        inner_files, inner_empty = files_and_empty(below, f"{prefix}{name}/")
        files += inner_files
        empty += inner_empty
        if not inner_files:
            empty.append(prefix + name)
    return files, empty


@given(_TREE)
@settings(max_examples=100, deadline=None)
def test_files_come_in_the_order_of_their_utf8_bytes(tree: Tree) -> None:
    files, empty = files_and_empty(tree)
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), tree)
        walker = Walker(Path(name))
        found = [file.path for file in walker]
    assert found == sorted(files, key=str.encode)
    assert sorted(walker.empty) == sorted(empty)


def test_a_folder_sorts_as_its_name_and_a_slash(tmp_path: Path) -> None:
    names = ["a/z", "a-b", "a.txt", "a0", "a/b/c", "A", "ab", "a b", "a/b-c", "á"]
    write_tree(tmp_path, dict.fromkeys(names, b""))
    assert paths_of(tmp_path) == [
        "A",
        "a b",
        "a-b",
        "a.txt",
        "a/b-c",
        "a/b/c",
        "a/z",
        "a0",
        "ab",
        "á",
    ]


def test_a_found_file_is_opened_within_its_own_folder(tmp_path: Path) -> None:
    files = {"x": b"top", "a/x": b"in a", "a/b/x": b"in b"}
    write_tree(tmp_path, files)
    for found in Walker(tmp_path):
        fd = found.open()
        assert os.read(fd, 100) == files[found.path]
        os.close(fd)


def test_the_owners_x_bit_alone_makes_a_file_executable(tmp_path: Path) -> None:
    for mode in (0o644, 0o744, 0o654, 0o755):
        (tmp_path / f"{mode:o}").touch()
        (tmp_path / f"{mode:o}").chmod(mode)
    executable = [found.path for found in Walker(tmp_path) if found.executable]
    assert executable == ["744", "755"]


def test_a_single_file_is_a_release_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "tool.bin").write_bytes(b"alone")
    (found,) = Walker(tmp_path / "tool.bin")
    assert (found.path, found.info.st_size) == ("tool.bin", 5)
    fd = found.open()
    assert os.read(fd, 100) == b"alone"
    os.close(fd)


def test_a_single_file_with_an_unsafe_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a:b").touch()
    with pytest.raises(UnsafePath):
        paths_of(tmp_path / "a:b")


# --- what a release cannot hold ----------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "a\\b", "a:b", "dot.", "space ", "CON", "con.txt", "COM1", "nul", "tab\t", "\x1b[2J",
        "e\u0301", "\u202egnp.exe", "\u0378",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_threat_20_an_unsafe_name_is_refused_by_its_path(
    tmp_path: Path, name: str, kind: str
) -> None:
    place = tmp_path / "sub" / name
    place.parent.mkdir()
    (place.touch if kind == "file" else place.mkdir)()
    with pytest.raises(UnsafePath) as caught:
        paths_of(tmp_path)
    assert caught.value.evidence["path"] == f"sub/{name}"


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "sub") + b"/caf\xe9")).touch()
    with pytest.raises(PathRefused, match=r"caf\\xe9.*'sub/'.*not UTF-8"):
        paths_of(tmp_path)


def test_a_part_of_more_than_255_bytes_never_reaches_a_manifest(tmp_path: Path) -> None:
    (tmp_path / ("é" * 127)).touch()
    assert len(paths_of(tmp_path)) == 1
    with pytest.raises(PathRefused, match="too long"):
        paths_of(tmp_path / ("é" * 128))


@pytest.fixture(params=["fifo", "socket", "device"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "sub").mkdir()
    place = tmp_path / "sub" / "odd"
    if request.param == "fifo":
        os.mkfifo(place)
        yield place
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(place))
            yield place
    else:  # every machine has one, and making one needs rights
        place.symlink_to("/dev/null")
        yield place


@pytest.mark.parametrize("follow", [False, True])
def test_a_special_file_is_refused_and_not_waited_for(special: Path, follow: bool) -> None:
    walker = Walker(special.parents[1], follow_symlinks=follow)
    with pytest.raises(PathRefused, match=r"'sub/odd' is a (special file|symbolic link)"):
        list(walker)


def test_the_root_must_be_a_folder_or_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(PathRefused, match="neither a folder nor a regular file"):
        paths_of(tmp_path / "fifo")
    with pytest.raises(PathRefused, match="No such file"):
        paths_of(tmp_path / "absent")


def test_an_unreadable_folder_is_refused_by_its_path(open_folder: Path) -> None:
    write_tree(open_folder, {"a": b"", "sub/closed/b": b""})
    (open_folder / "sub" / "closed").chmod(0)

    def walk() -> str:
        with pytest.raises(PathRefused) as caught:
            paths_of(open_folder)
        return caught.value.message

    assert without_rights(walk) == "cannot read 'sub/closed': Permission denied"


# --- symbolic links ----------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["file", "folder", "/etc/hostname", "nowhere", ".."])
def test_a_link_is_refused_wherever_it_leads(tmp_path: Path, target: str) -> None:
    write_tree(tmp_path, {"file": b"", "folder/x": b""})
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(PathRefused, match="'link' is a symbolic link") as caught:
        paths_of(tmp_path)
    assert "--follow-symlinks" in caught.value.next


def test_followed_links_stand_for_what_they_point_at(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write_tree(root, {"real/x": b"one"})
    write_tree(outside, {"y": b"two"})
    (root / "to-file").symlink_to("real/x")
    (root / "to-folder").symlink_to(outside)
    walker = Walker(root, follow_symlinks=True)
    seen = {}
    for found in walker:
        fd = found.open()
        seen[found.path] = os.read(fd, 100)
        os.close(fd)
    assert seen == {"real/x": b"one", "to-file": b"one", "to-folder/y": b"two"}


def test_a_link_loop_is_an_error_not_an_endless_walk(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a/b/file": b""})
    (tmp_path / "a" / "b" / "up").symlink_to("../..")
    with pytest.raises(PathRefused, match=r"'a/b/up' contains itself"):
        list(Walker(tmp_path, follow_symlinks=True))
    (tmp_path / "a" / "b" / "up").unlink()
    (tmp_path / "a" / "b" / "self").symlink_to("self")
    with pytest.raises(PathRefused, match=r"cannot read 'a/b/self'"):
        list(Walker(tmp_path, follow_symlinks=True))


def test_a_followed_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken").symlink_to("absent")
    with pytest.raises(PathRefused, match="cannot read 'broken': No such file"):
        list(Walker(tmp_path, follow_symlinks=True))


def test_threat_37_a_folder_swapped_for_a_link_is_not_entered(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write_tree(root, {"a": b"", "sub/x": b"mine"})
    write_tree(outside, {"x": b"canary"})
    walk = iter(Walker(root))
    assert next(walk).path == "a"  # the listing with sub in it has been read
    (root / "sub").rename(tmp_path / "moved")
    (root / "sub").symlink_to(outside)
    with pytest.raises(PathRefused, match="'sub'"):
        next(walk)


def test_a_file_swapped_for_a_link_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    walk = iter(Walker(tmp_path))
    file = next(walk)
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic link"):
        file.open()


# --- going on without what is odd --------------------------------------------------------------


def test_with_on_odd_the_walk_goes_on_and_names_each_oddity(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a": b"", "sub/b": b"", "CON/c": b"", "z": b""})
    (tmp_path / "sub" / "link").symlink_to("b")
    os.mkfifo(tmp_path / "sub" / "fifo")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()
    odd: dict[str, IntegrityError] = {}
    walker = Walker(tmp_path, on_odd=odd.__setitem__)
    assert [found.path for found in walker] == ["a", "sub/b", "z"]
    assert sorted(odd) == ["CON", "sub/fifo", "sub/link", os.fsdecode(b"\xff")]


# --- depth and descriptors ---------------------------------------------------------------------


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    """As many open files as this and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_1500_nested_folders_are_walked_without_recursion(deep_folder: Path) -> None:
    before = open_descriptors()
    with descriptors(4096):
        (found,) = Walker(deep_folder)
    assert found.path == "d/" * 1500 + "file"
    assert open_descriptors() <= before


def test_running_out_of_descriptors_is_a_clean_error_and_leaks_none(deep_folder: Path) -> None:
    before = open_descriptors()
    with descriptors(len(before) + 200), pytest.raises(PathRefused) as caught:
        paths_of(deep_folder)
    assert "Too many open files" in caught.value.message
    del caught
    assert open_descriptors() <= before


def test_leaving_a_walk_early_closes_every_folder(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a/b/c/d/one": b"", "z": b""})
    before = open_descriptors()
    walk = iter(Walker(tmp_path))
    next(walk)
    assert len(open_descriptors()) > len(before)
    del walk
    assert open_descriptors() <= before
