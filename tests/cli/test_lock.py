"""``integrity.lock``: a pipeline gets what was meant, to the byte, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import Release
from .running import User
from .schema import check, documented

FIELDS = documented()


@pytest.fixture
def lock(release: Release, reader: User) -> Path:
    done = reader.ok(
        "lock", release.link.partition("@")[0], "--publisher", release.address, "--json"
    )
    check(done.json(), FIELDS["integrity lock"])
    return reader.place / "integrity.lock"


def arguments(release: Release, *more: str | Path) -> tuple[str | Path, ...]:
    return (release.link.partition("@")[0], "--lock", "integrity.lock", *more)


def test_what_is_locked_is_a_pinned_link_a_line(release: Release, lock: Path) -> None:
    comment, line = lock.read_text().splitlines()
    assert comment.startswith("#")
    assert line == f"{release.link}#{release.report['manifest']}"


def test_a_lock_names_the_publisher_and_the_version(
    release: Release, reader: User, lock: Path
) -> None:
    assert lock.is_file()
    got = reader.ok("get", *arguments(release, "--from", release.url, "-o", "out", "--json")).json()
    assert (got["link"], got["verdict"]) == (release.link, "verified")
    again = ("verify", "out", *arguments(release), "--json")
    assert reader.ok(*again).json()["verdict"] == "verified"


def test_nothing_but_what_is_locked_is_taken(release: Release, reader: User, lock: Path) -> None:
    good = lock.read_text()
    get = ("get", *arguments(release, "--from", release.url, "-o", "out", "--json"))
    lock.write_text(good.replace(release.report["manifest"], "ab" * 32))
    reader.run(*get).error("ManifestMismatch", 4)
    lock.write_text(good.replace("@1.0.0", "@0.9.0"))
    reader.run(*get).error("ReleaseNotFound", 4)
    wrong = ("get", release.link, *get[2:])
    assert "0.9.0" in reader.run(*wrong).error("UsageError", 2)["message"]
    lock.write_text(good.replace("/tool@", "/other@"))
    assert "is not in the lock file" in reader.run(*get).error("UsageError", 2)["message"]
    lock.write_text(good)
    stranger = ("--publisher", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
    reader.run(*get, *stranger).error("PublisherMismatch", 4)
    assert not (reader.place / "out").exists()


def test_locking_again_changes_that_package_alone(
    release: Release, reader: User, lock: Path
) -> None:
    other = "integrity:1:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed/a@1#" + "ab" * 32
    good = lock.read_text()
    lock.write_text(good.replace(release.report["manifest"], "cd" * 32) + other + "\n")
    reader.ok("lock", release.link, "--publisher", release.address)
    assert sorted(lock.read_text().splitlines()) == sorted([*good.splitlines(), other])
    before = lock.read_bytes()
    absent = release.link.replace("1.0.0", "9.9.9")
    reader.run("lock", absent, "--publisher", release.address, "--json").error("ReleaseNotFound", 4)
    assert lock.read_bytes() == before


def test_a_package_is_locked_once_and_at_one_version(publisher: User) -> None:
    for version in ("1.0.0", "1.1.0"):
        folder = publisher.place / version
        folder.mkdir()
        (folder / "README").write_text(version)
        done = publisher.ok("publish", folder, "--package", "t", "--version", version, "--json")
    package = str(done.json()["link"]).partition("@")[0]
    file = publisher.place / "integrity.lock"
    two = publisher.run("lock", f"{package}@1.0.0", package, "--json").error("UsageError", 2)
    assert f"{package}@1.0.0" in two["message"]
    assert f"{package}@1.1.0" in two["message"]
    assert not file.exists()
    twice = publisher.ok("lock", package, f"{package}@1.1.0", package, "--json").json()
    (link,) = twice["links"]
    assert file.read_text().splitlines()[1:] == [link]
    publisher.run("lock", f"{package}@1.0.0", package, "--json").error("UsageError", 2)
    assert file.read_text().splitlines()[1:] == [link]


def test_an_alias_that_this_machine_does_not_know_is_told_what_is_locked(
    release: Release, reader: User, lock: Path
) -> None:
    for command in (("get", "acme/tool"), ("verify", ".", "acme/tool@1.0.0")):
        refused = reader.run(*command, "--lock", lock, "--json").error("UsageError", 2)
        assert "the trust store has no alias 'acme'" in refused["message"]
        assert release.link.partition("@")[0] in refused["next"]
    lock.write_text("# nothing\n")
    refused = reader.run("get", "acme/tool", "--lock", lock, "--json").error("UsageError", 2)
    assert "trust add" in refused["next"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nonsense\n", "LinkMalformed"), ("a/b@1\n", "FormatError"),
        ("integrity:1:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed/a@1\n", "FormatError"),
        ("integrity:1:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed/a#" + "ab" * 32, "FormatError"),
        (("integrity:1:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed/a@1#" + "ab" * 32 + "\n") * 2,
         "FormatError"),
        ("\udcff", "FormatError"), ("x" * (17 << 20), "LimitExceeded"),
    ],
    ids=["nonsense", "an alias", "no pin", "no version", "twice", "no UTF-8", "too large"],
)  # fmt: skip
def test_a_lock_file_of_another_form_is_malformed(
    release: Release, reader: User, lock: Path, text: str, name: str
) -> None:
    lock.write_bytes(text.encode("utf-8", "surrogateescape"))
    for command in (("get", *arguments(release)), ("lock", release.link)):
        named = ("--publisher", release.address, "--json")
        more = ("--from", release.url) if command[0] == "get" else ()
        reader.run(*command, *more, *named).error(name, 2)
    assert lock.read_bytes() == text.encode("utf-8", "surrogateescape")


def test_no_lock_file_is_no_lock(release: Release, reader: User) -> None:
    reader.run("get", *arguments(release, "--from", release.url, "--json")).error("UsageError", 2)


def test_a_pipe_is_no_lock_file_and_is_not_waited_for(release: Release, reader: User) -> None:
    os.mkfifo(reader.place / "integrity.lock")
    refused = reader.run("get", *arguments(release, "-o", "out", "--json"))
    assert "not a regular file" in refused.error("UsageError", 2)["message"]
