"""A release in the place of another folder: exchanged in one step, and nothing of one's own is lost."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from integrity.client.session import Session
from integrity.core.selection import Selection
from integrity.disk import replacing, staging, system
from integrity.errors import DiskError, PathRefused, SourcesUnavailable, UsageError
from integrity.store.database import Store
from tests.adversary.sources import MemorySource

from .conftest import Publish, ReaderOf
from .helpers import MIB, Release, get, pattern, sha256, tree_of, write_tree

LARGE = pattern(4 * MIB + 9)
OLD = {"large": LARGE, "same": b"same", "gone": b"gone", "name before": pattern(2 * MIB, 7)}
NEW = {
    "large": LARGE[:MIB] + b"!" + LARGE[MIB + 1 :], "same": b"same", "new": b"new",
    "name after": OLD["name before"],
}  # fmt: skip
CHANGED = [sha256(NEW["large"][MIB : 2 * MIB]), sha256(b"new")]


@pytest.fixture(scope="module")
def old(published: Publish) -> Release:
    return published("replaced", OLD, "1.0.0")


@pytest.fixture(scope="module")
def new(published: Publish, old: Release) -> Release:
    assert old.files == OLD
    return published("replaced", NEW, "2.0.0")


@pytest.fixture
def reader(new: Release, reader_of: ReaderOf) -> Session:
    return reader_of(new.link)


@pytest.fixture
def out(old: Release, reader: Session, tmp_path: Path) -> Path:
    """The old release, as it was downloaded."""
    get(reader, old.link, tmp_path / "out", sources=[MemorySource(old.blocks)])
    return tmp_path / "out"


def beside(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir() if not path.name.startswith("reader"))


def replace(release: Release, reader: Session, out: Path) -> tuple[list[bytes], list[str]]:
    source = MemorySource(release.blocks)
    got = get(reader, release.link, out, sources=[source], replace=True)
    assert got.verdict == "verified"
    assert tree_of(out) == release.files
    return [d for d in source.asked if d != release.published.manifest], got.warnings


def test_only_what_changed_is_fetched_and_the_old_folder_is_gone(
    new: Release, reader: Session, out: Path
) -> None:
    asked, warnings = replace(new, reader, out)
    assert sorted(asked) == sorted(CHANGED)
    assert warnings == []
    assert beside(out) == ["out", "out.integrity", "out.receipt"]


def test_without_being_told_nothing_is_replaced(new: Release, reader: Session, out: Path) -> None:
    with pytest.raises(PathRefused, match="exists"):
        get(reader, new.link, out, sources=[MemorySource(new.blocks)])
    assert tree_of(out) == OLD


@pytest.mark.parametrize("touch", ["a file more", "a changed file", "no manifest beside it"])
def test_what_may_be_of_ones_own_is_put_beside(
    old: Release, new: Release, reader: Session, out: Path, touch: str
) -> None:
    if touch == "a file more":
        (out / "mine").write_text("mine")
    elif touch == "a changed file":
        (out / "same").write_text("mine")
    else:
        out.with_name("out.integrity").unlink()
    was = tree_of(out)
    _, warnings = replace(new, reader, out)
    assert "out.old" in warnings[0]
    assert tree_of(out.with_name("out.old")) == was
    (out / "mine too").write_text("x")
    was = tree_of(out)
    _, warnings = replace(old, reader, out)
    assert "out.old-2" in warnings[0]
    assert tree_of(out.with_name("out.old-2")) == was


def test_what_is_saved_into_the_old_folder_while_the_new_one_is_synced_is_not_lost(
    new: Release, reader: Session, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync(_: Path) -> None:
        (out / "my notes").write_text("notes")

    monkeypatch.setattr(staging, "make_durable", sync)
    _, warnings = replace(new, reader, out)
    assert "out.old" in warnings[0]
    assert (out.with_name("out.old") / "my notes").read_text() == "notes"


def test_an_exchange_that_fails_leaves_the_download_to_go_on_with(
    new: Release, reader: Session, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: str) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(replacing, "exchange", refused)
    with pytest.raises(DiskError):
        get(reader, new.link, out, sources=[MemorySource(new.blocks)], replace=True)
    assert tree_of(out) == OLD
    monkeypatch.undo()
    assert replace(new, reader, out) == ([], [])
    assert beside(out) == ["out", "out.integrity", "out.receipt"]


def test_when_it_fails_the_old_folder_stands_untouched(
    new: Release, reader: Session, out: Path
) -> None:
    some = {digest: block for digest, block in new.blocks.items() if digest != CHANGED[0]}
    with pytest.raises(SourcesUnavailable):
        get(reader, new.link, out, sources=[MemorySource(some)], replace=True)
    assert tree_of(out) == OLD
    source = MemorySource(new.blocks)
    get(reader, new.link, out, sources=[source], replace=True)
    assert sorted(source.asked) == sorted([CHANGED[0], new.published.manifest])


def test_the_same_release_in_its_own_place_is_left_alone(
    old: Release, reader: Session, out: Path
) -> None:
    inode = out.stat().st_ino
    got = get(reader, old.link, out, sources=[MemorySource({})], replace=True)
    assert (got.verdict, out.stat().st_ino) == ("unchanged", inode)


class Killed(BaseException):
    """As by a signal that cannot be caught."""


def killed(new: Release, reader: Session, out: Path, *, share: bool = False) -> None:
    """A run that is killed on its way."""
    with pytest.raises(Killed):
        get(reader, new.link, out, sources=[MemorySource(new.blocks)], replace=True, share=share)


def kill_at_the_exchange(monkeypatch: pytest.MonkeyPatch, *, done: bool) -> None:
    true = system.exchange

    def exchange(one: str, other: str) -> bool:
        if done:
            true(one, other)
        raise Killed

    monkeypatch.setattr(replacing, "exchange", exchange)


def kill_at_rename(monkeypatch: pytest.MonkeyPatch, number: int, *, done: bool) -> None:
    """From now on the so-many-th rename of a folder is the last thing that happens."""
    true, count = os.rename, iter(range(1, 100))

    def rename(one: Path, other: Path) -> None:
        last = next(count) == number
        if done or not last:
            true(one, other)
        if last:
            raise Killed

    monkeypatch.setattr(os, "rename", rename)


def old_ones(out: Path) -> list[dict[str, bytes]]:
    return [tree_of(path) for path in out.parent.glob("out.old*")]


def test_killed_before_the_exchange_the_download_goes_on_with_all_it_had(
    new: Release, reader: Session, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        kill_at_the_exchange(patched, done=False)
        killed(new, reader, out)
    assert tree_of(out) == OLD
    assert replace(new, reader, out) == ([], [])
    assert beside(out) == ["out", "out.integrity", "out.receipt"]


@pytest.mark.parametrize("release", ["the same", "another"])
def test_killed_after_the_exchange_the_old_folder_is_put_beside(
    old: Release, new: Release, reader: Session, out: Path, release: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (out / "mine").write_text("mine")
    with monkeypatch.context() as patched:
        kill_at_the_exchange(patched, done=True)
        killed(new, reader, out)
    assert tree_of(out) == NEW
    # Whatever lies there may be somebody's.
    other = new if release == "the same" else old
    got = get(reader, other.link, out, sources=[MemorySource(other.blocks)], replace=True)
    assert tree_of(out) == other.files
    assert "out.old" in " ".join(got.warnings)
    assert OLD | {"mine": b"mine"} in old_ones(out)
    assert not out.with_name("out.part").exists()
    digest = sha256(out.with_name("out.integrity").read_bytes())
    assert digest == sha256(b"".join(_manifest(other)))


def test_killed_while_the_old_folder_is_deleted_the_rest_of_it_goes_the_next_time(
    new: Release, reader: Session, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete(path: Path, _: list[str]) -> None:
        (path / "same").unlink()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(replacing, "_delete", delete)
        killed(new, reader, out)
    assert replace(new, reader, out) == ([], [])
    assert beside(out) == ["out", "out.integrity", "out.receipt"]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("done", [False, True])
def test_killed_at_any_rename_where_it_takes_two_nothing_is_lost(
    new: Release, reader: Session, out: Path, number: int, done: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (out / "mine").write_text("mine")
    with monkeypatch.context() as patched:
        patched.setattr(replacing, "exchange", lambda *_: False)
        kill_at_rename(patched, number, done=done)
        killed(new, reader, out)
        patched.undo()
        patched.setattr(replacing, "exchange", lambda *_: False)
        asked, warnings = replace(new, reader, out)
    assert asked == []
    assert "out.old" in warnings[0]
    assert old_ones(out) == [OLD | {"mine": b"mine"}]
    assert beside(out) == ["out", "out.integrity", "out.old", "out.receipt"]


def test_killed_before_the_store_was_told_it_is_offered_from_its_place_all_the_same(
    new: Release, reader: Session, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        kill_at_the_exchange(patched, done=True)
        killed(new, reader, out, share=True)
    get(reader, new.link, out, sources=[MemorySource(new.blocks)])
    with Store(reader.home.store) as store:
        assert [os.fsdecode(known.folder) for known in store.releases()] == [os.path.realpath(out)]


def _manifest(release: Release) -> list[bytes]:
    return [release.folder.with_name(f"{release.folder.name}.integrity").read_bytes()]


def test_what_cannot_be_replaced_is_refused_before_anything_is_fetched(
    new: Release, reader: Session, out: Path
) -> None:
    link = out.with_name("link")
    link.symlink_to(out)
    source = MemorySource(new.blocks)
    with pytest.raises(PathRefused, match="symbolic link"):
        get(reader, new.link, link, sources=[source], replace=True)
    assert source.asked in ([], [new.published.manifest])
    assert tree_of(out) == OLD


def test_without_an_exchange_in_one_step_it_takes_two(
    new: Release, reader: Session, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "elsewhere")
    replace(new, reader, out)
    assert beside(out) == ["out", "out.integrity", "out.receipt"]


# --- a part of a release -----------------------------------------------------------------------


def test_only_what_was_asked_for_is_fetched_and_that_is_complete(
    new: Release, reader: Session, tmp_path: Path
) -> None:
    source = MemorySource(new.blocks)
    out = tmp_path / "some"
    some = Selection(["same", "name*"])
    got = get(reader, new.link, out, sources=[source], only=some)
    assert (got.files, got.size, got.header.files) == (2, 2 * MIB + 4, 4)
    assert tree_of(out) == {path: NEW[path] for path in ("same", "name after")}
    assert len(source.asked) == 1 + 3
    assert out.with_name("some.integrity").is_file()
    again = get(reader, new.link, out, sources=[MemorySource(new.blocks)], only=some)
    assert (again.verdict, again.fetched) == ("verified", 0)
    with pytest.raises(PathRefused):
        get(reader, new.link, out, sources=[MemorySource(new.blocks)])
    more = MemorySource(new.blocks)
    get(reader, new.link, out, sources=[more], replace=True)
    assert tree_of(out) == NEW
    assert len(more.asked) == 5 + 1


def test_a_pattern_without_a_file_is_a_mistake(
    new: Release, reader: Session, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="nothing"):
        get(
            reader, new.link, tmp_path / "x", sources=[MemorySource(new.blocks)],
            only=Selection(["nothing/**"]),
        )  # fmt: skip
    assert not (tmp_path / "x").exists()


def test_an_older_release_in_a_folder_gives_what_did_not_change(
    new: Release, old: Release, reader: Session, tmp_path: Path
) -> None:
    from integrity.sources.folder import FolderSource

    write_tree(tmp_path / "usb", OLD)
    shutil.copy(old.folder.with_name("replaced.integrity"), tmp_path / "usb.integrity")
    source = MemorySource(new.blocks)
    got = get(reader, new.link, tmp_path / "out", sources=[source, FolderSource(tmp_path / "usb")])
    assert tree_of(tmp_path / "out") == NEW
    assert sorted(source.asked) == sorted([*CHANGED, new.published.manifest])
    assert got.sources[1].lie is None
    assert tree_of(tmp_path / "usb") == OLD
