"""What the command says of itself, and how little it loads to say it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import integrity

from .conftest import Release
from .running import User
from .test_json import commands

NAMES = sorted(name.split(maxsplit=1)[1] for name, _ in commands())
HEAVY = ["web3", "eth_account", "aiohttp", "urllib3", "trie", "rlp", "rich", "tomlkit", "sqlite3"]


def loaded(user: User, *arguments: str | Path) -> set[str]:
    """The top-level packages that a run of the command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "integrity_cli", *arguments],
        cwd=user.place, env=user.env(), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(user: User, name: str) -> None:
    shown = user.ok(*name.split(), "-h" if name == "show" else "--help")
    assert shown.text.startswith(f"Usage: integrity {name} ")
    assert shown.err == b""
    assert "Options:" in shown.text
    assert not user.home.exists(), "help makes nothing"


@pytest.mark.parametrize("group", ["", "key", "trust", "chain"])
def test_a_group_without_a_command_shows_its_commands(user: User, group: str) -> None:
    done = user.run(*group.split())
    assert done.code == 2
    assert done.out == b""
    assert f"Usage: integrity {group}".rstrip() in done.errors
    assert "\n  " in done.errors, "a list, on lines of its own"
    listed = user.ok(*group.split(), "--help").text
    for name in NAMES:
        if name.split()[:-1] == group.split():
            assert f"\n  {name.split()[-1]} " in listed


def test_what_a_receipt_is_checked_with_is_explained_as_it_is(user: User) -> None:
    """A receipt is checked with no network, unless nodes are named for the call; nothing is read."""
    checking = " ".join(user.ok("receipt", "check", "--help").text.split())
    assert "Also INTEGRITY_RPC" not in checking
    assert "read at that block" not in checking
    assert "Without it none is asked, whatever INTEGRITY_RPC says." in checking
    verifying = " ".join(user.ok("verify", "--help").text.split())
    assert "with --receipt no other node is asked than those named here" in verifying
    assert "with --receipt, the receipt's own" in verifying


def test_the_version_is_the_packages(user: User) -> None:
    assert user.ok("--version").text == f"integrity {integrity.__version__}\n"


def test_the_module_can_be_run_too(user: User) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "integrity_cli", "--version"],
        env=user.env(), capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == user.ok("--version").out


@pytest.mark.parametrize("arguments", [("--help",), ("publish", "--help"), ("--version",)])
def test_help_loads_nothing_heavy(user: User, arguments: tuple[str, ...]) -> None:
    assert not loaded(user, *arguments) & set(HEAVY)


def test_verifying_against_a_manifest_loads_no_web3(release: Release, user: User) -> None:
    manifest = release.folder.with_name("tool.integrity")
    found = loaded(user, "verify", release.folder, "--manifest", manifest)
    assert not found & {"web3", "eth_account", "aiohttp"}
    assert "integrity" in found


def test_reading_a_chain_loads_no_web3(release: Release, reader: User) -> None:
    named = ("--publisher", release.address)
    assert not loaded(reader, "show", release.link, *named) & {"web3", "eth_account", "aiohttp"}
    package = release.link.partition("@")[0]
    assert not loaded(reader, "log", package, *named) & {"web3", "eth_account", "aiohttp"}
    get = ("get", release.link, "-o", "out", "--from", release.url)
    assert not loaded(reader, *get, *named) & {"web3", "eth_account", "aiohttp"}
