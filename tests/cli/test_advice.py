"""Errors name the file that is meant, and say what helps whoever reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from integrity.chain.fees import shown
from integrity.disk.sidecars import sidecar_path
from integrity.errors import FormatError
from integrity.keys.keystore import Keystore

from .conftest import Release
from .running import User
from .schema import check, documented

STRANGER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
LINK = f"integrity:31337:{STRANGER}/tool@1.0.0"
MANIFEST = ("manifest", "d", "--package", "tool", "--version", "1", "--publisher", STRANGER)


def colliding(folder: Path) -> None:
    (folder / "a").touch()
    (folder / "A").touch()


def unsafe(folder: Path) -> None:
    (folder / "a:b").touch()


@pytest.mark.parametrize(("make", "told"), [(colliding, "Rename"), (unsafe, "Rename")])
def test_a_publisher_is_told_to_mend_their_own_folder(
    user: User, make: Callable[[Path], None], told: str
) -> None:
    (user.place / "d").mkdir()
    make(user.place / "d")
    done = user.run(*MANIFEST)
    assert (done.code, told in done.errors) == (2, True), done.errors
    assert FormatError.default_next not in done.errors


def test_a_publisher_is_told_to_shorten_what_is_too_long(user: User) -> None:
    (user.place / "d").mkdir()
    (user.place / "d" / "a").touch()
    done = user.run(*MANIFEST, "--meta", "a=" + "x" * 20_000)
    assert (done.code, "shorter" in done.errors) == (2, True), done.errors


@pytest.mark.parametrize("data", [b"{}\n", b"nonsense", b"", b"\xff"])
def test_a_file_that_is_malformed_is_named(user: User, data: bytes) -> None:
    (user.place / "d").mkdir()
    (user.place / "odd").write_bytes(data)
    for command in (
        ("receipt", "check", "odd"),
        ("receipt", "check", "odd", LINK, "--publisher", STRANGER),
        ("verify", "d", "--receipt", "odd"),
        ("verify", "d", LINK, "--receipt", "odd", "--publisher", STRANGER),
        ("submit", "odd"),
    ):
        message = user.run(*command, "--json").error("FormatError", 2)["message"]
        assert message.startswith("odd: "), message


@pytest.mark.parametrize(
    "command",
    [
        ("receipt", "check", "nofile"), ("submit", "nofile"), ("verify", "nodir", LINK),
        ("show", LINK, "--checkpoint", "0x12"), ("who", "nofile"),
    ],
)  # fmt: skip
def test_what_changes_nothing_does_not_say_that_nothing_was_changed(
    user: User, command: tuple[str, ...]
) -> None:
    error = user.run(*command, "--json").error("UsageError", 2)
    assert error["next"]
    assert "changed" not in error["next"]


BATCH = """
[[release]]
path = "a"
package = "tool"
version = "1.0.0"
meta = { license = "MIT" }
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"1.0.0"', "1", "version is not a text"), ('"MIT"', "7", "'license'"),
        ('{ license = "MIT" }', "1", "meta is not a table"), ('"a"', '""', "path is none"),
        ("[[release]]", "[[release", "is not TOML"),
    ],
)  # fmt: skip
def test_a_batch_says_what_is_wrong_in_words(user: User, old: str, new: str, told: str) -> None:
    (user.place / "batch.toml").write_text(BATCH.replace(old, new))
    error = user.run("publish-batch", "batch.toml", "--json").error("UsageError", 2)
    assert told in error["message"]
    assert "docs/using.md" in error["next"]


def test_a_broken_key_file_does_not_hide_the_others(user: User) -> None:
    keystore = Keystore(user.home / "keys")
    good = keystore.create_development("good")
    broken = user.home / "keys" / "broken.json"
    broken.write_text("{")
    listed = user.ok("key", "list", "--json").json()
    check(listed, documented()["integrity key list"])
    assert [one["address"] for one in listed["keys"]] == [good.address]
    assert str(broken) in listed["warnings"][0]
    told = user.ok("key", "list")
    assert good.address in told.text
    assert str(broken) in told.errors


def test_a_new_key_without_a_name_wants_a_password_of_its_own(user: User) -> None:
    done = user.run("key", "new")
    assert "to be made" not in done.errors
    assert "the new key needs its password" in done.errors
    assert "the key 'mine' needs" in user.run("key", "new", "--name", "mine").errors


@pytest.mark.parametrize("command", [("demo",), ("chain", "start")])
def test_an_anvil_that_is_not_there_is_told_by_its_variable(
    user: User, command: tuple[str, ...]
) -> None:
    done = user.run(*command, INTEGRITY_ANVIL=str(user.place / "nowhere"))
    assert done.code == 3
    assert "INTEGRITY_ANVIL" in done.errors
    assert str(user.place / "nowhere") in done.errors


@pytest.mark.parametrize(
    ("wei", "text"),
    [(1, "0.000000001 gwei"), (1000, "0.000001 gwei"), (10**9, "1 gwei"), (2 * 10**10, "20 gwei"),
     (1_500_000_000, "1.5 gwei"), (10**18, "1000000000 gwei"), (0, "0 gwei")],
)  # fmt: skip
def test_a_price_is_shown_without_exponents(wei: int, text: str) -> None:
    assert shown(wei) == text


def test_a_part_of_a_release_that_is_verified_as_a_whole_is_told_of_only(
    reader: User, release: Release
) -> None:
    named = ("--publisher", release.address)
    reader.ok("get", release.link, "--from", release.url, *named, "-o", "part", "--only", "docs")
    done = reader.run("verify", "part", release.link, *named)
    assert (done.code, "--only" in done.errors) == (4, True)
    assert "Do not use" not in done.errors
    (reader.place / "part" / "docs" / "größe.txt").write_text("x")
    assert "Do not use" in reader.run("verify", "part", release.link, *named).errors


def test_paths_beside_a_folder_have_no_steps_upward(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/inner")
    assert sidecar_path(tmp_path / "real" / ".." / "lib") == tmp_path / "lib.integrity"
    # As the system reads it: from where the link leads.
    assert sidecar_path(tmp_path / "link" / ".." / "lib") == tmp_path / "real" / "lib.integrity"
    assert sidecar_path(tmp_path / "link") == tmp_path / "link.integrity"
