"""``publish --sign-only`` and ``submit``: one signs on their machine, another one pays on theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integrity.testing.people import equip
from tests.chain.anvils import Anvil
from tests.chain.conftest import MakeRpc
from tests.chain.safes import Safe

from .running import User
from .schema import check, documented
from .test_interrupts import Halt, interrupted

FIELDS = documented()
PUBLISH = ("publish", "d", "--package", "tool", "--version", "1.0.0", "--sign-only")


@pytest.fixture
def signer(user: User, anvil: Anvil) -> User:
    """Somebody with something to publish, and no ether."""
    (user.place / "d").mkdir()
    (user.place / "d" / "a").touch()
    anvil.fund(equip(user.own_home, anvil.url), 0)
    return user


@pytest.fixture
def sponsor(anvil: Anvil, signer: User) -> User:
    other = User(signer.place, INTEGRITY_HOME=str(signer.place / "sponsor"))
    other.home = signer.place / "sponsor"
    equip(other.own_home, anvil.url)
    return other


def test_one_signs_and_another_one_pays(signer: User, sponsor: User, anvil: Anvil) -> None:
    made = signer.ok(*PUBLISH, "--json").json()
    check(made, FIELDS["integrity publish"])
    asked = made["request"]
    assert (asked["signed"], asked["path"]) == (True, str(signer.place / "d.request"))
    assert made["transaction"] is None
    assert Path(made["sidecar"]).exists()
    done = sponsor.ok("submit", "d.request", "--no-wait", "--json").json()
    check(done, FIELDS["integrity submit"])
    assert (done["signer"], done["sequence"], done["already"]) == (asked["signer"], 1, False)
    assert done["by"] != done["signer"]
    again = sponsor.ok("submit", "d.request", "--no-wait")
    assert again.text.startswith(f"recorded before  {made['link']}\n")
    anvil.mine(3)
    assert signer.ok("confirm", made["link"], "d", "--json").json()["sequence"] == 1
    assert (signer.place / "d.receipt").exists()
    nothing = signer.ok(*PUBLISH)
    assert "nothing to sign" in nothing.text


def test_people_are_told_what_to_do_with_a_request(signer: User, sponsor: User) -> None:
    told = signer.ok(*PUBLISH, "-o", "r", "--deadline", "12h").text
    assert told.startswith("prepared  integrity:31337:0x")
    assert f"integrity submit {signer.place / 'r'}" in told
    paid = sponsor.ok("submit", "r", "--no-wait").text
    assert "signed by 0x" in paid
    assert "paid by 0x" in paid


def test_a_request_for_a_safe_says_what_its_owners_have_to_do(
    signer: User, sponsor: User, anvil: Anvil
) -> None:
    safe = Safe.deployed(anvil, 2, 2)
    told = signer.ok(*PUBLISH, "--signer", safe.address).text
    assert f"{safe.address} has to" in told
    made = signer.ok(*PUBLISH, "--signer", safe.address, "--json").json()
    check(made, FIELDS["integrity publish"])
    asked = made["request"]
    assert (made["publisher"], asked["signed"]) == (safe.address, False)
    assert asked["call"]["data"] in told
    sponsor.run("submit", "d.request", "--json").error("UsageError", 2)
    wrong = ("submit", "d.request", "--signature", "0x" + "11" * 130, "--json")
    sponsor.run(*wrong).error("SignatureInvalid", 4)
    signature = "0x" + safe.sign_message(bytes.fromhex(asked["digest"][2:])).hex()
    done = sponsor.ok("submit", "d.request", "--signature", signature, "--no-wait", "--json").json()
    assert (done["signer"], done["sequence"]) == (safe.address, 1)


def test_a_submit_and_a_batch_that_are_interrupted_are_gone_on_with(
    signer: User, sponsor: User, anvil: Anvil, lying_rpc: MakeRpc
) -> None:
    signer.ok(*PUBLISH)
    batch = '[[release]]\npath = "d"\npackage = "{}"\nversion = "1"\n'
    (signer.place / "all.toml").write_text(batch.format("one") + batch.format("two"))
    for at, command in enumerate((("submit", "d.request"), ("publish-batch", "all.toml")), 1):
        rpc = lying_rpc(anvil.url)
        halt = Halt(rpc, "eth_sendRawTransaction", heard=True)
        process = sponsor.start(*command, "--json", "--rpc", rpc.url)
        assert halt.reached.wait(60)
        error = interrupted(process).error("Interrupted", 130)
        halt.over()
        assert "goes on with that one" in error["next"]
        assert error["evidence"]["transaction"] in {
            f"0x{path.stem}" for path in sponsor.home.glob("journal/*.json")
        }
        sponsor.ok(*command, "--no-wait")
        assert anvil.nonce(sponsor_address(sponsor)) == at


def sponsor_address(sponsor: User) -> str:
    (key,) = sponsor.ok("key", "list", "--json").json()["keys"]
    return str(key["address"])


def test_what_is_no_request_is_malformed(signer: User, sponsor: User) -> None:
    signer.ok(*PUBLISH)
    good = (signer.place / "d.request").read_bytes()
    value = json.loads(good)
    for bad in (b"", b"{}", good[:-1], good[:-9], json.dumps(value | {"count": "1"}).encode()):
        (signer.place / "bad").write_bytes(bad)
        error = sponsor.run("submit", "bad", "--json").json()["error"]
        assert error["family"] == "malformed"
    (signer.place / "bad").write_bytes(b"[" * 70_000)
    sponsor.run("submit", "bad", "--json").error("LimitExceeded", 2)
    sponsor.run("submit", "nowhere", "--json").error("UsageError", 2)
    sponsor.run("submit", "d", "--json").error("UsageError", 2)
    sponsor.run("submit", "d.request", "--chain", "1", "--json").error("UsageError", 2)
    sponsor.run("submit", "d.request", "--signature", "0xzz", "--json").error("UsageError", 2)


def test_what_makes_no_sense_is_refused_before_anything_is_read(signer: User) -> None:
    (signer.place / "mine").write_text("precious")
    for more in (
        ("--dry-run",), ("--deadline", "soon"), ("--deadline", "0d"), ("--deadline", "9999999d"),
        ("-o", "mine"), ("--signer", "0x12"),
    ):  # fmt: skip
        assert signer.run(*PUBLISH, *more).code == 2, more
    assert signer.run(*PUBLISH[:-1], "-o", "r").code == 2
    assert (signer.place / "mine").read_text() == "precious"
    assert not (signer.place / "d.request").exists()


def test_a_request_of_another_release_is_not_overwritten(signer: User) -> None:
    made = signer.ok(*PUBLISH, "--json").json()["request"]
    before = Path(made["path"]).read_bytes()
    second = (*PUBLISH[:5], "2.0.0", "--sign-only")
    error = signer.run(*second, "--json").error("UsageError", 2)
    assert made["path"] in error["message"]
    assert "tool@1.0.0" in error["message"]
    assert "-o" in error["next"]
    assert Path(made["path"]).read_bytes() == before
    (signer.place / "d" / "a").write_text("mended")
    again = signer.ok(*PUBLISH, "--deadline", "2d", "--json").json()["request"]
    assert again["deadline"] < made["deadline"]
    assert Path(made["path"]).read_bytes() != before, "the same release, signed again"
    other = signer.ok(*second, "-o", "second.request", "--json").json()["request"]
    assert other["path"] == str(signer.place / "second.request")
    (signer.place / "second.request").write_text("mine")
    signer.run(*second, "-o", "second.request", "--json").error("UsageError", 2)


@pytest.mark.parametrize(
    "option", [("--deadline", "7d"), ("-o", "x.request"), ("--signer", "0x" + "11" * 20)]
)
def test_what_only_a_request_has_is_refused_without_one(
    signer: User, option: tuple[str, ...]
) -> None:
    error = signer.run(*PUBLISH[:-1], *option, "--json").error("UsageError", 2)
    assert "--sign-only" in error["message"]
    assert option[0] in error["message"]
