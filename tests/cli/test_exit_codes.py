"""0 done or verified, 2 usage or refused, 3 could not check, 4 does not verify; never 1."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from integrity.chain.artifact import load_artifact
from integrity.chain.rpc import JsonRpc
from integrity.core.registry import release_slot
from integrity.devchain.chain import DevelopmentChain
from integrity.testing.liar import LyingSource
from integrity.testing.people import equip
from tests.chain.anvils import Anvil
from tests.chain.conftest import MakeAnvil

from .conftest import Release
from .running import COMMAND, User

STRANGER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
LINK = f"integrity:31337:{STRANGER}/tool@1.0.0"

USAGE = [
    ("nope",),
    ("--nope",),
    ("--json",),
    ("publish",),
    ("publish", "x"),
    ("publish", "x", "--package", "p"),
    ("publish", "x", "--package", "p", "--version", "1", "--nope"),
    ("publish", "x", "y", "--package", "p", "--version", "1"),
    ("publish", "x", "--package", "p", "--version", "1", "--chain", "one"),
    ("get",),
    ("show",),
    ("log",),
    ("verify",),
    ("key", "nope"),
    ("key", "import"),
    ("trust", "add", "x"),
    ("serve", "--port", "65536"),
    ("serve", "--port", "-1"),
    ("chain", "nope"),
]


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_a_command_line_that_is_none_exits_2(user: User, arguments: tuple[str, ...]) -> None:
    done = user.run(*arguments, *([] if "--json" in arguments else ["--json"]))
    error = done.error("UsageError", 2)
    assert error["family"] == "refused"
    assert done.err == b""
    assert not user.home.exists()


@pytest.mark.parametrize("arguments", [("nope",), ("publish", "x"), ("key", "import", "--nope")])
def test_a_command_line_that_is_none_is_told_so_in_words(
    user: User, arguments: tuple[str, ...]
) -> None:
    done = user.run(*arguments)
    assert (done.code, done.out) == (2, b"")
    assert done.errors.startswith("integrity: ")
    assert "--help" in done.errors


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["words", "json"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_who_has_gone_ends_it_as_a_shell_shows_it(
    publisher: User, more: tuple[str, ...], unbuffered: str
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [COMMAND, "key", "list", *more], env=publisher.env(PYTHONUNBUFFERED=unbuffered),
        stdout=writer, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


REFUSED = [
    (("show", "not a link"), "LinkMalformed"),
    (("show", ""), "LinkMalformed"),
    (("show", "integrity:"), "LinkMalformed"),
    (("show", f"integrity:31337:{STRANGER}"), "LinkMalformed"),
    (("show", f"integrity:0:{STRANGER}/tool"), "LinkMalformed"),
    (("show", f"integrity:31337:{STRANGER}/Tool"), "LinkMalformed"),
    (("show", LINK + "#zz"), "LinkMalformed"),
    (("show", "integrity:1:" + "x" * 9000), "LimitExceeded"),
    (("show", "nobody/tool"), "UsageError"),
    (("get", LINK, "--publisher", STRANGER), "UsageError"),
    (("get", LINK, "--publisher", STRANGER, "--from", "ftp://x"), "UsageError"),
    (("get", LINK, "--publisher", STRANGER, "--from", "./nowhere"), "UsageError"),
    (("get", LINK, "--publisher", STRANGER, "--from", ""), "UsageError"),
    (("show", LINK, "--publisher", STRANGER, "--rpc", "nowhere"), "UsageError"),
    (("verify", "nowhere", "--manifest", "nothing"), "UsageError"),
    (("verify", ".", "--manifest", "nothing"), "UsageError"),
    (("verify", "."), "UsageError"),
    (("verify", ".", LINK, "--manifest", "nothing", "--publisher", STRANGER), "UsageError"),
    (("verify", ".", "--manifest", "nothing", "--publisher", STRANGER), "UsageError"),
    (("publish", ".", "--package", "P", "--version", "1"), "KeyRefused"),
    (("publish", ".", "--package", "p", "--version", "1", "--meta", "x"), "UsageError"),
    (("key", "export", "nobody"), "KeyRefused"),
    (("key", "import", "nowhere"), "KeyRefused"),
    (("key", "new"), "KeyRefused"),
    (("trust", "add", "acme", STRANGER), "UsageError"),
    (("trust", "add", "acme", STRANGER, "--chain", "0"), "UsageError"),
    (("trust", "add", "acme", STRANGER, "--chain", "-1"), "UsageError"),
    (("trust", "add", "A", STRANGER, "--chain", "1"), "UsageError"),
    (("trust", "remove", "nobody"), "UsageError"),
    (("manifest", "nowhere", "--package", "p", "--version", "1"), "KeyRefused"),
    (
        ("manifest", "nowhere", "--package", "p", "--version", "1", "--publisher", STRANGER),
        "PathRefused",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "name"), REFUSED, ids=lambda v: " ".join(v)[:60] if v else ""
)
def test_what_is_refused_exits_2(user: User, arguments: tuple[str, ...], name: str) -> None:
    if arguments[0] != "manifest" and arguments[:2] != ("key", "export"):
        error = user.run(*arguments, "--json").error(name, 2)
        assert error["message"]
        return
    plain = user.run(*arguments)
    assert (plain.code, plain.out) == (2, b"")
    assert plain.errors.startswith("integrity: ")


def test_an_error_says_the_same_in_words_and_in_json(user: User) -> None:
    for arguments in (("show", "not a link"), ("trust", "remove", "nobody"), ("verify", ".")):
        plain, error = user.run(*arguments), user.run(*arguments, "--json").json()["error"]
        assert plain.out == b""
        lines = plain.errors.splitlines()
        assert lines[0] == f"integrity: {error['message']}"
        assert lines[-1] == f"  -> {error['next']}"


CHECKSUM = STRANGER[:-1] + "D"
ADDRESSES: list[Callable[[str], tuple[str, ...]]] = [
    lambda a: ("show", LINK, "--publisher", a),
    lambda a: ("log", LINK, "--publisher", a),
    lambda a: ("get", LINK, "--from", "http://127.0.0.1:1", "--publisher", a),
    lambda a: ("verify", ".", LINK, "--publisher", a),
    lambda a: ("trust", "add", "acme", a, "--chain", "1"),
    lambda a: ("show", f"integrity:31337:{a}/tool@1.0.0"),
    lambda a: ("log", f"integrity:31337:{a}/tool"),
    lambda a: ("get", f"integrity:31337:{a}/tool", "--from", "http://127.0.0.1:1"),
    lambda a: ("verify", ".", f"integrity:31337:{a}/tool@1.0.0"),
    lambda a: ("manifest", ".", "--package", "p", "--version", "1", "--publisher", a),
]


@pytest.mark.parametrize("command", ADDRESSES, ids=lambda c: " ".join(c("A"))[:50])
def test_threat_42_a_wrong_checksum_is_refused_wherever_an_address_is_taken(
    user: User, command: Callable[[str], tuple[str, ...]]
) -> None:
    done = user.run(*command(CHECKSUM))
    assert done.code == 2
    assert "checksum" in done.errors
    assert CHECKSUM in done.errors, "the whole address"


def test_threat_42_a_publisher_to_publish_for_needs_its_checksum(publisher: User) -> None:
    (publisher.place / "d").mkdir()
    (publisher.place / "d" / "a").touch()
    command = (
        "publish",
        "d",
        "--package",
        "p",
        "--version",
        "1",
        "--publisher",
        CHECKSUM,
        "--json",
    )
    publisher.run(*command).error("AddressMalformed", 2)


# --- could not check ---------------------------------------------------------------------------


def test_what_cannot_be_checked_exits_3(release: Release, reader: User) -> None:
    link, named = release.link, ("--publisher", release.address, "--json")
    dead = ("--rpc", "http://127.0.0.1:1")
    reader.run("show", link, "--json").error("UnknownPublisher", 3)
    unavailable = reader.run("show", link, *named, *dead).error("RpcUnavailable", 3)
    assert "http://127.0.0.1:1" in unavailable["causes"][0]
    absent = link.replace("1.0.0", "9.9.9")
    assert "9.9.9" in reader.run("show", absent, *named).error("ReleaseNotFound", 4)["message"]
    reader.run("log", link.replace("tool", "absent"), *named).error("ReleaseNotFound", 4)
    get = ("get", link, "-o", "out", *named)
    reader.run(*get, "--from", "http://127.0.0.1:1").error("SourcesUnavailable", 3)
    assert not (reader.place / "out").exists()
    (reader.place / "empty").mkdir()
    reader.run("verify", "empty", link, *named).error("SourcesUnavailable", 3)
    other = link.replace("31337", "5")
    mismatch = reader.run("show", other, *named).error("ChainMismatch", 3)
    assert mismatch["evidence"] == {"expected": 5, "actual": 31337}
    del reader.environment["INTEGRITY_RPC"]
    assert "[chains.31337]" in reader.run("show", link, *named).error("NoRpc", 3)["next"]


def test_a_release_that_is_not_final_exits_3(user: User, bare_anvil: MakeAnvil) -> None:
    from tests.chain.anvils import with_registry

    node = with_registry(bare_anvil())
    equip(user.own_home, node.url)
    (user.place / "d").mkdir()
    (user.place / "d" / "a").touch()
    publish = ("publish", "d", "--package", "tool", "--version", "1", "--no-wait", "--json")
    done = user.ok(*publish).json()
    assert done["final"] is False
    user.run("show", done["link"], "--json").error("Unfinalized", 3)
    node.mine(3)
    assert user.ok("show", done["link"], "--json").json()["manifest"] == done["manifest"]


# --- does not verify ---------------------------------------------------------------------------


def test_what_does_not_verify_exits_4(
    release: Release, reader: User, integrity_liar: Callable[[str], LyingSource]
) -> None:
    link, named = release.link, ("--publisher", release.address, "--json")
    wrong = reader.run("show", link, "--publisher", STRANGER, "--json")
    assert wrong.error("PublisherMismatch", 4)["evidence"] == {
        "expected": STRANGER, "actual": release.address,
    }  # fmt: skip
    pinned = link + "#" + "ab" * 32
    mismatch = reader.run("show", pinned, *named).error("ManifestMismatch", 4)
    assert mismatch["evidence"] == {"expected": "ab" * 32, "actual": release.report["manifest"]}
    liar = integrity_liar(release.url)
    lied = reader.run("get", link, "-o", "out", "--from", liar.url, *named).error("SourcesLied", 4)
    assert lied["evidence"]["source"] == liar.url
    assert not (reader.place / "out").exists()


def test_threat_10_another_contract_exits_4(anvil: Anvil, reader: User) -> None:
    publisher = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    named = ("--publisher", publisher, "--json", "--rpc", anvil.url)
    anvil.call("anvil_setCode", load_artifact().address, "0x60")
    anvil.mine(3)
    for command in ("show", "log"):
        for link in ("tool@1", "tool"):
            done = reader.run(command, f"integrity:31337:{publisher}/{link}", *named)
            assert done.error("RegistryMismatch", 4)["family"] == "does not verify"


def test_a_revoked_release_exits_4(publisher: User, integrity_chain: DevelopmentChain) -> None:
    """The revocation is sent with web3, as the publisher would from anywhere."""
    from web3 import Web3

    (publisher.place / "d").mkdir()
    (publisher.place / "d" / "a").touch()
    command = ("publish", "d", "--package", "tool", "--version", "1.0.0", "--no-wait", "--json")
    done = publisher.ok(*command).json()
    (key,) = (publisher.home / "keys").glob("*.json")
    secret = json.loads(key.read_text())["private_key"]
    artifact = load_artifact()
    w3 = Web3(Web3.HTTPProvider(integrity_chain.rpc))
    registry = w3.eth.contract(address=Web3.to_checksum_address(artifact.address), abi=artifact.abi)
    call = registry.functions.revoke(done["publisher"], "tool", "1.0.0", 2, "stolen\x1b[2J key")
    account = Web3.to_checksum_address(done["publisher"])
    # Not estimated: what is written in the same second as before costs less than a second later.
    options = {"from": account, "nonce": w3.eth.get_transaction_count(account), "gas": 500_000}
    transaction = call.build_transaction(options)  # type: ignore[arg-type]
    signed = w3.eth.account.sign_transaction(transaction, secret)
    receipt = w3.eth.wait_for_transaction_receipt(
        w3.eth.send_raw_transaction(signed.raw_transaction)
    )
    assert receipt["status"] == 1
    while w3.eth.get_block("finalized")["number"] < receipt["blockNumber"]:
        pass
    for link in (done["link"], done["link"].partition("@")[0]):
        error = publisher.run("show", link, "--json").error("Revoked", 4)
        assert error["evidence"] == {"reason": "compromised", "code": 2}
        get = ("get", link, "-o", "out", "--from", "http://127.0.0.1:1", "--json")
        publisher.run(*get).error("Revoked", 4)
    publisher.run("verify", "d", done["link"], "--json").error("Revoked", 4)
    shown = publisher.ok("log", done["link"]).text
    assert "REVOKED (compromised)" in shown
    (entry,) = publisher.ok("log", done["link"], "--json").json()["releases"]
    assert entry["revoked"] == "compromised"


# --- a node that lies about times --------------------------------------------------------------


def test_a_time_that_no_calendar_has_is_shown_all_the_same(anvil: Anvil, user: User) -> None:
    address = equip(user.own_home, anvil.url)
    (user.place / "d").mkdir()
    (user.place / "d" / "a").touch()
    command = ("publish", "d", "--package", "tool", "--version", "1.0.0", "--no-wait", "--json")
    done = user.ok(*command).json()
    slot = "0x" + release_slot(address, "tool", "1.0.0").hex()
    word = int(anvil.call("eth_getStorageAt", load_artifact().address, slot, "latest"), 16)
    far = f"0x{word | (2**40 - 1) << 48:064x}"
    anvil.call("anvil_setStorageAt", load_artifact().address, slot, far)
    anvil.mine(3)
    for reading in ("show", "log"):
        assert "1099511627775 seconds after 1970" in user.ok(reading, done["link"]).text
        user.ok(reading, done["link"], "--json").json()


def test_a_command_leaves_nothing_behind_where_it_was_run(release: Release, reader: User) -> None:
    assert JsonRpc(reader.environment["INTEGRITY_RPC"]).call("eth_chainId") == "0x7a69"
    before = sorted(path.name for path in reader.place.iterdir())
    reader.ok("show", release.link, "--publisher", release.address)
    reader.ok("log", release.link, "--publisher", release.address)
    after = {path.name for path in reader.place.iterdir()} - {"home"}
    assert sorted(after) == [name for name in before if name != "home"]
    assert not list(Path(reader.home).rglob("manifest-*"))
