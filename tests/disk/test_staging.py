"""Staging: one process at a time, nobody else's folder, and a final name that is whole or absent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from integrity.disk.staging import Staging, check_target
from integrity.errors import DiskError, Locked, PathRefused, UnsafePath

from .helpers import open_descriptors, write_tree

_HOLDER = """
import sys, time
from pathlib import Path
from integrity.disk.staging import Staging
with Staging(Path(sys.argv[1])) as staging:
    (staging.tree / "kept").write_text("by the first")
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out"


def holder(target: Path) -> subprocess.Popen[str]:
    """Another process that downloads into the target."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, target], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_tree_gets_the_final_name_in_one_step(target: Path) -> None:
    before = open_descriptors()
    with Staging(target) as staging:
        write_tree(staging.tree, {"a/b": b"1"})
        assert not target.exists()
        staging.finish()
    assert (target / "a" / "b").read_bytes() == b"1"
    assert list(target.parent.iterdir()) == [target]
    assert open_descriptors() <= before


def test_what_was_kept_is_there_the_next_time(target: Path) -> None:
    with Staging(target) as staging:
        write_tree(staging.tree, {"a": b"1"})
    assert not target.exists()
    with Staging(target) as staging:
        assert (staging.tree / "a").read_bytes() == b"1"
        staging.finish()
    assert (target / "a").read_bytes() == b"1"


def test_nothing_is_left_behind_when_nothing_was_kept(target: Path) -> None:
    with pytest.raises(LookupError), Staging(target):
        raise LookupError
    assert list(target.parent.iterdir()) == []


def test_an_empty_target_is_taken(target: Path) -> None:
    target.mkdir()
    with Staging(target) as staging:
        write_tree(staging.tree, {"a": b"1"})
        staging.finish()
    assert (target / "a").read_bytes() == b"1"


def test_a_target_filled_meanwhile_is_left_alone(target: Path) -> None:
    with Staging(target) as staging:
        write_tree(staging.tree, {"a": b"1"})
        write_tree(target, {"mine": b"mine"})
        with pytest.raises(PathRefused):
            staging.finish()
    assert [path.name for path in target.iterdir()] == ["mine"]
    assert (staging.tree / "a").read_bytes() == b"1"


# --- two at once -------------------------------------------------------------------------------


def test_threat_38_a_second_process_is_locked_out(target: Path) -> None:
    process = holder(target)
    try:
        with pytest.raises(Locked, match="another process"), Staging(target):
            pass
        assert (target.parent / "out.part" / "tree" / "kept").read_text() == "by the first"
    finally:
        process.kill()
        process.wait()


def test_threat_38_a_second_of_this_process_is_locked_out(target: Path) -> None:
    with Staging(target) as staging:
        with pytest.raises(Locked), Staging(target):
            pass
        write_tree(staging.tree, {"a": b"1"})
        staging.finish()
    assert (target / "a").read_bytes() == b"1"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_threat_38_the_lock_of_a_killed_process_clears_itself(
    target: Path, number: signal.Signals
) -> None:
    process = holder(target)
    process.send_signal(number)
    process.wait()
    with Staging(target) as staging:
        assert (staging.tree / "kept").read_text() == "by the first"
        staging.finish()
    assert (target / "kept").exists()


def test_two_targets_do_not_lock_each_other(target: Path) -> None:
    with Staging(target) as one, Staging(target.with_name("other")) as two:
        for staging in (one, two):
            write_tree(staging.tree, {"a": b"1"})
            staging.finish()


# --- what is not ours --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "tree2"])
def test_a_foreign_part_folder_is_refused_and_untouched(target: Path, name: str) -> None:
    part = target.with_name("out.part")
    write_tree(part, {name: b"somebody's", "tree/x": b"somebody's", "lock": b""})
    with pytest.raises(PathRefused, match=name), Staging(target):
        pass
    assert (part / name).read_bytes() == b"somebody's"
    assert (part / "tree" / "x").read_bytes() == b"somebody's"


def test_a_folder_called_tree_without_a_lock_is_somebody_elses(target: Path) -> None:
    part = target.with_name("out.part")
    write_tree(part, {"tree/thesis.tex": b"years of work"})
    with pytest.raises(PathRefused), Staging(target):
        pass
    assert (part / "tree" / "thesis.tex").read_bytes() == b"years of work"


@pytest.mark.parametrize("kind", ["file", "link", "link to nothing"])
def test_a_part_that_is_no_folder_is_refused(target: Path, kind: str) -> None:
    part = target.with_name("out.part")
    elsewhere = target.with_name("elsewhere")
    if kind == "file":
        part.write_text("mine")
    else:
        if kind == "link":
            elsewhere.mkdir()
        part.symlink_to(elsewhere)
    with pytest.raises(PathRefused), Staging(target):
        pass
    assert part.is_symlink() or part.read_text() == "mine"
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []


def test_a_tree_that_is_a_link_is_refused(target: Path) -> None:
    write_tree(target.parent, {"elsewhere/x": b"canary", "out.part/lock": b""})
    (target.parent / "out.part" / "tree").symlink_to(target.parent / "elsewhere")
    with pytest.raises(PathRefused, match="symbolic link"), Staging(target):
        pass
    assert (target.parent / "elsewhere" / "x").read_bytes() == b"canary"


def test_threat_37_a_tree_swapped_for_a_link_never_gets_the_final_name(target: Path) -> None:
    outside = target.with_name("outside")
    write_tree(outside, {"x": b"canary"})
    with Staging(target) as staging:
        write_tree(staging.tree, {"x": b"verified"})
        staging.tree.rename(target.with_name("moved"))
        staging.tree.symlink_to(outside)
        with pytest.raises(UnsafePath):
            staging.finish()
    assert not os.path.lexists(target)
    assert (outside / "x").read_bytes() == b"canary"


def test_threat_37_a_tree_swapped_for_another_folder_never_gets_the_final_name(
    target: Path,
) -> None:
    with Staging(target) as staging:
        write_tree(staging.tree, {"x": b"verified"})
        staging.tree.rename(target.with_name("moved"))
        write_tree(staging.tree, {"x": b"not verified"})
        with pytest.raises(UnsafePath):
            staging.finish()
    assert not os.path.lexists(target)


# --- disks that refuse -------------------------------------------------------------------------


def test_a_target_in_a_folder_that_cannot_be_made_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError), Staging(tmp_path / "file" / "out"):
        pass
    with pytest.raises(DiskError, match="too long"), Staging(tmp_path / ("n" * 253)):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_check_target_tells_what_stands_there(tmp_path: Path) -> None:
    assert not check_target(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert not check_target(tmp_path / "empty")
    write_tree(tmp_path, {"full/x": b""})
    assert check_target(tmp_path / "full")
    (tmp_path / "link").symlink_to("full")
    assert check_target(tmp_path / "link")


@pytest.mark.parametrize("kind", ["file", "fifo", "broken link", "name too long", "link to empty"])
def test_check_target_refuses_what_would_be_overwritten(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "out"
    if kind == "file":
        place.write_text("mine")
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "broken link":
        place.symlink_to("absent")
    elif kind == "link to empty":
        (tmp_path / "empty").mkdir()
        place.symlink_to("empty")
    else:
        place = tmp_path / ("n" * 300)
    with pytest.raises(PathRefused):
        check_target(place)


def test_an_empty_mount_point_is_refused_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path)
    with pytest.raises(PathRefused, match="mount point"):
        check_target(tmp_path)
