"""Damaged folders: exactly what is wrong is fetched, and nothing else is touched."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from integrity.client.session import Session
from integrity.client.verifying import verify
from integrity.disk.staging import Staging
from integrity.downloading.getting import is_as_it_was
from integrity.downloading.repairing import repair
from integrity.errors import DiskError, Locked, SourcesLied, SourcesUnavailable, UsageError
from tests.adversary.sources import AT_ONCE, MemorySource, flip

from .conftest import EXECUTABLE, MIXED, ReaderOf
from .helpers import MIB, Release, sha256, tree_of


@pytest.fixture
def copy(mixed: Release, tmp_path: Path) -> Path:
    """A whole copy, to be damaged; the manifest stands beside it."""
    shutil.copytree(mixed.folder, tmp_path / "copy")
    shutil.copy(mixed.folder.with_name("mixed.integrity"), tmp_path / "copy.integrity")
    return tmp_path / "copy"


@pytest.fixture
def reader(mixed: Release, reader_of: ReaderOf) -> Session:
    return reader_of(mixed.link)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def piece(path: str, index: int) -> bytes:
    return sha256(MIXED[path][index * MIB : (index + 1) * MIB])


def several(*damages: Callable[[Path], None]) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        for damage in damages:
            damage(folder)

    return do


DAMAGES: dict[str, tuple[Callable[[Path], None], list[bytes]]] = {
    "nothing": (lambda _: None, []),
    "a flipped bit": (
        lambda f: overwrite(f / "bin/tool", MIB + 5, b"\xff"), [piece("bin/tool", 1)]
    ),
    "two pieces": (
        several(
            lambda f: overwrite(f / "bin/tool", 0, b"\xff"),
            lambda f: overwrite(f / "bin/exact", MIB, b"\xff"),
        ),
        [piece("bin/tool", 0), piece("bin/exact", 1)],
    ),
    "cut short": (lambda f: os.truncate(f / "bin/tool", MIB + 7), [piece("bin/tool", n) for n in (1, 2, 3)]),
    "grown": (lambda f: overwrite(f / "bin/exact", 2 * MIB, b"more"), []),
    "a small file grown": (lambda f: overwrite(f / "README", 7, b"x"), []),
    "missing": (lambda f: (f / "README").unlink(), [piece("README", 0)]),
    "empty file missing": (lambda f: (f / "empty").unlink(), []),
    "folder missing": (lambda f: shutil.rmtree(f / "a"), [piece("a/b/c/d", 0)]),
    "modes": (several(
            lambda f: (f / "a-b").chmod(0o644), lambda f: (f / "README").chmod(0o755)
        ), []),
}  # fmt: skip


WITHOUT_PIECES = {"grown": 1, "a small file grown": 1, "empty file missing": 1, "modes": 2}


@pytest.mark.parametrize("damage", DAMAGES)
def test_threat_36_exactly_what_is_damaged_is_fetched(
    mixed: Release, reader: Session, copy: Path, damage: str
) -> None:
    do, expected = DAMAGES[damage]
    do(copy)
    (copy / "mine").write_text("my own")
    source = MemorySource(mixed.blocks)
    done = repair(reader, copy, mixed.link, sources=[source], terms=AT_ONCE)
    assert sorted(source.asked) == sorted(expected)
    assert done.pieces == len(expected)
    assert done.mended == WITHOUT_PIECES.get(damage, 0)
    assert done.extra == ["mine"]
    assert tree_of(copy) == MIXED | {"mine": b"my own"}
    for path in EXECUTABLE:
        assert os.access(copy / path, os.X_OK)
    assert verify(reader, copy, mixed.link).verdict == "verified"
    assert not copy.with_name("copy.part").exists()


def test_a_file_that_is_changed_while_others_are_mended_is_not_remembered(
    mixed: Release, reader: Session, copy: Path
) -> None:
    overwrite(copy / "bin/tool", 0, b"\xff")
    held = MemorySource(mixed.blocks)
    size = (copy / "README").stat().st_size

    def meanwhile(_: bytes, block: bytes) -> bytes:
        (copy / "README").write_bytes(b"x" * size)
        return block

    held.attacker_act = meanwhile
    repair(reader, copy, mixed.link, sources=[held], terms=AT_ONCE)
    assert not is_as_it_was(reader, copy)
    again = repair(reader, copy, mixed.link, sources=[held], terms=AT_ONCE)
    assert again.pieces == 1
    assert verify(reader, copy, mixed.link).verdict == "verified"
    assert repair(reader, copy, mixed.link, sources=[held], terms=AT_ONCE).pieces == 0
    assert is_as_it_was(reader, copy)


def test_the_manifest_stands_beside_what_was_repaired(
    mixed: Release, reader: Session, copy: Path
) -> None:
    sidecar = copy.with_name("copy.integrity")
    sidecar.unlink(missing_ok=True)
    repair(reader, copy, mixed.link, sources=[MemorySource(mixed.blocks)], terms=AT_ONCE)
    assert sha256(sidecar.read_bytes()) == mixed.published.manifest
    assert verify(reader, copy, mixed.link).verdict == "verified"


def test_when_nobody_has_it_what_is_right_stays_and_the_next_run_goes_on(
    mixed: Release, reader: Session, copy: Path
) -> None:
    for index in range(3):
        overwrite(copy / "bin/tool", index * MIB, b"\xff\xff")
    some = {
        digest: block for digest, block in mixed.blocks.items() if digest != piece("bin/tool", 1)
    }
    with pytest.raises(SourcesUnavailable):
        repair(reader, copy, mixed.link, sources=[MemorySource(some)], terms=AT_ONCE)
    source = MemorySource(mixed.blocks)
    repair(reader, copy, mixed.link, sources=[source], terms=AT_ONCE)
    assert source.asked == [piece("bin/tool", 1)]
    assert tree_of(copy) == MIXED


def test_what_a_liar_sends_never_gets_into_the_folder(
    mixed: Release, reader: Session, copy: Path
) -> None:
    overwrite(copy / "bin/tool", 0, b"\xff")
    before = tree_of(copy)
    with pytest.raises(SourcesLied):
        repair(reader, copy, mixed.link, sources=[MemorySource(mixed.blocks, flip)], terms=AT_ONCE)
    assert tree_of(copy) == before


@pytest.mark.parametrize("what", ["absent", "file", "link"])
def test_what_is_no_folder_is_not_repaired(
    mixed: Release, reader: Session, copy: Path, what: str
) -> None:
    (copy.parent / "file").write_text("x")
    (copy.parent / "link").symlink_to(copy)
    with pytest.raises(UsageError, match=what):
        repair(reader, copy.parent / what, mixed.link, sources=[MemorySource(mixed.blocks)])


def test_a_folder_without_a_name_is_found_by_its_own(
    mixed: Release, reader: Session, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="root of the file system"):
        repair(reader, Path("/"), mixed.link, sources=[MemorySource(mixed.blocks)])
    monkeypatch.chdir(copy)
    assert repair(reader, Path("."), mixed.link, sources=[MemorySource(mixed.blocks)]).path == copy


def test_threat_37_a_link_in_a_files_place_is_not_written_through(
    mixed: Release, reader: Session, copy: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    (copy / "README").unlink()
    (copy / "README").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="symbolic link"):
        repair(reader, copy, mixed.link, sources=[MemorySource(mixed.blocks)], terms=AT_ONCE)
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_threat_38_one_at_a_time(mixed: Release, reader: Session, copy: Path) -> None:
    with Staging(copy), pytest.raises(Locked):
        repair(reader, copy, mixed.link, sources=[MemorySource(mixed.blocks)])


def keeps_bits_as_they_are(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """As of a file that somebody else owns; or, if the path is empty, of all files, as FAT."""
    true = os.fchmod

    def fchmod(fd: int, mode: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").endswith(path):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        true(fd, mode)

    monkeypatch.setattr(os, "fchmod", fchmod)
    if not path:
        monkeypatch.setattr(Path, "chmod", lambda *_: None)


def test_an_execute_bit_that_cannot_be_set_is_not_called_verified(
    mixed: Release, reader: Session, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / "bin/tool").chmod(0o644)
    keeps_bits_as_they_are(monkeypatch, "bin/tool")
    with pytest.raises(DiskError, match="'bin/tool' executable"):
        repair(reader, copy, mixed.link, sources=[MemorySource(mixed.blocks)])
    assert not copy.with_name("copy.part").exists()


def test_a_disk_without_execute_bits_is_told_of(
    mixed: Release, reader: Session, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / "bin/tool").chmod(0o644)
    (copy / "a-b").chmod(0o644)
    keeps_bits_as_they_are(monkeypatch, "")
    done = repair(reader, copy, mixed.link, sources=[MemorySource(mixed.blocks)])
    assert "2 files are executable, or not" in done.warnings[0]
