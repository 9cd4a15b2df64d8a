"""Files that a setting names and that have no end, or that nobody writes into: refused by name, at once
and in little memory.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .running import COMMAND, User

LINK = "integrity:31337:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed/tool@1.0.0"
LITTLE = ("bash", "-c", 'ulimit -v 3000000; exec "$@"', "little")
"""KiB of addresses; Python and its libraries take a third of that."""


@pytest.fixture
def cautious(tmp_path: Path) -> User:
    """Somebody whose programs get no more memory than that."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").touch()
    user = User(tmp_path, LITTLE)
    user.home.mkdir()
    return user


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 37)


def unwritten(path: Path) -> None:
    os.mkfifo(path)


def settings(user: User, make: Callable[[Path], None]) -> tuple[Path, list[str]]:
    make(user.home / "config.toml")
    return user.home / "config.toml", ["show", LINK]


def trust(user: User, make: Callable[[Path], None]) -> tuple[Path, list[str]]:
    make(user.home / "trust.toml")
    return user.home / "trust.toml", ["trust", "list"]


def password(user: User, make: Callable[[Path], None]) -> tuple[Path, list[str]]:
    make(user.place / "password")
    user.environment["INTEGRITY_PASSWORD_FILE"] = str(user.place / "password")
    return user.place / "password", ["key", "new"]


def key(user: User, make: Callable[[Path], None]) -> tuple[Path, list[str]]:
    make(user.place / "key")
    return user.place / "key", ["key", "import", str(user.place / "key")]


def batch(user: User, make: Callable[[Path], None]) -> tuple[Path, list[str]]:
    make(user.place / "batch.toml")
    return user.place / "batch.toml", ["publish-batch", str(user.place / "batch.toml")]


def token(user: User, make: Callable[[Path], None]) -> tuple[Path, list[str]]:
    make(user.place / "token")
    (user.home / "config.toml").write_text(
        f'default_chain = 31337\n[pinning.nick]\nurl = "http://127.0.0.1:1/psa"\n'
        f'token_file = "{user.place}/token"\n'
    )
    publish = ["publish", "d", "--package", "tool", "--version", "1", "--pin", "nick"]
    return user.place / "token", publish


def denylist(user: User, make: Callable[[Path], None]) -> tuple[Path, list[str]]:
    make(user.home / "denylist")
    return user.home / "denylist", ["serve", "--port", "0"]


@pytest.mark.parametrize("make", [endless, huge, unwritten])
@pytest.mark.parametrize("what", [settings, trust, password, key, batch, token, denylist])
def test_a_file_without_an_end_is_refused_by_name(
    cautious: User,
    what: Callable[[User, Callable[[Path], None]], tuple[Path, list[str]]],
    make: Callable[[Path], None],
) -> None:
    path, command = what(cautious, make)
    done = cautious.run(*command, "--json")
    error = done.json()["error"]
    assert (done.code, error["name"]) in {
        (2, "UsageError"), (2, "KeyRefused"), (2, "LimitExceeded"),
    }  # fmt: skip
    assert str(path) in error["message"]
    assert error["next"]


def test_a_password_is_taken_from_a_pipe_that_somebody_writes_into(user: User) -> None:
    """As a shell makes it of <(pass show integrity)."""
    done = user.run("key", "new", stdin=b"secret\n", INTEGRITY_PASSWORD_FILE="/dev/stdin")
    assert done.code == 0, done.errors
    slow = f'(sleep 1; echo secret) | "{COMMAND}" key new --name second'
    environment = user.env(INTEGRITY_PASSWORD_FILE="/dev/stdin")
    subprocess.run(["bash", "-c", slow], env=environment, cwd=user.place, check=True)
    assert (user.home / "keys" / "second.json").is_file()
