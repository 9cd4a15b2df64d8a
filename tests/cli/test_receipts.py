"""Receipts as people use them: taken where there is a network, checked where there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.chain.conftest import both
from tests.chain.lying_rpc import LyingRpc
from tests.chain.nodes import Node

from .conftest import Release
from .isolated import without_network
from .running import User
from .schema import check, documented

FIELDS = documented()
WAYS = without_network()
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def receipt(release: Release, tmp_path: Path) -> Path:
    """The release's receipt."""
    path = tmp_path / "tool.receipt"
    done = release.publisher.ok("receipt", "export", release.link, "-o", path, "--json").json()
    check(done, FIELDS["integrity receipt export"])
    assert done["size"] == path.stat().st_size
    return path


@pytest.fixture
def offline(user: User) -> User:
    """A stranger without a network: the one node they know answers nothing."""
    user.environment["INTEGRITY_RPC"] = NOWHERE
    return user


def block_of(user: User, receipt: Path, address: str) -> str:
    """The hash that a reader is told to compare."""
    refused = user.run("receipt", "check", receipt, "--publisher", address, "--json")
    return str(refused.error("HeaderUntrusted", 3)["evidence"]["block_hash"])


@both
def test_a_receipt_is_checked_without_a_network_against_a_checkpoint(
    release: Release, receipt: Path, offline: User
) -> None:
    named = ("--publisher", release.address)
    block = block_of(offline, receipt, release.address)
    for given in (block, "0x" + block):
        done = offline.ok(
            "receipt", "check", receipt, *named, "--checkpoint", given, "--json"
        ).json()
        check(done, FIELDS["integrity receipt check"])
        assert (done["link"], done["manifest"]) == (release.link, release.report["manifest"])
        assert done["block"]["hash"] == "0x" + block
        assert done["basis"] == "checkpoint, proven"
    text = offline.ok("receipt", "check", receipt, release.link, *named, "--checkpoint", block).text
    assert "not revoked as of block" in text
    other = offline.run("receipt", "check", receipt, *named, "--checkpoint", "00" * 32, "--json")
    other.error("HeaderUntrusted", 3)
    bad = offline.run("receipt", "check", receipt, *named, "--checkpoint", "00", "--json")
    bad.error("UsageError", 2)


@pytest.mark.parametrize("meant", [("--chain", "31337"), None])
def test_a_checkpoint_of_a_chain_that_the_person_named_is_remembered(
    release: Release, receipt: Path, offline: User, meant: tuple[str, ...] | None
) -> None:
    named = ("--publisher", release.address)
    block = block_of(offline, receipt, release.address)
    known = ("receipt", "check", receipt, *named, "--json")
    offline.ok(*known, "--checkpoint", block)
    assert block_of(offline, receipt, release.address) == block, "only the receipt says which chain"
    offline.ok(*known, *(meant or (release.link,)), "--checkpoint", block)
    assert offline.ok(*known).json()["basis"] == "seen before, proven"


def test_a_folder_is_verified_without_a_network(
    release: Release, receipt: Path, offline: User, tmp_path: Path
) -> None:
    named = ("--publisher", release.address)
    block = block_of(offline, receipt, release.address)
    verify = ("verify", release.folder, "--receipt", receipt, *named, "--checkpoint", block)
    done = offline.ok(*verify, "--json").json()
    check(done, FIELDS["integrity verify"])
    assert (done["verdict"], done["basis"]) == ("verified", "checkpoint, proven")
    offline.run(*verify[:-2], "--json").error("HeaderUntrusted", 3)
    assert offline.ok(*verify, release.link, "--json").json()["verdict"] == "verified"
    assert offline.ok(*verify[:-2], "--json").json()["basis"] == "seen before, proven"
    offline.run(*verify, "--manifest", receipt, "--json").error("UsageError", 2)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy.integrity").write_bytes(
        release.folder.with_name("tool.integrity").read_bytes()
    )
    failed = offline.run("verify", tmp_path / "copy", *verify[2:], "--json")
    assert (failed.code, failed.json()["verdict"]) == (4, "failed")


