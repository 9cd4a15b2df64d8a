"""``revoke``, ``latest``, ``endorse``, ``delegate`` and ``controller`` as a publisher runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .running import User
from .schema import check, documented

FIELDS = documented()
STRANGER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def acted(user: User, *command: str | Path) -> dict[str, Any]:
    done = dict(user.ok(*command, "--no-wait", "--json").json())
    check(done, FIELDS["integrity revoke"])
    return done


@pytest.fixture
def link(publisher: User) -> str:
    (publisher.place / "d").mkdir()
    (publisher.place / "d" / "a").touch()
    command = ("publish", "d", "--package", "tool", "--version", "1.0.0", "--json")
    return str(publisher.ok(*command).json()["link"])


def test_a_release_is_revoked_from_the_command_line(publisher: User, link: str) -> None:
    told = publisher.ok("revoke", link, "--reason", "defective", "--text", "it burns")
    assert told.text.startswith(f"revoked  {link} (defective)\n")
    assert "(final)" in told.text
    error = publisher.run("show", link, "--json").error("Revoked", 4)
    assert error["evidence"]["reason"] == "defective"
    again = publisher.ok("revoke", link, "--reason", "defective")
    assert "nothing was sent" in again.text
    publisher.run("revoke", link, "--reason", "withdrawn", "--json").error("TransactionRefused", 2)
    absent = link.replace("1.0.0", "9.9.9")
    publisher.run("revoke", absent, "--reason", "defective", "--json").error("ReleaseNotFound", 4)


def test_what_is_chosen_endorsed_and_delegated_is_told(publisher: User, link: str) -> None:
    assert acted(publisher, "latest", link)["already"]
    first = acted(publisher, "endorse", link, "--kind", "audited")
    assert (first["already"], first["final"]) == (False, False)
    assert int(first["fee"]) > 0
    text = publisher.ok("endorse", link, "--withdraw", "--no-wait").text
    assert "(withdrawn)" in text
    acted(publisher, "delegate", "add", STRANGER, "--days", "30", "--package", "tool")
    told = publisher.ok("delegate", "remove", STRANGER, "--package", "tool", "--no-wait").text
    assert f"{STRANGER} may not publish tool of" in told
    assert acted(publisher, "delegate", "remove", STRANGER, "--package", "tool")["already"]
    offered = publisher.ok("controller", "offer", STRANGER, "--no-wait").text
    assert "has to accept" in offered
    publisher.run("controller", "accept", STRANGER, "--json").error("TransactionRefused", 2)


@pytest.mark.parametrize(
    "wrong",
    [
        ("revoke", "{}"), ("revoke", "{}", "--reason", "boredom"), ("endorse", "{}"),
        ("endorse", "{}", "--kind", "audited", "--withdraw"), ("endorse", "{}", "--kind", "liked"),
        ("delegate", "add", STRANGER), ("delegate", "add", "0x12", "--days", "1"),
        ("delegate", "add", STRANGER, "--days", "0"), ("latest", "tool"), ("controller", "offer", "me"),
        ("delegate", "add", STRANGER, "--days", "1", "--package", "Not A Name"),
        ("delegate", "add", STRANGER, "--days", "1e300"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(publisher: User, wrong: tuple[str, ...]) -> None:
    link = f"integrity:31337:{STRANGER}/tool@1.0.0"
    done = publisher.run(*(word.format(link) for word in wrong))
    assert done.code == 2
    assert "Traceback" not in done.errors
