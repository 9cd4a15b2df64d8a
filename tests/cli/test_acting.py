"""``revoke``, ``latest``, ``endorse``, ``delegate`` and ``controller`` as a publisher runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from integrity.testing.people import equip
from tests.chain.anvils import Anvil
from tests.chain.conftest import MakeRpc
from tests.chain.lying_rpc import Call, Forward, of_method

from .running import User
from .schema import check, documented

FIELDS = documented()
STRANGER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def acted(user: User, *command: str | Path) -> dict[str, Any]:
    done = dict(user.ok(*command, "--no-wait", "--json").json())
    name = next(
        name for name in FIELDS if " ".join(["integrity", *map(str, command[:2])]).startswith(name)
    )
    check(done, FIELDS[name])
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


def test_a_long_text_of_a_revocation_is_refused_before_it_is_paid_for(
    publisher: User, link: str
) -> None:
    revoke = ("revoke", link, "--reason", "defective", "--no-wait", "--text")
    error = publisher.run(*revoke, "ü" * 513, "--json").error("UsageError", 2)
    assert "1,024" in error["message"]
    assert "1,024" in publisher.ok("revoke", "--help").text
    publisher.ok("show", link)
    publisher.ok(*revoke, "ü" * 512)


@pytest.mark.parametrize("command", [("revoke", "--reason", "defective"), ("latest",)])
def test_a_link_that_pins_another_manifest_revokes_and_chooses_nothing(
    publisher: User, link: str, command: tuple[str, ...]
) -> None:
    verb, *options = command
    wrong = publisher.run(verb, link + "#" + "00" * 32, *options, "--json")
    error = wrong.error("ManifestMismatch", 4)
    pinned = f"{link}#{error['evidence']['actual']}"
    assert not list(publisher.home.glob("journal/*.json"))
    assert acted(publisher, verb, pinned, *options)["already"] == (verb == "latest")


def test_an_endorsement_is_of_one_version(publisher: User, link: str) -> None:
    package = link.partition("@")[0]
    error = publisher.run("endorse", package, "--kind", "audited", "--json").error("UsageError", 2)
    assert "version" in error["message"]


def test_what_is_chosen_endorsed_and_delegated_is_told(publisher: User, link: str) -> None:
    assert acted(publisher, "latest", link)["already"]
    first = acted(publisher, "endorse", link, "--kind", "audited")
    assert (first["already"], first["final"]) == (False, False)
    assert int(first["fee"]) > 0
    text = publisher.ok("endorse", link, "--withdraw", "--no-wait").text
    assert "(withdrawn)" in text
    acted(publisher, "delegate", "add", STRANGER, "--days", "30", "--package", "tool")
    told = publisher.ok("delegate", "remove", STRANGER, "--package", "tool", "--no-wait").text
    assert f"{STRANGER} has no right for tool of" in told
    assert acted(publisher, "delegate", "remove", STRANGER, "--package", "tool")["already"]
    offered = publisher.ok("controller", "offer", STRANGER).text
    assert "has to accept" in offered
    assert f"OFFERED to {STRANGER}" in publisher.ok("delegate", "list").text
    assert publisher.ok("delegate", "list", "--json").json()["offered"] == STRANGER
    nobody = publisher.ok("controller", "offer", "0x" + "00" * 20).text
    assert "is offered to nobody any more" in nobody
    assert publisher.ok("delegate", "list", "--json").json()["offered"] is None
    refused = publisher.run("controller", "accept", STRANGER, "--json")
    assert "was not offered to" in refused.error("TransactionRefused", 2)["message"]


def test_a_limit_for_fees_is_kept_by_every_command_that_pays(publisher: User, link: str) -> None:
    low = ("--max-fee", "0.000000001", "--json")
    (publisher.place / "d" / "b").touch()
    for command in (
        ("revoke", link, "--reason", "defective"),
        ("endorse", link, "--kind", "audited"),
        ("delegate", "add", STRANGER, "--days", "1"),
        ("publish", "d", "--package", "tool", "--version", "2.0.0"),
    ):
        error = publisher.run(*command, *low).error("TransactionRefused", 2)
        assert error["evidence"]["max_fee"] == 1
        assert "--max-fee" in error["next"]
    assert not list(publisher.home.glob("journal/*.json"))


def test_all_rights_of_a_delegate_are_taken_away_unless_one_is_named(
    user: User, anvil: Anvil, lying_rpc: MakeRpc
) -> None:
    """Whoever reacts to a key that leaked must not be told that it has no right while it has one."""
    own = equip(user.own_home, anvil.url)
    remove = ("delegate", "remove", STRANGER, "--no-wait")

    def rights(*packages: str) -> None:
        for package in packages:
            anvil.as_sender(own, "setDelegate", own, package, STRANGER, 4_000_000_000)

    def left() -> list[str | None]:
        anvil.mine(3)
        found = user.ok("delegate", "list", "--json").json()["delegates"]
        return [one["package"] for one in found]

    rights("tool", "data")
    done = user.ok(*remove, "--json").json()
    check(done, FIELDS["integrity delegate remove"])
    assert (done["removed"], done["left"], done["already"]) == (["data", "tool"], [], False)
    assert left() == []
    again = user.ok(*remove)
    assert "had no such right" in again.text
    assert "a node can leave some out" in again.errors
    rights("", "tool")
    for _ in range(2):
        told = user.ok(*remove, "--package", "tool")
        assert "may publish tool still" in told.errors
        assert left() == [None]
    rights("tool")
    told = user.ok(*remove, "--package", "")
    assert f"{STRANGER} has no right for any package of" in told.text
    assert left() == ["tool"], "the right for any package can be taken alone"
    user.ok(*remove)
    assert left() == []

    rpc = lying_rpc(anvil.url)
    rpc.act = of_method("eth_getLogs", lambda *_: [])
    rights("tool")
    assert "had no such right" in user.ok(*remove, "--rpc", rpc.url).text
    two = user.ok(*remove, "--rpc", rpc.url, "--rpc", anvil.url, "--json").json()
    assert two["removed"] == ["tool"], "one node leaves it out, and another does not"
    rights("tool")

    def no_logs(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] != "eth_getLogs":
            return forward()
        error = {"code": -32601, "message": "the method does not exist"}
        return {"jsonrpc": "2.0", "id": call["id"], "error": error}

    rpc.act = no_logs
    user.run(*remove, "--rpc", rpc.url, "--json").error("RpcError", 3)
    named = user.ok(*remove, "--rpc", rpc.url, "--package", "tool", "--json").json()
    assert named["removed"] == ["tool"]


def test_an_expired_right_is_none_and_a_controller_needs_none(user: User, anvil: Anvil) -> None:
    own = equip(user.own_home, anvil.url)
    anvil.as_sender(own, "setDelegate", own, "", STRANGER, 4_000_000_000)
    anvil.call("evm_setNextBlockTimestamp", 4_000_000_000)
    anvil.mine(3)
    done = user.ok("delegate", "remove", STRANGER, "--package", "tool", "--json")
    assert (done.json()["already"], done.json()["left"], done.errors) == (True, [], "")
    told = user.run("delegate", "remove", own, "--json").error("UsageError", 2)
    assert f"{own} controls {own}" in told["message"]


def test_a_removal_that_was_not_waited_for_is_gone_on_with(user: User, anvil: Anvil) -> None:
    own = equip(user.own_home, anvil.url)
    for package in ("tool", "data"):
        anvil.as_sender(own, "setDelegate", own, package, STRANGER, 4_000_000_000)
    first = user.ok("delegate", "remove", STRANGER, "--no-wait", "--json").json()
    anvil.mine(3)
    again = user.ok("delegate", "remove", STRANGER, "--json").json()
    assert again["transaction"] == first["transaction"]
    assert (again["already"], again["final"]) == (True, True)
    assert not list(user.home.glob("journal/*.json"))


def test_delegates_are_listed_with_what_they_may_publish_and_until_when(
    user: User, anvil: Anvil
) -> None:
    own = equip(user.own_home, anvil.url)
    others = ["0x" + digit * 40 for digit in "123"]
    assert "no delegates" in user.ok("delegate", "list").errors
    anvil.as_sender(own, "setDelegate", own, "tool", others[0], 4_000_000_000)
    anvil.as_sender(own, "setDelegate", own, "", others[1], 2**40 - 1)
    anvil.as_sender(own, "setDelegate", own, "data", others[2], 4_000_000_000)
    anvil.as_sender(own, "setDelegate", own, "data", others[2], 0)
    anvil.mine(3)
    found = user.ok("delegate", "list", "--json").json()
    check(found, FIELDS["integrity delegate list"])
    assert [(one["address"], one["package"], one["active"]) for one in found["delegates"]] == [
        (others[1], None, True), (others[0], "tool", True),
    ]  # fmt: skip
    assert "proven" in found["basis"]
    text = user.ok("delegate", "list", own).text
    assert f"{others[0]}  tool  until 2096-10-02 07:06:40 UTC" in text
    assert f"{others[1]}  any package  until" in text
    anvil.call("evm_setNextBlockTimestamp", 4_000_000_000)
    anvil.mine(3)
    assert f"{others[0]}  tool  EXPIRED 2096-10-02" in user.ok("delegate", "list").text
    # A new controller, though the same account, ends all of them.
    anvil.as_sender(own, "transferController", own, own)
    anvil.as_sender(own, "acceptController", own)
    anvil.mine(3)
    ended = user.ok("delegate", "list", "--json").json()
    assert (ended["delegates"], ended["epoch"]) == ([], 1)


def test_a_node_that_lies_about_delegates_is_found_out(
    user: User, anvil: Anvil, lying_rpc: MakeRpc
) -> None:
    own = equip(user.own_home, anvil.url)
    anvil.as_sender(own, "setDelegate", own, "tool", STRANGER, 4_000_000_000)
    anvil.mine(3)
    rpc = lying_rpc(anvil.url)
    other = "0x" + "00" * 12 + "77" * 20

    def told(_: Call, logs: Any) -> Any:
        return [log | {"topics": [*log["topics"][:2], other]} for log in logs]

    rpc.act = of_method("eth_getLogs", told)
    listed = user.ok("delegate", "list", "--rpc", rpc.url, "--json").json()
    assert listed["delegates"] == [], "nobody has that right"
    junk: Any
    for junk in ([{}], [{"data": "0x", "topics": []}], [7]):
        logs = list(junk)
        rpc.act = of_method("eth_getLogs", lambda *_: logs)  # noqa: B023 - it is called at once
        user.run("delegate", "list", "--rpc", rpc.url, "--json").error("RpcAnswerInvalid", 3)


@pytest.mark.parametrize(
    "wrong",
    [
        ("revoke", "{}"), ("revoke", "{}", "--reason", "boredom"), ("endorse", "{}"),
        ("endorse", "{}", "--kind", "audited", "--withdraw"), ("endorse", "{}", "--kind", "liked"),
        ("delegate", "add", STRANGER),
        ("endorse", f"integrity:31337:{STRANGER}/tool", "--kind", "audited"),
        ("endorse", f"integrity:31337:{STRANGER}/tool", "--withdraw"),
        ("delegate", "add", "0x12", "--days", "1"),
        ("delegate", "add", STRANGER, "--days", "0"), ("latest", "tool"), ("controller", "offer", "me"),
        ("delegate", "add", STRANGER, "--days", "1", "--package", "Not A Name"),
        ("delegate", "add", STRANGER, "--days", "1e300"), ("latest", "{}", "--max-fee", "0"),
        ("latest", "{}", "--max-fee", "nan"), ("latest", "{}", "--max-fee", "-1"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(publisher: User, wrong: tuple[str, ...]) -> None:
    link = f"integrity:31337:{STRANGER}/tool@1.0.0"
    done = publisher.run(*(word.format(link) for word in wrong))
    assert done.code == 2
    assert "Traceback" not in done.errors