@both
def test_publish_and_get_leave_one_beside_what_they_made(release: Release, reader: User) -> None:
    shipped = release.folder.with_name("tool.receipt")
    assert json.loads(shipped.read_bytes())["version"] == "1.0.0"
    got = ("get", release.link, "--from", release.url, "--publisher", release.address, "-o", "out")
    reader.ok(*got)
    own = reader.place / "out.receipt"
    block = block_of(reader, own, release.address)
    reader.ok("receipt", "check", own, "--publisher", release.address, "--checkpoint", block)
    own.unlink()
    assert reader.ok(*got).text.startswith("unchanged")
    assert own.is_file()
    own.write_text("mine")
    assert "not a receipt" in reader.ok(*got).errors
    assert own.read_text() == "mine"
    reader.ok(*got[:-1], "bare", "--no-sidecar")
    assert not (reader.place / "bare.receipt").exists()


@both
def test_nodes_that_are_named_vouch_for_a_receipts_block(
    release: Release, receipt: Path, reader: User
) -> None:
    check_it = ("receipt", "check", receipt, "--publisher", release.address, "--json")
    done = reader.ok(*check_it, "--rpc", reader.environment["INTEGRITY_RPC"]).json()
    assert done["basis"] == "one rpc, proven"
    error = reader.run(*check_it, "--rpc", NOWHERE).error("HeaderUntrusted", 3)
    assert "127.0.0.1:1" in str(error["causes"])


@both
def test_what_a_quorum_vouched_for_is_known_again_without_a_network(
    release: Release, reader: User
) -> None:
    node = reader.environment["INTEGRITY_RPC"]
    reader.own_home.trust_file.parent.mkdir(parents=True, exist_ok=True)
    reader.own_home.trust_file.write_text("[policy]\nquorum = 2\n")
    known = ("--publisher", release.address)
    with LyingRpc(node) as another:
        reader.environment["INTEGRITY_RPC"] = f"{node} {another.url}"
        reader.ok("get", release.link, "--from", release.url, *known, "-o", "out")
    reader.environment["INTEGRITY_RPC"] = NOWHERE
    done = reader.ok("receipt", "check", "out.receipt", *known, "--json").json()
    assert done["basis"] == "seen before, proven"
    assert reader.ok("verify", "out", "--receipt", "out.receipt", *known).text.startswith(
        "verified"
    )


