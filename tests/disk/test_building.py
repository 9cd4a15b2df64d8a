"""From a folder to a manifest: the same bytes as the plain way gives, or nothing at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.core.reading import iter_files
from integrity.disk.building import Naming, ReleaseBuilder
from integrity.errors import (
    AddressMalformed,
    FormatError,
    NameCollision,
    PathRefused,
    RefusedError,
    SourceChanged,
)
from integrity.ports import Progress, Report

from .helpers import MIB, open_descriptors, pattern, write_tree
from .reference import reference_manifest

PUBLISHER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
NAMING = Naming(PUBLISHER, "tool", "1.2.0")
FILES = {
    "README": b"read me\n",
    "bin/tool": pattern(3 * MIB + 17),
    "bin/exact": pattern(MIB, 3),
    "bin/twice": pattern(2 * MIB, 4),
    "empty": b"",
    "a/b/c/d": b"deep",
    "a-b": b"before a/",
    "näme/ünïcode 💡.txt": b"unicode",
    'quo"te': b"a quote is the one character that is escaped",
}


def manifest_of(root: Path, naming: Naming = NAMING, report: Report | None = None) -> bytes:
    with ReleaseBuilder(root, naming) as built:
        built.build(report)
        list(built.unchanged_files())
        return b"".join(built.chunks())


def test_the_manifest_is_the_one_the_plain_way_gives(tmp_path: Path) -> None:
    write_tree(tmp_path, FILES)
    (tmp_path / "bin" / "tool").chmod(0o755)
    with ReleaseBuilder(tmp_path, NAMING) as built:
        header = built.build()
        manifest = b"".join(built.chunks())
        digest = built.digest
        nodes = dict(built.nodes())
        files = list(built.unchanged_files())
    expected = reference_manifest(
        FILES, PUBLISHER, "tool", "1.2.0", executable=frozenset({"bin/tool"})
    )
    assert manifest == expected
    assert digest == hashlib.sha256(expected).digest()
    assert (header.files, header.size) == (len(FILES), sum(map(len, FILES.values())))
    assert nodes[digest] == manifest
    assert all(hashlib.sha256(block).digest() == d for d, block in nodes.items())
    root = os.fsencode(tmp_path)
    assert [path for _, path in files] == [
        root + b"/" + p.encode() for p in sorted(FILES, key=str.encode)
    ]


_NAME = st.text(alphabet="ab-.0 é💡", min_size=1, max_size=4).filter(lambda n: n[-1] not in ". ")
_FILES = st.dictionaries(
    st.lists(_NAME, min_size=1, max_size=3).map("/".join),
    st.integers(0, 200) | st.integers(0, 3 * MIB),
    min_size=1,
    max_size=8,
)


@given(_FILES)
@settings(max_examples=40, deadline=None)
def test_any_tree_gives_the_manifest_of_the_plain_way(sizes: dict[str, int]) -> None:
    folders = {"/".join(p.split("/")[:i]) for p in sizes for i in range(1, p.count("/") + 1)}
    files = {path: pattern(size) for path, size in sizes.items() if path not in folders}
    with tempfile.TemporaryDirectory() as name:
        write_tree(Path(name), files)
        manifest = manifest_of(Path(name))
    assert manifest == reference_manifest(files, PUBLISHER, "tool", "1.2.0")


def test_the_same_files_give_the_same_bytes_elsewhere_and_later(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other place"
    write_tree(one, FILES)
    write_tree(other, dict(reversed(FILES.items())))
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
    (other / "README").chmod(0o600)
    assert manifest_of(one) == manifest_of(other)


def test_a_single_file_is_a_folder_of_one(tmp_path: Path) -> None:
    data = pattern(2 * MIB + 1)
    (tmp_path / "tool.bin").write_bytes(data)
    with ReleaseBuilder(tmp_path / "tool.bin", NAMING) as built:
        built.build()
        ((entry, path),) = built.unchanged_files()
        assert b"".join(built.chunks()) == reference_manifest(
            {"tool.bin": data}, PUBLISHER, "tool", "1.2.0"
        )
    assert (entry.path, path) == ("tool.bin", os.fsencode(tmp_path / "tool.bin"))


def test_meta_stands_in_the_header_in_one_order(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a": b"1"})
    one = manifest_of(tmp_path, Naming(PUBLISHER, "tool", "1", {"b": "2", "a": "ä"}))
    other = manifest_of(tmp_path, Naming(PUBLISHER, "tool", "1", {"a": "ä", "b": "2"}))
    expected = reference_manifest({"a": b"1"}, PUBLISHER, "tool", "1", meta={"a": "ä", "b": "2"})
    assert one == other == expected


def test_empty_folders_are_left_out_and_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a/file": b"", "a/void/": b"", "gone/deep/": b""})
    with ReleaseBuilder(tmp_path, NAMING) as built:
        built.build()
        assert sorted(built.empty_folders) == ["a/void", "gone", "gone/deep"]
        assert [entry.path for entry in iter_files(built.chunks())] == ["a/file"]


@pytest.mark.parametrize("folders", [[], ["a/b/"]])
def test_a_folder_without_any_file_is_refused(tmp_path: Path, folders: list[str]) -> None:
    write_tree(tmp_path, dict.fromkeys(folders, b""))
    with pytest.raises(PathRefused, match="no file is in"):
        manifest_of(tmp_path)


def test_threat_20_names_that_would_be_one_file_elsewhere_are_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, {"docs/Read": b"", "docs/read": b""})
    with pytest.raises(NameCollision) as caught:
        manifest_of(tmp_path)
    assert caught.value.evidence["paths"] == ["docs/Read", "docs/read"]


def test_a_bad_name_is_refused_before_anything_is_read() -> None:
    with pytest.raises(FormatError):
        Naming(PUBLISHER, "Tool", "1")
    with pytest.raises(FormatError):
        Naming(PUBLISHER, "tool", "1 0")
    with pytest.raises(AddressMalformed):
        Naming(PUBLISHER.replace("A", "a", 1), "tool", "1")


def test_nothing_temporary_is_left_whatever_happens(tmp_path: Path) -> None:
    scratch, root = tmp_path / "scratch", tmp_path / "root"
    scratch.mkdir()
    write_tree(root, FILES)
    before = open_descriptors()
    with ReleaseBuilder(root, NAMING, scratch) as built:
        built.build()
        assert any(scratch.iterdir())
    assert not any(scratch.iterdir())
    (root / "zz").symlink_to("README")
    with pytest.raises(PathRefused), ReleaseBuilder(root, NAMING, scratch) as built:
        built.build()
    assert not any(scratch.iterdir())
    assert open_descriptors() <= before


# --- a source that does not hold still ---------------------------------------------------------


def rewrite_with_old_times(path: Path) -> None:
    """The same size, and the times put back: only ctime, which nobody can set, tells."""
    info = path.stat()
    path.write_bytes(pattern(info.st_size, 99))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"!")


def replace(path: Path) -> None:
    other = path.with_name(".other")
    shutil.copy2(path, other)
    other.replace(path)


def become_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_link(path: Path) -> None:
    path.rename(path.parent.parent / "moved")
    path.symlink_to(path.parent.parent / "moved")


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES: list[Callable[[Path], None]] = [
    rewrite_with_old_times, append, replace, become_fifo, become_link, become_folder,
    lambda path: os.truncate(path, 1),
    lambda path: os.truncate(path, 0),
    os.utime,
    lambda path: path.unlink(),
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("size", [100, 2 * MIB])
def test_a_file_changed_after_it_was_hashed_is_found_before_it_is_recorded(
    tmp_path: Path, size: int, change: Callable[[Path], None]
) -> None:
    root = tmp_path / "root"
    write_tree(root, {"a": b"first", "m": pattern(size), "z": b"last"})
    with ReleaseBuilder(root, NAMING) as built:
        built.build()
        change(root / "m")
        with pytest.raises(SourceChanged) as caught:
            list(built.unchanged_files())
    assert caught.value.evidence == {"path": "m"}


@pytest.mark.parametrize("change", [c for c in CHANGES if c not in (become_link, become_folder)])
def test_a_manifest_is_not_made_of_a_file_that_changed_after_it_was_listed(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Small files are hashed one after the other: the report of the first comes before the second."""
    root = tmp_path / "root"
    write_tree(root, {"a": b"first", "m": pattern(100)})
    told: list[Progress] = []

    def report(progress: Progress) -> None:
        if not told:
            change(root / "m")
        told.append(progress)

    with ReleaseBuilder(root, NAMING) as built, pytest.raises(RefusedError, match="'m'"):
        built.build(report)
    assert told[0].done == 5


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("size", [100, 2 * MIB])
def test_a_file_changed_while_others_are_hashed_stops_the_release(
    tmp_path: Path, size: int, change: Callable[[Path], None]
) -> None:
    root = tmp_path / "root"
    write_tree(root, {f"{n:02}": pattern(2 * MIB, n) for n in range(12)} | {"m": pattern(size)})
    changed = False

    def report(progress: Progress) -> None:
        nonlocal changed
        if not changed and progress.done:
            changed = True
            change(root / "m")

    # A file that is no more a file when it is opened is refused as what it is.
    with pytest.raises(RefusedError, match="'m'") as caught:
        manifest_of(root, report=report)
    assert changed
    assert isinstance(caught.value, SourceChanged | PathRefused)


