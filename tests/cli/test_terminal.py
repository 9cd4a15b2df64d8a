"""What is shown on terminals and in pipes, and what people are asked there."""

from __future__ import annotations

import os
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integrity_cli.output import escape
from tests.chain.conftest import MakeRpc
from tests.chain.lying_rpc import Call, Forward, LyingRpc

from .conftest import Release
from .running import COMMAND, User
from .terminal import Terminal

EVIL = "a\x1b]0;pwned\x07\r\x1b[2J\u202egpj\u2066\u200b\x9b31m"
"""Renames the window, hides what stood before, turns letters round, and more."""


def is_harmless(text: str) -> bool:
    """Nothing in it moves a cursor or hides anything; lines may end."""
    return all(
        char == "\n" or unicodedata.category(char)[0] not in "CZ" or char == " " for char in text
    )


def test_the_escapes_are_told_apart_by_their_numbers() -> None:
    assert escape("a\x1b[2J") == "a\\u{1b}[2J"
    assert escape("größe \u202e \ud800 \xa0 \n") == "größe \\u{202e} \\u{d800} \\u{a0} \\u{a}"
    assert is_harmless(escape("".join(map(chr, range(0x11000)))))


# --- threat 41 ---------------------------------------------------------------------------------

Command = Callable[[User, Release], tuple[str, ...]]


def evil_file(user: User, _: Release) -> tuple[str, ...]:
    (user.place / "data").mkdir()
    (user.place / "data" / EVIL.replace("/", "")).write_text("x")
    return ("manifest", "data", "--package", "p", "--version", "1", "--publisher", "0x" + "11" * 20)


def evil_extra(user: User, release: Release) -> tuple[str, ...]:
    (user.place / "data").mkdir()
    (user.place / "data" / EVIL).write_text("x")
    manifest = release.folder.with_name("tool.integrity")
    return ("verify", "data", "--manifest", str(manifest))


def evil_home(user: User, _: Release) -> tuple[str, ...]:
    user.environment["INTEGRITY_HOME"] = str(user.place / EVIL)
    return TRUSTED


def evil_settings(user: User, _: Release) -> tuple[str, ...]:
    user.home.mkdir()
    (user.home / "config.toml").write_text('"a\\u001b[2J\\u202e" = 1\n')
    return ("trust", "add", "acme", "0x" + "11" * 20)


def evil_trust(user: User, _: Release) -> tuple[str, ...]:
    user.home.mkdir()
    (user.home / "trust.toml").write_text('[publishers."a\\u001b[2J\\u202e"]\nchain = 1\n')
    return ("trust", "list")


TRUSTED = ("show", "integrity:1:0x" + "11" * 20 + "/t", "--publisher", "0x" + "11" * 20)
EVILS: dict[str, Command] = {
    "a link": lambda *_: ("show", "integrity:1:" + EVIL),
    "an alias in a link": lambda *_: ("show", EVIL + "/tool"),
    "a publisher": lambda *_: ("show", "integrity:1:0x" + "11" * 20 + "/t", "--publisher", EVIL),
    "an rpc": lambda *_: (*TRUSTED, "--rpc", "http://" + EVIL),
    "a command": lambda *_: (EVIL,),
    "an option": lambda *_: ("show", "--" + EVIL),
    "a path": lambda *_: ("verify", EVIL, "--manifest", EVIL),
    "a key": lambda *_: ("key", "export", EVIL),
    "a key file": lambda *_: ("key", "import", EVIL),
    "an alias": lambda *_: ("trust", "remove", EVIL),
    "a new alias": lambda *_: ("trust", "add", EVIL, "0x" + "11" * 20, "--chain", "1"),
    "a source": lambda *_: ("get", *TRUSTED[1:], "--from", "ftp://x/" + EVIL),
    "a file's name": evil_file,
    "an extra file": evil_extra,
    "a home": evil_home,
    "a setting": evil_settings,
    "an entry of the trust store": evil_trust,
}


