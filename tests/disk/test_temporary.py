"""Temporary folders: gone at the end, also after a kill, and never taken from who still works."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from integrity.disk.temporary import TemporaryFolder
from integrity.errors import DiskError

HOLD = """
import sys, time
from pathlib import Path
from integrity.disk.temporary import TemporaryFolder
with TemporaryFolder(Path(sys.argv[1])) as folder:
    (folder / "data").write_text("x")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_it_is_gone_at_the_end_with_all_that_is_in_it(tmp_path: Path) -> None:
    with TemporaryFolder(tmp_path) as folder:
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "file").write_text("x")
        assert folder.parent == tmp_path
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_cleared_by_the_next_and_no_sooner(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, os.fspath(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with TemporaryFolder(tmp_path):
            assert (left / "data").exists(), "its process still works with it"
        process.kill()
    assert left.exists()
    with TemporaryFolder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_other_things_in_the_base_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "job-file").write_text("mine")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "keep").write_text("mine")
    (tmp_path / "job-link").symlink_to(tmp_path / "target")
    with TemporaryFolder(tmp_path):
        pass
    assert sorted(os.listdir(tmp_path)) == ["job-file", "job-link", "mine", "target"]
    assert (tmp_path / "target" / "keep").read_text() == "mine"
    assert (tmp_path / "job-file").read_text() == "mine"


def test_many_at_once_do_not_take_each_others(tmp_path: Path) -> None:
    lost: list[Path] = []

    def work() -> None:
        for _ in range(50):
            with TemporaryFolder(tmp_path) as folder:
                (folder / "x").write_text("x")
                if not (folder / "x").exists():
                    lost.append(folder)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not lost
    assert not list(tmp_path.iterdir())


def test_a_base_that_is_none_is_a_disk_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="no room"), TemporaryFolder(tmp_path / "nowhere"):
        pass