def test_a_file_in_a_folder_moved_away_is_changed(tmp_path: Path) -> None:
    write_tree(tmp_path, {"root/sub/x": b"1", "other/x": b"1"})
    with ReleaseBuilder(tmp_path / "root", NAMING) as built:
        built.build()
        (tmp_path / "root" / "sub").rename(tmp_path / "gone")
        (tmp_path / "root" / "sub").symlink_to(tmp_path / "other")
        with pytest.raises(SourceChanged):
            list(built.unchanged_files())


def test_a_time_stamp_beyond_64_bits_of_nanoseconds_is_no_crash(tmp_path: Path) -> None:
    write_tree(tmp_path, {"old": b"1", "new": b"2"})
    os.utime(tmp_path / "old", (-(10**9), -(10**9)))
    os.utime(tmp_path / "new", (10**10, 10**10))
    with ReleaseBuilder(tmp_path, NAMING) as built:
        built.build()
        assert len(list(built.unchanged_files())) == 2


@pytest.mark.long
def test_memory_does_not_grow_with_the_release(tmp_path: Path) -> None:
    write_tree(tmp_path / "root", {f"{n % 50}/{n}": b"%d" % n for n in range(30_000)})
    with (tmp_path / "root" / "huge").open("wb") as file:
        file.truncate(2 << 30)
    program = (
        "import sys; from pathlib import Path\n"
        "from integrity.disk.building import Naming, ReleaseBuilder\n"
        f"with ReleaseBuilder(Path(sys.argv[1]), Naming({PUBLISHER!r}, 'tool', '1')) as built:\n"
        "    built.build(); list(built.nodes()); any(False for _ in built.unchanged_files())\n"
        # Not getrusage, whose peak is that of whoever started the process, if that was larger.
        "status = Path('/proc/self/status').read_text()\n"
        "print(int(status.partition('VmHWM:')[2].split()[0]) >> 10)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "root"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert int(run.stdout) < 150
