"""How far something is: a bar on a terminal, lines in a log, events for programs."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from integrity.ports import Progress, SourceProgress
from integrity_cli.progress import event, line, seconds_left

from .conftest import Release
from .running import User
from .schema import check, documented
from .terminal import Terminal

MIB = 1 << 20
STATE = Progress(
    "fetching", 512 * MIB, 2048 * MIB,
    sources=(
        SourceProgress("http://one", 300 * MIB, 10.5 * MIB, 0),
        SourceProgress("http://other", 212 * MIB, 1.5 * MIB, 2),
    ),
)  # fmt: skip


def test_a_line_says_how_far_how_fast_and_who_lied() -> None:
    assert line(STATE) == (
        "fetching  512.0 MiB of 2.0 GiB (25 %), 12.0 MiB/s, 2:08 left; "
        "http://one 10.5 MiB/s; http://other 1.5 MiB/s, 2 REJECTED"
    )
    assert line(Progress("exporting", 5)) == "exporting  5 B"
    assert line(Progress("hashing", 0, 0)) == "hashing  0 B"


def test_an_event_is_as_documented() -> None:
    fields = documented()["--progress json"]
    for state in (STATE, Progress("exporting", 5), Progress("hashing", 5, 10)):
        check(event(state), fields)
    assert event(STATE)["eta"] == seconds_left(STATE) == 128


@example(2, 0, [1.1125369292536007e-308])
@given(
    st.integers(0, 1 << 60), st.none() | st.integers(0, 1 << 60),
    st.lists(st.floats(0, 1e12), max_size=3),
)  # fmt: skip
def test_whatever_the_numbers_are_they_can_be_shown(
    done: int, total: int | None, speeds: list[float]
) -> None:
    sources = tuple(SourceProgress("x", 0, speed, 0) for speed in speeds)
    state = Progress("fetching", done, total, sources=sources)
    assert "\n" not in line(state)
    json.dumps(event(state))


@pytest.mark.parametrize("as_json", [True, False])
def test_events_of_a_download_go_to_stderr(release: Release, reader: User, as_json: bool) -> None:
    done = reader.ok(
        "get", release.link, "-o", "out", "--from", release.url, "--publisher", release.address,
        "--limit-rate", "500K", "--progress", "json", *(["--json"] if as_json else []),
    )  # fmt: skip
    events = [json.loads(text) for text in done.errors.splitlines()]
    assert len(events) >= 2
    for one in events:
        check(one, documented()["--progress json"])
    assert events[0]["phase"] == "fetching"
    assert events[-1]["done"] <= events[-1]["total"] > 2 * MIB
    assert events[0]["sources"][0]["source"] == release.url
    if as_json:
        assert done.json()["verdict"] == "verified"


@pytest.mark.parametrize("form", ["auto", "plain", "none"])
def test_what_is_quick_shows_nothing_where_there_is_no_terminal(
    release: Release, reader: User, form: str
) -> None:
    known = ("--from", release.url, "--publisher", release.address)
    done = reader.ok("get", release.link, "-o", "out", *known, "--progress", form)
    assert done.err == b""


def test_a_bar_shows_each_source(release: Release, reader: User) -> None:
    command = (
        "get", release.link, "-o", "out", "--from", release.url, "--publisher", release.address,
        "--limit-rate", "500K",
    )  # fmt: skip
    with Terminal(reader, *command) as terminal:
        code, shown = terminal.end()
    assert code == 0
    assert "fetching" in shown
    assert f"{release.url} " in shown
    assert "B/s" in shown
