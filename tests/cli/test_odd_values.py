"""Values that an option's type allows and that nothing can be done with: refused by name, exit 2, before
anything else happens.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import Release
from .running import User

STRANGER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
LINK = f"integrity:31337:{STRANGER}/tool@1.0.0"
NO_TEXT = b"a\xff"
FOLLOW = ("mirror", LINK, "--publisher", STRANGER, "-d", "m", "--from", "http://127.0.0.1:1")

NUMBERS: list[tuple[str | bytes, ...]] = [
    ("delegate", "add", STRANGER, "--days", "nan"),
    ("delegate", "add", STRANGER, "--days", "inf"),
    (*FOLLOW, "--every", "nan"),
    (*FOLLOW, "--every", "inf"),
    (*FOLLOW, "--every", "1e300"),
    ("confirm", LINK, "--timeout", "nan"),
    ("confirm", LINK, "--timeout", "inf"),
    ("latest", LINK, "--max-fee", "nan"),
    ("latest", LINK, "--max-fee", "inf"),
]
TEXTS: list[tuple[str | bytes, ...]] = [
    ("revoke", LINK, "--reason", "defective", "--text", NO_TEXT),
    ("serve", "--port", "0", "--name", NO_TEXT),
    ("serve", "--port", "0", "--announce", b"http://" + NO_TEXT),
    ("serve", "--port", "0", "--host", NO_TEXT),
    (*FOLLOW, "--name", NO_TEXT),
    ("show", NO_TEXT),
    ("show", LINK, "--rpc", b"http://" + NO_TEXT),
    ("search", NO_TEXT),
    ("publish", ".", "--package", "tool", "--version", "1", "--meta", b"a=" + NO_TEXT),
    ("publish", ".", "--package", "tool", "--version", "1", "--ipfs-api", b"http://" + NO_TEXT),
    ("trust", "remove", NO_TEXT),
    ("key", "new", "--name", NO_TEXT),
    ("get", LINK, "--from", ".", "--only", NO_TEXT),
]
HOSTS: list[tuple[str | bytes, ...]] = [
    ("serve", "--port", "0", "--host", ""),
    (*FOLLOW, "--port", "0", "--host", ""),
    ("serve", "--port", "0", "--name", ""),
    ("serve", "--port", "0", "--name", "a b"),
    ("serve", "--port", "0", "--name", "http://a"),
    ("serve", "--port", "0", "--name", "a:80"),
]
PATHS: list[tuple[str | bytes, ...]] = [
    ("key", "import", ""),
    ("key", "export", "me", "-o", ""),
    ("who", ""),
    ("demo", "--folder", ""),
]


def shown(words: tuple[str | bytes, ...]) -> str:
    return " ".join(os.fsdecode(word)[-20:] for word in words).encode("ascii", "replace").decode()


@pytest.mark.parametrize("words", NUMBERS + TEXTS + HOSTS + PATHS, ids=shown)
def test_a_value_that_nothing_can_be_done_with_is_refused(
    user: User, words: tuple[str | bytes, ...]
) -> None:
    done = user.run(*words)
    assert (done.code, done.out) == (2, b""), done.errors
    assert done.errors.startswith("integrity: ")
    if words not in HOSTS:
        option = next((w for w in reversed(words) if os.fsencode(w).startswith(b"--")), "")
        assert os.fsdecode(option) in done.errors
        assert not user.home.exists()


@pytest.mark.parametrize("target", ["/", "."])
def test_a_file_is_not_written_over_a_folder(reader: User, release: Release, target: str) -> None:
    named = ("--publisher", release.address)
    get = ("get", release.link, "--from", release.url, *named, "-o", target)
    export = ("receipt", "export", release.link, *named, "-o", target)
    for command in (export, (*get, "--file", "README"), (*get, "--file", "README", "--replace")):
        done = reader.run(*command)
        assert (done.code, "exists" in done.errors) == (2, True), done.errors


@pytest.mark.parametrize("more", [(), ("--replace",)])
def test_the_root_of_the_file_system_is_no_folder_for_a_release(
    reader: User, release: Release, more: tuple[str, ...]
) -> None:
    named = ("--from", release.url, "--publisher", release.address)
    for target in ("/", "/.."):
        done = reader.run("get", release.link, *named, "-o", target, *more, "--json")
        assert "root" in done.error("UsageError", 2)["message"]
    assert not Path("/.part").exists()


def test_a_folder_above_is_meant_by_its_own_name(reader: User, release: Release) -> None:
    inner = reader.place / "outer" / "inner"
    inner.mkdir(parents=True)
    named = ("--from", release.url, "--publisher", release.address)
    done = reader.run("get", release.link, *named, "-o", inner / "..", "--json")
    assert repr(str(reader.place / "outer")) in done.error("PathRefused", 2)["message"]
    inner.rmdir()
    got = reader.ok("get", release.link, *named, "-o", "outer/inner/..", "--json")
    assert got.json()["path"] == str(reader.place / "outer")
    assert (reader.place / "outer.integrity").is_file()


@pytest.mark.parametrize("path", ["/", "nodir", ""])
def test_a_receipt_is_put_beside_something(publisher: User, path: str) -> None:
    done = publisher.run("confirm", LINK, path, "--json")
    done.error("UsageError", 2)
    assert not list(publisher.place.glob("*.receipt"))
    assert not Path("/.integrity.receipt").exists()