@pytest.mark.parametrize("command", EVILS.values(), ids=EVILS.keys())
def test_threat_41_what_comes_from_outside_is_shown_escaped(
    user: User, release: Release, command: Command
) -> None:
    arguments = command(user, release)
    done = user.run(*arguments)
    assert done.code in {2, 3, 4}
    assert is_harmless(done.text + done.errors), done.errors
    assert "\\u{1b}" in done.text + done.errors or "\\x1b" in done.text + done.errors
    # On a terminal, where it would matter.
    with Terminal(user, *arguments) as terminal:
        code, shown = terminal.end()
    assert code == done.code
    assert "\x1b]0;pwned" not in shown
    assert "\x1b[2J" not in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize("where", ["an error", "a version", "nothing but noise"])
def test_threat_41_what_a_node_says_is_shown_escaped(
    release: Release, reader: User, lying_rpc: MakeRpc, where: str
) -> None:
    rpc: LyingRpc = lying_rpc()

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        answer = forward()
        if where == "an error":
            answer = {"id": call["id"], "error": {"code": 1, "message": EVIL}}
        if where == "a version" and call["method"] == "eth_getLogs":
            for log in answer["result"]:
                log["data"] = log["data"].replace(b"1.0.0".hex(), b"1\x1b[2J".hex())
        if where == "nothing but noise" and call["method"] == "eth_getProof":
            answer["result"]["accountProof"] = EVIL
        return answer

    rpc.act = act
    named = ("--publisher", release.address, "--rpc", rpc.url)
    done = reader.run("show", release.link.partition("@")[0], *named)
    assert done.code == 3
    assert is_harmless(done.errors)
    json = reader.run("show", release.link.partition("@")[0], *named, "--json")
    assert json.json()["error"]["family"] == "could not check"


def test_threat_41_a_revocations_text_and_odd_paths_stay_on_their_lines(
    release: Release, reader: User
) -> None:
    got = ("get", release.link, "-o", "out", "--from", release.url, "--publisher", release.address)
    reader.ok(*got)
    (reader.place / "out" / "fake\nverified  out").write_text("x")
    (reader.place / "out" / "README").unlink()
    done = reader.run("verify", "out", "--manifest", "out.integrity")
    assert done.code == 4
    assert [line for line in done.text.splitlines() if line.startswith("verified")] == []
    assert "fake\\u{a}verified" in done.text


# --- people at a terminal ----------------------------------------------------------------------


def test_threat_42_an_unknown_publisher_is_asked_about_with_the_whole_address(
    release: Release, reader: User
) -> None:
    with Terminal(reader, "show", release.link) as terminal:
        asked = terminal.until("[y/N]")
        assert release.address in asked
        assert release.report["manifest"] not in asked, "nothing is told before the answer"
        terminal.type("n\n")
        code, shown = terminal.end()
    assert code == 3
    assert "was not accepted" in shown
    with Terminal(reader, "show", release.link) as terminal:
        terminal.until("[y/N]")
        terminal.type("y\n")
        code, shown = terminal.end()
    assert code == 0
    assert release.report["manifest"] in shown
    # The answer was for that call only.
    with Terminal(reader, "show", release.link) as terminal:
        terminal.until("[y/N]")


@pytest.mark.parametrize(
    ("typed", "expected"), [("\n", 3), ("\x04", 130), ("\x03", 130), ("maybe\nno\n", 3)],
    ids=["just Enter", "end of input", "Ctrl-C", "nonsense, then no"],
)  # fmt: skip
def test_nothing_but_yes_is_a_yes(
    release: Release, reader: User, typed: str, expected: int
) -> None:
    with Terminal(reader, "show", release.link) as terminal:
        terminal.until("[y/N]: ")
        terminal.type(typed)
        if typed == "\x03":
            # Python can miss one that comes just before it waits for input; people press it again.
            terminal.type_until_it_ends(typed)
        code, shown = terminal.end()
    assert code == expected
    assert release.report["manifest"] not in shown
    assert "Traceback" not in shown


