"""What a publisher is told while a record becomes final, which takes minutes on a real chain."""

from __future__ import annotations

import json

import pytest

from integrity.testing.people import equip
from tests.chain.anvils import Anvil
from tests.chain.conftest import MakeAnvil

from .running import Result, User
from .schema import check, documented
from .terminal import Terminal

WAITING = "waiting until it is final"
PUBLISH = ("publish", "d", "--package", "tool", "--version", "1.0.0")


@pytest.fixture
def waiter(user: User, anvil: Anvil) -> User:
    """Somebody with a folder to publish, on a chain that stands still until it is told to go on."""
    equip(user.own_home, anvil.url)
    (user.place / "d").mkdir()
    (user.place / "d" / "a").touch()
    return user


def until_told(waiter: User, anvil: Anvil, *command: str) -> list[str]:
    """Run a command, have the chain go on once it says that it waits -> all the lines on stderr."""
    told = []
    with waiter.start(*command) as process:
        assert process.stderr is not None
        for line in process.stderr:
            told.append(line.decode())
            if WAITING in told[-1]:
                anvil.mine(3)
        assert process.stdout is not None
        out = process.stdout.read()
    assert process.returncode == 0, told
    assert Result(0, out, b"").json()
    return told


def test_events_tell_that_publish_and_confirm_wait(waiter: User, anvil: Anvil) -> None:
    for command in ("publish", "confirm"):
        asked: tuple[str, ...] = PUBLISH
        if command == "confirm":
            again = waiter.ok(*PUBLISH[:-1], "2.0.0", "--no-wait", "--json").json()
            asked = ("confirm", again["link"])
        told = until_told(waiter, anvil, *asked, "--progress", "json", "--json")
        events = [json.loads(line) for line in told]
        for event in events:
            check(event, documented()["--progress json"])
        assert (events[-1]["phase"], events[-1]["unit"]) == (WAITING, "")


def test_lines_tell_that_a_batch_waits(waiter: User, anvil: Anvil) -> None:
    entry = '[[release]]\npath = "d"\npackage = "tool"\nversion = "1.0.0"\n'
    (waiter.place / "all.toml").write_text(entry)
    told = until_told(waiter, anvil, "publish-batch", "all.toml", "--progress", "plain", "--json")
    assert f"{WAITING}\n" in told


def test_a_terminal_shows_that_publish_waits(waiter: User, anvil: Anvil) -> None:
    with Terminal(waiter, *PUBLISH) as terminal:
        terminal.until(WAITING)
        anvil.mine(3)
        code, shown = terminal.end()
    assert code == 0
    assert "0 bytes" not in shown[shown.index(WAITING) :]


def test_what_has_no_progress_says_once_that_it_waits(waiter: User, anvil: Anvil) -> None:
    link = str(waiter.ok(*PUBLISH, "--no-wait", "--json").json()["link"])
    revoke = ("revoke", link, "--reason", "defective", "--json")
    assert until_told(waiter, anvil, *revoke) == [f"{WAITING}\n"]


def test_deploying_says_that_it_waits(user: User, bare_anvil: MakeAnvil) -> None:
    node = bare_anvil()
    equip(user.own_home, node.url)
    deploy = ("chain", "deploy", "--json")
    assert until_told(user, node, *deploy) == [f"{WAITING}\n"]
    assert user.ok("chain", "deploy", "--json").errors == ""
