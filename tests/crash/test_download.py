"""A download that is killed before and after each change of the disk, or whose call fails: what stands
under the final name is whole or absent, and the next run ends well.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from integrity.testing.liar import LyingSource, honest
from tests.client.helpers import Release, tree_of

from .conftest import FILES, Outcome, Program
from .disk import Loss, Plan

pytestmark = pytest.mark.long

Run = Callable[[Path, Plan], Outcome]

TOLERATED = ("mkdir", "unlink", "rmdir")


@pytest.fixture
def run(program: Program, release: Release, environment: dict[str, str]) -> Run:
    command = [
        "get", str(release.link), "-o", "out", "--from", release.url, "--publisher",
        release.link.publisher,
    ]  # fmt: skip
    return lambda place, plan: program.run(place, command, environment, plan)


def calls_of(program: Program, run: Run) -> list[str]:
    """Every change that a download makes when nothing goes wrong."""
    place = program.place()
    whole = run(place, Plan())
    assert (whole.code, whole.out["verdict"]) == (0, "verified"), whole.errors
    check_whole(place)
    return whole.calls


def check_whole(place: Path) -> None:
    assert tree_of(place / "out") == FILES
    assert sorted(path.name for path in place.iterdir()) == ["out", "out.integrity", "out.receipt"]


def check_nothing_half(place: Path) -> None:
    """Whatever has the final name is all of it."""
    if (place / "out").exists():
        assert tree_of(place / "out") == FILES


def kill_at(program: Program, run: Run, at: int, *, after: bool, loss: Loss) -> None:
    place = program.place()
    killed = run(place, Plan(at, after=after, loss=loss))
    assert killed.code == -9, (killed.code, killed.errors)
    check_nothing_half(place)
    again = run(place, Plan())
    assert again.code == 0, (at, again.errors, again.out)
    assert tree_of(place / "out") == FILES


@pytest.mark.parametrize("after", [False, True])
def test_killed_while_it_asks_others_the_next_run_ends_well(
    program: Program, run: Run, after: bool
) -> None:
    whole = run(program.place(), Plan(sends=True))
    sends = [at for at, call in enumerate(whole.calls, 1) if call.startswith("send")]
    assert len(sends) > 10
    for at in sends[after::3]:
        place = program.place()
        assert run(place, Plan(at, after=after, sends=True)).code == -9
        check_nothing_half(place)
        assert run(place, Plan()).code == 0
        assert tree_of(place / "out") == FILES


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_change_the_next_run_ends_well(
    program: Program, run: Run, after: bool, loss: Loss
) -> None:
    for at in range(1, len(calls_of(program, run)) + 1):
        kill_at(program, run, at, after=after, loss=loss)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_threat_35_whichever_call_fails_it_is_never_called_done(
    program: Program, run: Run, code: int
) -> None:
    calls = calls_of(program, run)
    for at, call in enumerate(calls, 1):
        place = program.place()
        failed = run(place, Plan(at, error=code))
        check_nothing_half(place)
        if failed.code == 0:
            # A folder that was there already, clearing up, and what stands beside the data.
            warnings = "".join(failed.out["warnings"])
            told = any(f"{what} was not written" in warnings for what in ("manifest", "receipt"))
            assert told or call.startswith(TOLERATED), call
            assert tree_of(place / "out") == FILES
        else:
            assert failed.code == 3, (call, failed.errors)
            assert failed.out["error"]["name"] == "DiskError", (call, failed.out)
        again = run(place, Plan())
        assert again.code == 0, (call, again.out)
        assert tree_of(place / "out") == FILES


@pytest.mark.parametrize("loss", [Loss.DATA, Loss.ALL])
def test_a_sync_that_failed_once_is_not_believed_when_it_succeeds_later(
    program: Program, run: Run, loss: Loss
) -> None:
    """Linux counts a page as written that it failed to write: the next sync knows nothing of it."""
    calls = calls_of(program, run)
    at = next(at for at, call in enumerate(calls, 1) if call.startswith("syncfs"))
    place = program.place()
    failed = run(place, Plan(at, error=errno.EIO, loss=loss))
    assert failed.code == 3, failed.errors
    assert failed.forgotten == 0, "what only memory has would be hashed and found right"
    again = run(place, Plan())
    assert again.code == 0, again.errors
    assert again.out["fetched"] > 3 << 20
    assert tree_of(place / "out") == FILES


def test_nothing_that_was_kept_is_fetched_again(
    program: Program, run: Run, release: Release, environment: dict[str, str]
) -> None:
    """Killed right after a piece was written: it is there, synced or not."""
    calls = calls_of(program, run)
    writes = [at for at, call in enumerate(calls, 1) if call.startswith("pwrite")]
    with LyingSource(release.url, honest) as counting:
        command = [
            "get", str(release.link), "-o", "out", "--from", counting.url, "--publisher",
            release.link.publisher,
        ]  # fmt: skip
        for at in writes[:: max(1, len(writes) // 3)]:
            place = program.place()
            counting.asked.clear()
            program.run(place, command, environment, Plan(at, after=True))
            kept = sum(
                path.read_bytes()[:1] != b"\0" and path.stat().st_size < 1 << 20
                for path in (place / "out.part" / "tree").rglob("*")
                if path.is_file()
            )
            first = set(counting.asked)
            counting.asked.clear()
            assert program.run(place, command, environment, Plan()).code == 0
            assert len(set(counting.asked)) <= len(first) + 12 - kept