def test_every_command_that_takes_a_link_asks(release: Release, reader: User) -> None:
    for arguments in (
        ("log", release.link),
        ("get", release.link, "--from", release.url),
        ("verify", ".", release.link),
    ):
        with Terminal(reader, *arguments) as terminal:
            assert release.address in terminal.until("[y/N]")
            terminal.type("n\n")
            assert terminal.end()[0] == 3


def test_nobody_is_asked_without_a_terminal_or_about_ones_own(
    release: Release, reader: User
) -> None:
    done = reader.run("show", release.link)
    assert done.code == 3
    assert "[y/N]" not in done.errors
    assert f"--publisher {release.address}" in done.errors
    with Terminal(release.publisher, "show", release.link) as terminal:
        code, shown = terminal.end()
    assert code == 0
    assert "[y/N]" not in shown


def test_a_password_is_asked_for_and_not_shown(user: User) -> None:
    with Terminal(user, "key", "new", "--name", "mine") as terminal:
        terminal.until("Password of the key mine: ")
        terminal.type("correct horse\n")
        terminal.until("again")
        terminal.type("correct horse\n")
        code, shown = terminal.end()
    assert code == 0
    assert "correct" not in shown
    with Terminal(user, "key", "new", "--name", "other") as terminal:
        terminal.until("Password")
        terminal.type("one\n")
        terminal.until("again")
        terminal.type("two\n")
        code, shown = terminal.end()
    assert code == 2
    assert "differ" in shown
    assert [path.name for path in (user.home / "keys").glob("*.json")] == ["mine.json"]


def test_progress_is_for_terminals_only(release: Release, reader: User) -> None:
    got = ("get", release.link, "-o", "out", "--from", release.url, "--publisher", release.address)
    assert reader.ok(*got).err == b""
    with Terminal(reader, "verify", "out", "--manifest", "out.integrity", "--json") as terminal:
        code, shown = terminal.end()
    assert code == 0
    assert "\x1b" not in shown, "with --json there is no bar"


# --- output that goes nowhere ------------------------------------------------------------------


def large(user: User) -> Path:
    """A folder whose manifest is larger than a pipe holds."""
    folder = user.place / "large"
    folder.mkdir()
    for number in range(2000):
        (folder / f"file-{number}").touch()
    return folder


MANIFEST = (
    "manifest",
    "large",
    "--package",
    "p",
    "--version",
    "1",
    "--publisher",
    "0x" + "11" * 20,
)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_early_is_no_crash(user: User, unbuffered: str) -> None:
    large(user)
    process = user.start(*MANIFEST, PYTHONUNBUFFERED=unbuffered)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(10) == b'{"content"'
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(60) not in {0, 1, 120}
    assert errors == b""
    read_end, write_end = os.pipe()
    os.close(read_end)
    for command in (("trust", "list", "--json"), ("--help",), ("key", "list", "--json")):
        done = subprocess.run(
            [COMMAND, *command],
            env=user.env(),
            stdout=write_end,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert done.stderr == b""
        assert done.returncode not in {0, 1, 120}
    os.close(write_end)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux's own")
def test_a_full_disk_behind_stdout_is_no_success(release: Release, user: User) -> None:
    large(user)
    named = ("--publisher", release.address, "--rpc", "http://127.0.0.1:1")
    for command in (
        ("key", "list", "--json"),
        ("chain", "status"),
        MANIFEST,
        ("show", "x", *named),
    ):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [COMMAND, *command], cwd=user.place, env=user.env(), stdout=full,
                stderr=subprocess.PIPE, check=False,
            )  # fmt: skip
        assert done.returncode in {2, 3}, (command, done.stderr)
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_another_encoding_shows_what_it_can(
    release: Release, user: User, encoding: str
) -> None:
    copy = user.place / "größe-→-大"
    copy.mkdir()
    manifest = release.folder.with_name("tool.integrity")
    command = ("verify", copy, "--manifest", manifest)
    done = user.run(*command, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert done.code == 4
    assert b"failed" in done.out
    assert done.out.decode(encoding)
    if encoding == "utf-8":
        assert "größe-→-大" in done.text
    done = user.run("show", "ä→", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert done.code == 2
