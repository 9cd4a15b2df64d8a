"""A folder held against a manifest: every difference is named, and 'unknown' is never 'wrong'."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.core.manifest import FileEntry
from integrity.disk.comparing import Comparison, Problem
from integrity.disk.system import Signature, signature
from integrity.errors import PathRefused

from .helpers import MIB, entry_of, open_descriptors, pattern, without_rights, write_tree

FILES = {
    "README": b"read me",
    "a-b": b"before a/",
    "a/b": b"in a",
    "a/c": pattern(3 * MIB + 5),
    "empty": b"",
    "z": pattern(MIB, 7),
}


def entries_of(files: dict[str, bytes] = FILES) -> list[FileEntry]:
    return [entry_of(path, files[path]) for path in sorted(files, key=str.encode)]


def compare(
    folder: Path, entries: Iterable[FileEntry] | None = None
) -> tuple[list[Problem], list[str], list[Signature | None]]:
    comparison = Comparison(folder, entries_of() if entries is None else entries)
    before = open_descriptors()
    checked = list(comparison)
    assert open_descriptors() <= before
    problems = [problem for file in checked for problem in file.problems]
    return problems, comparison.extra, [file.signature for file in checked]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tree(tmp_path / "root", FILES)
    return tmp_path / "root"


def test_a_true_copy_has_no_problems_and_its_stats_are_told(folder: Path) -> None:
    problems, extra, signatures = compare(folder)
    assert (problems, extra) == ([], [])
    paths = [entry.path for entry in entries_of()]
    assert signatures == [signature(os.stat(folder / path)) for path in paths]


def test_threat_36_a_flipped_bit_is_named_by_file_and_piece(folder: Path) -> None:
    with (folder / "a" / "c").open("r+b") as file:
        file.seek(2 * MIB + 99)
        byte = file.read(1)[0]
        file.seek(2 * MIB + 99)
        file.write(bytes([byte ^ 1]))
    ((problem,), extra, _) = compare(folder)
    actual = hashlib.sha256((folder / "a" / "c").read_bytes()[2 * MIB : 3 * MIB]).hexdigest()
    expected = hashlib.sha256(FILES["a/c"][2 * MIB : 3 * MIB]).hexdigest()
    assert problem == Problem("a/c", 2, expected, actual, "digest")
    assert extra == []


def test_every_wrong_piece_is_named_not_the_first_alone(folder: Path) -> None:
    (folder / "a" / "c").write_bytes(bytes(3 * MIB) + FILES["a/c"][3 * MIB :])
    problems, _, _ = compare(folder)
    assert [(p.path, p.piece, p.reason) for p in problems] == [
        ("a/c", number, "digest") for number in range(3)
    ]


@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 4, 3 * MIB + 6, 4 * MIB + 5])
def test_another_size_is_said_in_bytes(folder: Path, size: int) -> None:
    os.truncate(folder / "a" / "c", size)
    problems, _, signatures = compare(folder)
    assert problems == [Problem("a/c", None, 3 * MIB + 5, size, "size")]
    assert signatures[3] is None


def test_missing_and_extra_files_are_told_apart(folder: Path) -> None:
    (folder / "README").unlink()
    shutil.rmtree(folder / "a")
    write_tree(folder, {"a.txt": b"", "a/zz": b"", "zz/deep/er": b"", "A": b"", "void/": b""})
    problems, extra, _ = compare(folder)
    assert [(p.path, p.reason, p.certain) for p in problems] == [
        (path, "missing", True) for path in ("README", "a/b", "a/c")
    ]
    assert extra == ["A", "a.txt", "a/zz", "zz/deep/er"]


def test_an_x_bit_too_many_or_too_few_is_a_problem(folder: Path) -> None:
    (folder / "README").chmod(0o755)
    entries = [entry_of(e.path, FILES[e.path], executable=e.path == "empty") for e in entries_of()]
    problems, _, _ = compare(folder, entries)
    assert problems == [
        Problem("README", None, "not executable", "executable", "executable"),
        Problem("empty", None, "executable", "not executable", "executable"),
    ]


def test_all_that_is_wrong_with_one_file_is_said(folder: Path) -> None:
    (folder / "README").write_bytes(b"longer than before")
    (folder / "README").chmod(0o755)
    problems, _, _ = compare(folder)
    assert [p.reason for p in problems] == ["size", "executable"]


@pytest.mark.parametrize("target", ["a/b", "/etc/passwd", "nowhere"])
def test_a_link_in_a_files_place_is_a_certain_problem_even_to_the_right_bytes(
    folder: Path, target: str
) -> None:
    (folder / "README").rename(folder.parent / "moved")
    (folder / "README").symlink_to(folder.parent / "moved" if target == "a/b" else target)
    problems, extra, _ = compare(folder)
    assert [(p.path, p.certain) for p in problems] == [("README", True)]
    assert "symbolic link" in problems[0].reason
    assert extra == []


def test_a_link_in_a_folders_place_is_a_problem_of_each_file_below(folder: Path) -> None:
    (folder / "a").rename(folder.parent / "moved")
    (folder / "a").symlink_to(folder.parent / "moved")
    problems, extra, _ = compare(folder)
    assert [(p.path, p.certain) for p in problems] == [("a/b", True), ("a/c", True)]
    assert extra == ["a"]


def test_a_fifo_in_a_files_place_is_not_waited_for(folder: Path) -> None:
    (folder / "README").unlink()
    os.mkfifo(folder / "README")
    problems, extra, _ = compare(folder)
    assert [(p.path, p.certain) for p in problems] == [("README", True)]
    assert "special file" in problems[0].reason
    assert extra == []


def test_a_folder_in_a_files_place_and_a_file_in_a_folders(folder: Path) -> None:
    (folder / "README").unlink()
    write_tree(folder, {"README/inside": b""})
    shutil.rmtree(folder / "a")
    (folder / "a").touch()
    problems, extra, _ = compare(folder)
    assert [(p.path, p.reason) for p in problems] == [
        ("README", "missing"), ("a/b", "missing"), ("a/c", "missing"),
    ]  # fmt: skip
    assert extra == ["README/inside", "a"]


def test_odd_names_are_extra_and_stop_nothing(folder: Path) -> None:
    write_tree(folder, {"CON": b"", "a/b:c": b""})
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).touch()
    comparison = Comparison(folder, entries_of())
    assert all(not checked.problems for checked in comparison)
    assert comparison.extra == ["CON", "\\xff", "a/b:c"]
    assert sorted(comparison.surplus) == ["CON", "a/b:c", os.fsdecode(b"\xff")]


def test_a_single_file_release_is_held_against_the_file_itself(tmp_path: Path) -> None:
    data = pattern(2 * MIB + 9)
    (tmp_path / "tool.bin").write_bytes(data)
    entries = [entry_of("tool.bin", data)]
    assert compare(tmp_path / "tool.bin", entries)[:2] == ([], [])
    (tmp_path / "tool.bin").write_bytes(data[:-1] + b"!")
    ((problem,), _, _) = compare(tmp_path / "tool.bin", entries)
    assert (problem.path, problem.piece, problem.reason) == ("tool.bin", 2, "digest")
    (tmp_path / "tool.bin").rename(tmp_path / "other.bin")
    problems, extra, _ = compare(tmp_path / "other.bin", entries)
    assert [(p.path, p.reason) for p in problems] == [("tool.bin", "missing")]
    assert extra == ["other.bin"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathRefused):
        compare(tmp_path / "absent")


# --- could not look ----------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["README", "a/c", "a"])
def test_what_cannot_be_read_is_uncertain_never_wrong(open_folder: Path, closed: str) -> None:
    write_tree(open_folder, FILES)
    (open_folder / closed).chmod(0)

    def look() -> str:
        problems, extra, _ = compare(open_folder)
        assert {p.path for p in problems} == {
            path for path in FILES if path == closed or path.startswith(closed + "/")
        }
        assert all("Permission denied" in p.reason and not p.certain for p in problems)
        return repr(extra)

    assert without_rights(look) == "[]"


def test_an_extra_folder_that_cannot_be_read_is_extra(open_folder: Path) -> None:
    write_tree(open_folder, FILES | {"zz/x": b""})
    (open_folder / "zz").chmod(0)
    assert without_rights(lambda: repr(compare(open_folder)[:2])) == "([], ['zz'])"


# --- changed meanwhile -------------------------------------------------------------------------


def changing(change: Callable[[], None]) -> Iterator[FileEntry]:
    """The entries; the change happens when the folder has been listed and no file been hashed."""
    first, *others = entries_of()
    change()
    yield first
    yield from others


def test_a_file_that_grows_meanwhile_is_not_verified(folder: Path) -> None:
    def grow() -> None:
        with (folder / "z").open("ab") as file:
            file.write(b"more")

    problems, _, _ = compare(folder, changing(grow))
    assert [(p.path, p.expected, p.actual, p.reason) for p in problems] == [
        ("z", MIB, MIB + 4, "size")
    ]


def test_a_file_that_shrinks_meanwhile_is_not_verified(folder: Path) -> None:
    problems, _, _ = compare(folder, changing(lambda: os.truncate(folder / "a" / "c", 2 * MIB)))
    assert {p.path for p in problems} == {"a/c"}


def test_the_stat_that_is_kept_is_older_than_the_reading(folder: Path) -> None:
    """Else a change between reading and the stat would be remembered as verified."""
    before = signature(os.stat(folder / "z"))

    def touch() -> None:
        os.utime(folder / "z", (1, 1))

    problems, _, signatures = compare(folder, changing(touch))
    assert problems == []
    assert signatures[-1] == before != signature(os.stat(folder / "z"))


# --- any tree against any manifest -------------------------------------------------------------

_PATHS = st.sampled_from(["a", "a-b", "a.txt", "a0", "b/a", "b/c/d", "b-", "c", "é", "💡"])
_RELEASE = st.dictionaries(_PATHS, st.binary(max_size=3), max_size=8)


@given(_RELEASE, _RELEASE)
@settings(max_examples=100, deadline=None)
def test_differences_are_those_of_the_two_sets(
    there: dict[str, bytes], wanted: dict[str, bytes]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        write_tree(Path(name), there)
        problems, extra, _ = compare(Path(name), entries_of(wanted))
    assert extra == sorted(set(there) - set(wanted))
    reasons = {problem.path: problem.reason for problem in problems}
    assert len(reasons) == len(problems)
    for path, data in wanted.items():
        if path not in there:
            assert reasons[path] == "missing"
        elif len(there[path]) != len(data):
            assert reasons[path] == "size"
        else:
            assert reasons.get(path) == (None if there[path] == data else "digest")