@pytest.mark.parametrize(
    ("kind", "way"),
    list(zip(("geth", "anvil"), WAYS.values(), strict=False)),
    indirect=["kind"],
    ids=WAYS,
)
def test_a_receipt_made_on_one_machine_is_checked_on_another_with_no_network(
    release: Release, receipt: Path, shared: Node, tmp_path: Path, way: tuple[str, ...]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(release.folder, elsewhere / "tool")
    for copied in (receipt, release.folder.with_name("tool.integrity")):
        shutil.copy(copied, elsewhere)
    other = User(elsewhere, way)
    named = ("--publisher", release.address, "--json")
    # The node runs, as the test's own machine sees, and this one cannot reach it.
    assert shared.height() > 0
    other.run("log", release.link, *named, "--rpc", shared.url).error("RpcUnavailable", 3)
    block = block_of(other, Path("tool.receipt"), release.address)
    vouched = (*named, "--checkpoint", block)
    done = other.ok("receipt", "check", "tool.receipt", release.link, *vouched).json()
    assert (done["manifest"], done["basis"]) == (release.report["manifest"], "checkpoint, proven")
    verify = ("verify", "tool", release.link, "--receipt", "tool.receipt", *vouched)
    assert other.ok(*verify).json()["verdict"] == "verified"
    (elsewhere / "tool" / "README").write_text("another\n")
    damaged = other.run(*verify)
    assert (damaged.code, damaged.json()["verdict"]) == (4, "failed")


def test_an_unknown_publisher_and_another_release_are_refused(
    release: Release, receipt: Path, offline: User
) -> None:
    offline.run("receipt", "check", receipt, "--json").error("UnknownPublisher", 3)
    other = release.link.replace("@1.0.0", "@9.9.9")
    named = ("--publisher", release.address, "--json")
    offline.run("receipt", "check", receipt, other, *named).error("WrongRelease", 4)


def test_why_tells_the_steps_before_the_one_that_says_no(
    release: Release, receipt: Path, offline: User
) -> None:
    named = ("--publisher", release.address)
    for command in (
        ("receipt", "check", receipt),
        ("verify", release.folder, "--receipt", receipt),
    ):
        told = offline.run(*command, *named, "--checkpoint", "11" * 32, "--why")
        assert told.code == 3
        first, second = told.text.splitlines()
        assert "1 who " in first
        assert "was named for this call" in first
        assert second.strip() == "2 could not check: HeaderUntrusted"
        error = offline.run(*command, *named, "--checkpoint", "11" * 32, "--json").json()["error"]
        assert (error["step"], [one["step"] for one in error["steps"]]) == (2, [1])
    block = block_of(offline, receipt, release.address)
    offline.ok("trust", "add", "acme", release.address, "--chain", release.link.split(":")[1])
    told = offline.ok("receipt", "check", receipt, "--checkpoint", block, "--why")
    assert "is trusted in this home" in told.text
    assert "5 rollback      a receipt is of its own block" in told.text
    copy = offline.place / "copy"
    shutil.copytree(release.folder, copy)
    told = offline.run("verify", copy, "--receipt", receipt, "--checkpoint", block, "--why")
    assert "5 rollback" in told.text
    assert told.code == 3


@both
def test_a_receipt_of_another_chain_than_the_one_that_is_meant_is_refused(
    release: Release, receipt: Path, offline: User
) -> None:
    """A header does not say of which chain it is; whoever names a block may say that."""
    named = ("--publisher", release.address, "--checkpoint")
    block = block_of(offline, receipt, release.address)
    chain = json.loads(receipt.read_text())["chain"]
    offline.ok("receipt", "check", receipt, *named, block, "--chain", str(chain))
    told = offline.run("receipt", "check", receipt, *named, block, "--chain", "mainnet", "--json")
    assert told.error("WrongRelease", 4)["evidence"] == {"expected": 1, "actual": chain}


@pytest.mark.parametrize(
    ("change", "name", "code"),
    [
        (lambda data: data[:-2], "FormatError", 2),
        (lambda _: b"", "FormatError", 2),
        (lambda data: data.replace(b'"tool"', b'"tooo"'), "ProofInvalid", 4),
        (lambda data: data.replace(b'"1.0.0"', b'"1.0.1"'), "ProofInvalid", 4),
        (lambda data: data + b" ", "NonCanonical", 2),
        (lambda _: b"x" * (2 << 20), "LimitExceeded", 2),
    ],
)  # fmt: skip
def test_a_receipt_that_was_touched_is_not_believed(
    release: Release, receipt: Path, offline: User, change: object, name: str, code: int
) -> None:
    block = block_of(offline, receipt, release.address)
    receipt.write_bytes(change(receipt.read_bytes()))  # type: ignore[operator]
    named = ("--publisher", release.address, "--checkpoint", block, "--json")
    checked = offline.run("receipt", "check", receipt, *named)
    if name == "ProofInvalid" and checked.json()["error"]["name"] == "ReleaseNotFound":
        # The way to another name's slot, which is anywhere, may leave this one's where nothing is: then the
        # proof is one, that the other name is not recorded.
        name = "ReleaseNotFound"
    checked.error(name, code)


def test_threat_44_a_receipt_of_a_compromised_publisher_is_not_believed(
    release: Release, receipt: Path, offline: User
) -> None:
    named = ("--publisher", release.address, "--json")
    block = block_of(offline, receipt, release.address)
    offline.own_home.trust_file.parent.mkdir(parents=True, exist_ok=True)
    offline.own_home.trust_file.write_text(
        f'[publishers.acme]\nchain = 31337\npublisher = "{release.address}"\n'
        "compromised_since = 2020-01-01T00:00:00Z\n"
    )
    checked = offline.run("receipt", "check", receipt, *named, "--checkpoint", block)
    checked.error("PublisherCompromised", 4)
    verify = ("verify", release.folder, "--receipt", receipt, *named, "--checkpoint", block)
    offline.run(*verify).error("PublisherCompromised", 4)


def test_what_is_no_receipt_is_refused_in_words(release: Release, offline: User) -> None:
    named = ("--publisher", release.address, "--json")
    offline.run("receipt", "check", "absent", *named).error("UsageError", 2)
    offline.run("receipt", "check", release.folder, *named).error("UsageError", 2)
    offline.run("receipt", "check", release.folder / "program", *named).error("LimitExceeded", 2)
