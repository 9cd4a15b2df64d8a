"""What a release cannot hold: one clear error that names it, exit 2, and nothing recorded."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from integrity.chain.rpc import JsonRpc
from integrity.devchain.chain import DevelopmentChain
from integrity.keys.keystore import Keystore

from .running import COMMAND, Result, User

PUBLISH = ("--package", "tool", "--version", "1.0.0", "--json")


def link(folder: Path) -> str:
    (folder / "to-passwd").symlink_to("/etc/passwd")
    return "to-passwd"


def dangling(folder: Path) -> str:
    (folder / "dangling").symlink_to("nowhere")
    return "dangling"


def linked_folder(folder: Path) -> str:
    (folder / "sub").symlink_to("/etc")
    return "sub"


def fifo(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return "pipe"


def unix_socket(folder: Path) -> str:
    here = os.getcwd()
    os.chdir(folder)  # a socket's path is short
    try:
        socket.socket(socket.AF_UNIX).bind("sock")
    finally:
        os.chdir(here)
    return "sock"


def named(name: str | bytes, shown: str | None = None) -> Callable[[Path], str]:
    """A file of this name in a folder of its own; ``shown`` is how the error has to name it."""

    def make(folder: Path) -> str:
        where = folder / "sub"
        where.mkdir()
        path = os.path.join(os.fsencode(where), os.fsencode(name))
        with open(path, "w") as file:
            file.write("x")
        return shown or f"sub/{os.fsdecode(name)}"

    return make


def colliding(*names: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("x")
        return names[-1].split("/")[0]

    return make


INPUTS: dict[str, Callable[[Path], str]] = {
    "a symbolic link": link,
    "a dangling link": dangling,
    "a link to a folder": linked_folder,
    "a pipe": fifo,
    "a socket": unix_socket,
    "a name that is not UTF-8": named(b"caf\xe9", "xe9"),
    "a device name": named("CON"),
    "a device name with an ending": named("nul.txt"),
    "a dot at the end": named("name."),
    "a space at the end": named("name "),
    "a backslash": named("a\\b", "a\\\\b"),
    "a colon": named("a:b"),
    "an escape": named("a\x1b[2Jb", "\\x1b[2J"),
    "a line feed": named("a\nb", "a\\nb"),
    "a bidi control": named("a\u202eb", "U+202E"),
    "a decomposed letter": named("e\u0301"),
    "an unassigned character": named("a\u0378b", "U+0378"),
    "names that differ in case": colliding("Readme", "README"),
    "folders that differ in case": colliding("A/x", "a/y"),
    "names that fold to the same": colliding("straße", "STRASSE"),
}


@pytest.fixture
def untouched(publisher: User, integrity_chain: DevelopmentChain) -> Callable[[], None]:
    """Asserts that a run recorded, stored and left nothing."""
    rpc = JsonRpc(integrity_chain.rpc)
    (key,) = Keystore(publisher.home / "keys").list()

    def check() -> None:
        assert rpc.call("eth_getTransactionCount", key.address, "pending") == "0x0"
        assert not (publisher.home / "store.db").exists()
        assert not list(publisher.home.glob("journal/*.json"))
        assert not list(publisher.home.glob("tmp/*"))
        assert not list(publisher.place.glob("*.integrity"))

    return check


@pytest.fixture
def data(publisher: User) -> Path:
    folder = publisher.place / "data"
    folder.mkdir()
    (folder / "good").write_text("good")
    return folder


@pytest.mark.parametrize("make", INPUTS.values(), ids=INPUTS.keys())
def test_what_a_release_cannot_hold_is_named_and_nothing_is_recorded(
    publisher: User, data: Path, untouched: Callable[[], None], make: Callable[[Path], str]
) -> None:
    shown = make(data)
    done = publisher.run("publish", "data", *PUBLISH)
    assert done.code == 2
    error = done.json()["error"]
    assert error["name"] in {"PathRefused", "UnsafePath", "NameCollision"}
    assert shown in error["message"]
    assert error["next"]
    assert done.err == b""
    untouched()


def test_a_manifest_refuses_what_publish_refuses(publisher: User, data: Path) -> None:
    link(data)
    done = publisher.run("manifest", "data", "--package", "tool", "--version", "1.0.0")
    assert (done.code, done.out) == (2, b"")
    assert "to-passwd" in done.errors


@pytest.mark.parametrize("target", ["nowhere", "hollow", "/dev/null", "good/x", "pipe"])
def test_a_path_that_holds_no_file_is_named(
    publisher: User, data: Path, untouched: Callable[[], None], target: str
) -> None:
    (publisher.place / "hollow" / "a" / "b").mkdir(parents=True)
    os.mkfifo(publisher.place / "pipe")
    done = publisher.run("publish", target, *PUBLISH)
    assert target in done.error("PathRefused", 2)["message"]
    untouched()


def without_privileges() -> None:
    """What root may read in spite of permissions, it no longer may: in the child, before exec."""
    libc = ctypes.CDLL(None, use_errno=True)
    prctl_capbset_drop, dac_override, dac_read_search = 24, 1, 2
    if os.geteuid() == 0:
        for capability in (dac_override, dac_read_search):
            if libc.prctl(prctl_capbset_drop, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_read_is_named(
    publisher: User, data: Path, untouched: Callable[[], None], what: str
) -> None:
    closed = data / "sub" / "closed"
    closed.parent.mkdir()
    closed.write_text("secret")
    (closed if what == "file" else closed.parent).chmod(0)
    ran = subprocess.run(
        [COMMAND, "publish", "data", *PUBLISH], cwd=publisher.place, env=publisher.env(),
        capture_output=True, check=False, preexec_fn=without_privileges,
    )  # fmt: skip
    closed.parent.chmod(0o700)
    done = Result(ran.returncode, ran.stdout, ran.stderr)
    error = done.error("PathRefused", 2)
    assert ("sub/closed" if what == "file" else "sub") in error["message"]
    assert "Permission denied" in error["message"]
    untouched()


@pytest.mark.parametrize(
    ("option", "value", "name"),
    [
        ("--package", "Tool", "FormatError"),
        ("--package", "../tool", "FormatError"),
        ("--package", "", "FormatError"),
        ("--package", "x" * 65, "FormatError"),
        ("--version", "1/0", "FormatError"),
        ("--version", "1.0\x1b[2J", "FormatError"),
        ("--version", "-1", "FormatError"),
        ("--meta", "=x", "UsageError"),
        ("--meta", "é=x", "FormatError"),
        ("--meta", "a=" + "x" * 20_000, "LimitExceeded"),
        ("--key", "nobody", "KeyRefused"),
        ("--chain", "0", "UsageError"),
        ("--publisher", "0x12", "AddressMalformed"),
    ],
)
def test_a_setting_that_is_none_is_refused(
    publisher: User,
    data: Path,
    untouched: Callable[[], None],
    option: str,
    value: str,
    name: str,
) -> None:
    settings = {"--package": "tool", "--version": "1.0.0"} | {option: value}
    arguments = [f"{key}={text}" for key, text in settings.items()]
    done = publisher.run("publish", "data", *arguments, "--json")
    done.error(name, 2)
    untouched()


def test_followed_links_are_published_when_asked_for(publisher: User, data: Path) -> None:
    (data / "copy").symlink_to("good")
    command = ("publish", "data", *PUBLISH, "--follow-symlinks", "--no-wait")
    assert publisher.ok(*command).json()["files"] == 2


def test_empty_folders_are_left_out_with_a_warning(publisher: User, data: Path) -> None:
    (data / "hollow\x1b").mkdir()
    (data / "a" / "b").mkdir(parents=True)
    command = ("publish", "data", "--package", "tool", "--version", "1.0.0", "--no-wait")
    # A name that a release could not hold is refused even where it would be left out.
    assert "hollow" in publisher.run(*command, "--json").error("UnsafePath", 2)["message"]
    (data / "hollow\x1b").rmdir()
    done = publisher.ok(*command)
    assert "warning: the folder 'a' has no file in it and is left out" in done.errors
    assert "1 file" in done.text
