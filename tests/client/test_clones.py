"""Large files of an older release share their bytes with the new one's where the file system can."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from integrity.disk import system
from integrity.downloading import receiving
from integrity.downloading.repairing import repair
from integrity.errors import DiskError
from integrity.ports import Source
from integrity.sources.folder import FolderSource
from integrity.sources.gateway import GatewaySource

from .conftest import Publish, ReaderOf
from .helpers import MIB, Release, get, pattern, tree_of, write_tree

OLD = {
    "same": pattern(3 * MIB, 1), "sub/changed": pattern(4 * MIB, 2), "sub/shorter": pattern(2 * MIB, 3),
    "sub/longer": pattern(3 * MIB + 7, 4), "small": b"small",
}  # fmt: skip
NEW = OLD | {
    "sub/changed": OLD["sub/changed"][: 2 * MIB] + pattern(MIB, 9) + OLD["sub/changed"][3 * MIB :],
    "sub/shorter": OLD["sub/shorter"] + pattern(MIB, 5), "sub/longer": OLD["sub/longer"][: 2 * MIB + 1],
}  # fmt: skip


def copying(source: int, target: int) -> bool:
    """What a file system with reflinks does, to all appearances."""
    at = 0
    while data := os.pread(source, MIB, at):
        at += os.pwrite(target, data, at)
    return True


Cloning = Callable[[Callable[[int, int], bool]], list[bool]]


@pytest.fixture
def cloning(monkeypatch: pytest.MonkeyPatch) -> Cloning:
    """Puts another clone() in its place -> what it has answered, in order."""

    def put(clone: Callable[[int, int], bool]) -> list[bool]:
        answers: list[bool] = []

        def counted(source: int, target: int) -> bool:
            answers.append(clone(source, target))
            return answers[-1]

        monkeypatch.setattr(receiving, "clone", counted)
        return answers

    return put


@pytest.fixture(scope="module")
def release(published: Publish) -> Release:
    return published("clones", NEW)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    write_tree(tmp_path / "old", OLD)
    return tmp_path / "old"


def test_only_what_changed_is_fetched(
    release: Release, reader_of: ReaderOf, old: Path, tmp_path: Path, cloning: Cloning
) -> None:
    answers = cloning(copying)
    sources: list[Source] = [FolderSource(old), GatewaySource(release.url)]
    got = get(reader_of(release.link), release.link, tmp_path / "out", sources=sources)
    assert tree_of(tmp_path / "out") == NEW
    assert answers == [True] * 4
    assert got.present == sum(map(len, NEW.values())) - 2 * MIB - len(NEW["small"])
    assert got.sources[0].pieces == 1, "the small one is copied"
    assert got.sources[1].pieces == 3, "a changed one, an added one, the manifest"
    assert tree_of(old) == OLD


def test_a_source_that_changes_right_after_it_was_cloned_does_no_harm(
    release: Release, reader_of: ReaderOf, old: Path, tmp_path: Path, cloning: Cloning
) -> None:
    def and_then_changed(source: int, target: int) -> bool:
        copying(source, target)
        os.pwrite(target, b"!", 5)
        return True

    cloning(and_then_changed)
    sources: list[Source] = [FolderSource(old), GatewaySource(release.url)]
    got = get(reader_of(release.link), release.link, tmp_path / "out", sources=sources)
    assert got.verdict == "verified"
    assert tree_of(tmp_path / "out") == NEW


def test_where_files_cannot_share_they_are_copied(
    release: Release, reader_of: ReaderOf, old: Path, tmp_path: Path, cloning: Cloning
) -> None:
    answers = cloning(lambda *_: False)
    sources: list[Source] = [FolderSource(old), GatewaySource(release.url)]
    got = get(reader_of(release.link), release.link, tmp_path / "out", sources=sources)
    assert tree_of(tmp_path / "out") == NEW
    assert answers == [False], "it is asked once"
    assert got.sources[0].pieces > 8


def test_a_disk_that_is_full_is_said(
    release: Release, reader_of: ReaderOf, old: Path, tmp_path: Path, cloning: Cloning
) -> None:
    def full(*_: int) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cloning(full)
    sources: list[Source] = [FolderSource(old), GatewaySource(release.url)]
    with pytest.raises(DiskError, match="No space"):
        get(reader_of(release.link), release.link, tmp_path / "out", sources=sources)
    assert not (tmp_path / "out").exists()


def test_what_was_downloaded_already_is_not_replaced_by_a_clone(
    release: Release, reader_of: ReaderOf, old: Path, tmp_path: Path, cloning: Cloning
) -> None:
    write_tree(tmp_path / "out.part" / "tree", {"sub/changed": NEW["sub/changed"]})
    (tmp_path / "out.part" / "lock").touch()
    answers = cloning(copying)
    sources: list[Source] = [FolderSource(old), GatewaySource(release.url)]
    got = get(reader_of(release.link), release.link, tmp_path / "out", sources=sources)
    assert len(answers) == 3
    assert got.sources[1].pieces == 2
    assert tree_of(tmp_path / "out") == NEW


def test_a_repair_writes_nothing_unchecked_into_the_folder(
    release: Release, reader_of: ReaderOf, old: Path, tmp_path: Path, cloning: Cloning
) -> None:
    write_tree(tmp_path / "out", {path: data for path, data in NEW.items() if path != "same"})
    answers = cloning(copying)
    sources: list[Source] = [FolderSource(old), GatewaySource(release.url)]
    done = repair(reader_of(release.link), tmp_path / "out", release.link, sources=sources)
    assert (answers, done.pieces) == ([], 3)
    assert tree_of(tmp_path / "out") == NEW


def test_the_systems_own_clone_shares_or_says_that_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"bytes")
    with (tmp_path / "one").open("rb") as one, (tmp_path / "other").open("wb") as other:
        shared = system.clone(one.fileno(), other.fileno())
    assert (tmp_path / "other").read_bytes() == (b"bytes" if shared else b"")
