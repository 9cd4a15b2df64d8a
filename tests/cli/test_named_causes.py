"""What is wrong is named: the setting, the variable, the file, the entry of it."""

from __future__ import annotations

import os

import pytest

from integrity.config import set_config

from .conftest import Release
from .running import User

STRANGER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
ACME = f'[publishers.acme]\nchain = 31337\npublisher = "{STRANGER}"\n'


def test_a_first_block_beyond_the_chain_is_named(release: Release, reader: User) -> None:
    settings = reader.own_home.config_file
    settings.parent.mkdir(exist_ok=True)
    settings.write_text("[chains.31337]\nfirst_block = 100000000\n")
    for command in (
        ("search", "tool", "--chain", "31337"),
        ("log", release.link, "--publisher", release.address),
    ):
        error = reader.run(*command, "--json").error("UsageError", 2)
        assert "first_block = 100000000" in error["message"]
        assert "config.toml" in error["message"]
        assert "--no-sync" not in error["next"]
    settings.write_text("")
    reader.ok("search", "tool", "--chain", "31337")
    # What was read stays: the setting says where to begin.
    settings.write_text("[chains.31337]\nfirst_block = 100000000\n")
    reader.ok("log", release.link, "--publisher", release.address)


def test_a_first_block_after_a_release_is_named(publisher: User) -> None:
    (publisher.place / "d").mkdir()
    (publisher.place / "d" / "a").touch()
    plain = ("publish", "d", "--package", "tool", "--json", "--version")
    publisher.ok(*plain, "1.0.0")
    second = publisher.ok(*plain, "2.0.0").json()
    first = {"first_block": second["block"]["number"]}
    set_config(publisher.own_home, {"chains": {31337: first}})
    error = publisher.run("log", second["link"], "--json").error("RpcAnswerInvalid", 3)
    assert f"first_block = {second['block']['number']}" in error["next"]
    assert "index.db" in error["next"]


@pytest.mark.parametrize("wrong", ["0x1234", "00" * 32, "no key at all"])
def test_a_variable_that_holds_no_key_is_named_where_keys_are_listed(
    user: User, wrong: str
) -> None:
    listed = user.ok("key", "list", INTEGRITY_PRIVATE_KEY=wrong)
    assert "INTEGRITY_PRIVATE_KEY holds no" in listed.errors
    assert wrong not in listed.errors + listed.text
    (warning,) = user.ok("key", "list", "--json", INTEGRITY_PRIVATE_KEY=wrong).json()["warnings"]
    assert warning.startswith("INTEGRITY_PRIVATE_KEY holds no")
    assert wrong not in warning


def test_what_was_never_endorsed_is_not_told_of_as_endorsed(
    release: Release, publisher: User
) -> None:
    own = publisher.ok("key", "list", "--json").json()["keys"][0]["address"]
    (publisher.place / "d").mkdir()
    (publisher.place / "d" / "a").touch()
    command = ("publish", "d", "--package", "tool", "--version", "1", "--json")
    link = publisher.ok(*command).json()["link"]
    told = publisher.ok("endorse", link, "--withdraw").text
    assert told == f"not endorsed by {own}: {link}\n  nothing was sent\n"


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a file that cannot be read")
def test_a_manifest_that_cannot_be_read_is_named(user: User) -> None:
    (user.place / "d").mkdir()
    done = user.run("verify", "d", "--manifest", "/proc/self/mem", "--json")
    message = done.error("UsageError", 2)["message"]
    assert message.startswith("cannot read '/proc/self/mem': ")


@pytest.mark.parametrize(("inside", "told"), [("", "in the folder"), ("sub/", "in 'sub/'")])
def test_a_name_that_is_not_utf_8_is_told_with_its_folder(
    user: User, inside: str, told: str
) -> None:
    folder = user.place / "d" / inside
    folder.mkdir(parents=True)
    try:
        os.mkdir(os.fsencode(folder) + b"/\xff")
    except OSError:
        pytest.skip("names are Unicode here")
    named = ("--package", "tool", "--version", "1", "--publisher", STRANGER)
    assert rf"the name b'\xff' {told} is not UTF-8" in user.run("manifest", "d", *named).errors


def test_a_package_that_none_is_called_is_told_with_its_table(user: User) -> None:
    user.home.mkdir()
    user.own_home.trust_file.write_text(ACME + "[publishers.acme.packages.P1]\nquorum = 2\n")
    told = user.run("trust", "list").errors
    assert "trust.toml: [publishers.acme.packages]: not a package name: 'P1'" in told


@pytest.mark.parametrize(("name", "wrong"), [("package", "P1"), ("version", "1 0")])
def test_a_batch_says_which_release_has_a_bad_name(user: User, name: str, wrong: str) -> None:
    good = {"path": "d", "package": "tool", "version": "1"}
    (user.place / "d").mkdir()
    entries = [good, good | {name: wrong}]
    (user.place / "all.toml").write_text(
        "".join(
            "[[release]]\n" + "".join(f'{key} = "{text}"\n' for key, text in one.items())
            for one in entries
        )
    )
    message = user.run("publish-batch", "all.toml", "--json").error("FormatError", 2)["message"]
    assert "[[release]], number 2" in message
    assert repr(wrong) in message


@pytest.mark.parametrize("command", ["get", "verify"])
def test_an_empty_name_of_a_lock_file_is_called_that(user: User, command: str) -> None:
    link = f"integrity:31337:{STRANGER}/tool"
    more = ("-o", "x") if command == "get" else ()
    given = (command, link) if command == "get" else (command, "x", link)
    assert "an empty path" in user.run(*given, *more, "--lock", "").errors


def test_confirming_what_nobody_published_does_not_speak_of_what_was_signed(
    publisher: User,
) -> None:
    (publisher.place / "d").mkdir()
    (publisher.place / "d" / "a").touch()
    plain = ("publish", "d", "--package", "tool", "--version")
    link = publisher.ok(*plain, "1.0.0", "--no-wait", "--json").json()["link"]
    absent = publisher.run("confirm", link.replace("1.0.0", "9.9.9"), "--json")
    error = absent.error("Unfinalized", 3)
    assert "this home has signed nothing" in error["message"]
    assert "what it signed" not in error["next"]
    assert "integrity publish" in error["next"]
