"""Recording a release: once, under the right name, on the right chain, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity import publish, resolve
from integrity.chain.artifact import load_artifact
from integrity.client.session import Session
from integrity.errors import (
    ChainMismatch,
    KeyRefused,
    RegistryMismatch,
    ReleaseExists,
    TransactionRefused,
)
from integrity.home import Home
from integrity.store.database import Store
from integrity.testing.people import equip

from .anvils import Anvil, with_registry
from .conftest import MakeAnvil, MakeRpc, both
from .ledger import count, journal, send
from .lying_rpc import Call, Forward, of_method
from .nodes import Node

REGISTRY = load_artifact().address


# --- what is published -------------------------------------------------------------------------


@both
def test_a_release_is_recorded_once_with_one_transaction(
    node: Node, session: Session, address: str, folder: Path
) -> None:
    before = node.balance(address)
    done = send(session, folder)
    assert (done.sequence, done.final, done.already) == (1, False, False)
    assert node.nonce(address) == count(node, address) == 1
    assert done.fee == before - node.balance(address)
    assert done.transaction is not None
    receipt = node.call("eth_getTransactionReceipt", "0x" + done.transaction.hex())
    assert int(receipt["gasUsed"], 16) == done.gas_used
    assert done.block is not None
    assert (receipt["blockHash"], int(receipt["blockNumber"], 16)) == (
        "0x" + done.block.hash.hex(),
        done.block.number,
    )
    node.settle()
    assert resolve(session, done.link).manifest == done.manifest


@both
def test_the_same_release_again_sends_nothing(
    node: Node, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    first = send(session, folder)
    before = node.balance(address)
    rpc = lying_rpc(node.url)
    again = send(replace(session, rpc=(rpc.url,)), folder)
    assert (again.already, again.manifest, again.sequence) == (True, first.manifest, 1)
    assert (again.transaction, again.block) == (first.transaction, first.block)
    assert again.gas_used is None
    assert again.fee is None
    assert "eth_sendRawTransaction" not in rpc.methods()
    assert (node.nonce(address), node.balance(address)) == (1, before)
    node.settle()
    assert publish(session, folder, "tool", "1.0.0").final
    assert journal(session) == [], "what is final is forgotten"


@both
def test_another_content_under_the_same_version_names_both_digests(
    node: Node, session: Session, address: str, folder: Path
) -> None:
    first = send(session, folder)
    (folder / "README").write_text("changed\n")
    other = send(session, folder, dry_run=True, version="2.0.0")
    with pytest.raises(ReleaseExists) as caught:
        send(session, folder)
    assert caught.value.exit_code == 2
    given = caught.value.evidence["given"]
    assert caught.value.evidence["recorded"] == first.manifest.hex() != given
    assert first.manifest.hex() in caught.value.message
    assert given in caught.value.message
    assert given != other.manifest.hex(), "another version is another manifest"
    assert node.nonce(address) == count(node, address) == 1
    with Store(session.home.store) as store:
        assert [release.manifest for release in store.releases()] == [first.manifest]


@both
def test_a_dry_run_sends_and_keeps_nothing(
    node: Node, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(node.url)
    before = node.balance(address)
    done = send(replace(session, rpc=(rpc.url,)), folder, dry_run=True)
    assert done.dry_run
    assert (done.transaction, done.block, done.sequence) == (None, None, None)
    assert (done.gas_used or 0) > 50_000
    assert (done.fee or 0) > 0
    assert "eth_sendRawTransaction" not in rpc.methods()
    assert (node.nonce(address), node.balance(address)) == (0, before)
    assert journal(session) == []
    assert not session.home.store.exists()
    assert not folder.with_name("tool.integrity").exists()
    assert send(session, folder).manifest == done.manifest


@both
def test_an_older_line_can_be_published_without_becoming_the_latest(
    node: Node, session: Session, folder: Path
) -> None:
    link = send(session, folder, "2.0.0").link
    (folder / "README").write_text("a mended old tool\n")
    send(session, folder, "1.1.9", make_latest=False)
    node.settle()
    assert resolve(session, replace(link, version=None)).version == "2.0.0"
    assert resolve(session, replace(link, version="1.1.9")).sequence == 2


# --- what is refused ---------------------------------------------------------------------------


@both
def test_an_account_without_ether_is_told_to_get_some(
    node: Node, kind: str, folder: Path, tmp_path: Path
) -> None:
    session = Session(Home.at(tmp_path / "poor"))
    address = equip(session.home, node.url, lambda *_: None)
    # With geth nobody can have less than a gwei, and on its chain of empty blocks that pays any fee.
    for wei in (0, 1, 10**12) if kind == "anvil" else (0,):
        if wei:
            node.fund(address, wei)
        with pytest.raises(TransactionRefused, match="not enough ether") as caught:
            send(session, folder)
        assert caught.value.exit_code == 2
        assert address in caught.value.message
        assert address in caught.value.next
    assert count(node, address) == node.nonce(address) == 0
    node.fund(address)
    assert send(session, folder).sequence == 1
    assert node.nonce(address) == 1


@both
def test_threat_49_a_key_that_is_not_the_publishers_is_refused(
    node: Node, session: Session, address: str, folder: Path, tmp_path: Path
) -> None:
    thief = node.publisher(tmp_path / "thief")
    own = thief.key(None).address
    with pytest.raises(TransactionRefused, match=f"key {own} may not publish or act for {address}"):
        send(replace(thief, publisher=address), folder)
    assert node.nonce(own) == count(node, address) == 0
    assert not thief.home.store.exists(), "what could not be recorded is not served either"


@both
def test_threat_44_a_delegate_that_was_removed_is_refused_and_its_releases_still_verify(
    node: Node, session: Session, address: str, folder: Path, tmp_path: Path
) -> None:
    delegate = replace(node.publisher(tmp_path / "delegate"), publisher=address)
    who = delegate.key(None).address
    far = 2**40 - 1
    node.act(session, "setDelegate", address, "tool", who, far)
    done = send(delegate, folder)
    node.act(session, "setDelegate", address, "tool", who, 0)
    (folder / "README").write_text("malicious\n")
    with pytest.raises(TransactionRefused, match="may not publish"):
        send(delegate, folder, "2.0.0")
    node.settle()
    record = resolve(session, done.link)
    assert (record.publisher, record.by, record.manifest) == (address, who, done.manifest)
    assert count(node, address) == 1


@both
def test_threat_44_a_rotated_controller_is_refused_and_its_releases_still_verify(
    node: Node, session: Session, address: str, folder: Path, tmp_path: Path
) -> None:
    done = send(session, folder)
    successor = node.publisher(tmp_path / "successor")
    who = successor.key(None).address
    node.act(session, "transferController", address, who)
    node.act(successor, "acceptController", address)
    (folder / "README").write_text("stolen\n")
    with pytest.raises(TransactionRefused, match="may not publish"):
        send(session, folder, "2.0.0")
    assert send(replace(successor, publisher=address), folder, "2.0.0").sequence == 2
    node.settle()
    assert resolve(session, done.link).by == address
    assert resolve(session, replace(done.link, version="2.0.0")).by == who


@both
def test_threat_48_a_copied_transaction_lands_under_the_copiers_own_name_only(
    node: Node, session: Session, address: str, folder: Path, tmp_path: Path
) -> None:
    copier = node.publisher(tmp_path / "copier")
    theirs = copier.key(None).address
    done = send(session, folder, dry_run=True)
    digest, content = done.manifest, bytes(32)
    names = ("tool", "1.0.0", "0x" + digest.hex(), "0x" + content.hex(), 0, True)
    with pytest.raises(AssertionError, match="reverted"):
        node.act(copier, "publish", address, *names)
    node.act(copier, "publish", theirs, *names)
    assert (count(node, theirs), count(node, address)) == (1, 0)
    mine = send(session, folder)
    assert (mine.sequence, count(node, address)) == (1, 1)
    node.settle()
    assert resolve(session, mine.link).manifest == digest


def test_threat_10_nothing_is_hashed_or_sent_without_the_registry(
    bare_anvil: MakeAnvil, folder: Path, tmp_path: Path
) -> None:
    anvil = bare_anvil()
    session = anvil.publisher(tmp_path / "home")
    (folder / "link").symlink_to("README")  # would be refused as soon as the folder is read
    with pytest.raises(RegistryMismatch):
        send(session, folder)
    assert anvil.nonce(session.key(None).address) == 0


def test_threat_09_a_development_key_signs_for_no_other_chain(
    bare_anvil: MakeAnvil, folder: Path, tmp_path: Path
) -> None:
    anvil = with_registry(bare_anvil("--chain-id", "1"))
    session = replace(anvil.publisher(tmp_path / "home"), rpc=(anvil.url,), chain_id=1)
    with pytest.raises(KeyRefused, match="for the development chain 31337 alone"):
        send(session, folder)
    assert anvil.nonce(session.key(None).address) == 0
    assert journal(session) == []


@pytest.mark.parametrize("since", range(1, 13))
@both
def test_threat_09_a_chain_id_that_changes_in_mid_run_stops_everything(
    node: Node, session: Session, address: str, folder: Path, lying_rpc: MakeRpc, since: int,
    tmp_path: Path,
) -> None:  # fmt: skip
    rpc = lying_rpc(node.url)
    another = node.publisher(tmp_path / "another")
    send(replace(another, rpc=(rpc.url,)), folder)
    asked_in_all = len(rpc.calls("eth_chainId"))
    assert asked_in_all <= 12
    rpc.forget()
    rpc.act = of_method(
        "eth_chainId", lambda _, true: "0x5" if len(rpc.calls("eth_chainId")) >= since else true
    )
    if since > asked_in_all:
        assert send(replace(session, rpc=(rpc.url,)), folder).sequence == 1
        return
    with pytest.raises(ChainMismatch, match="serves chain 5, but chain 31337"):
        send(replace(session, rpc=(rpc.url,)), folder)
    if "eth_sendRawTransaction" not in rpc.methods():
        assert node.nonce(address) == count(node, address) == 0
    done = send(session, folder)
    assert (done.sequence, node.nonce(address)) == (1, 1)


def test_threat_09_a_running_node_changes_its_chain_id_before_the_signature(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)

    def change(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_maxPriorityFeePerGas":
            anvil.call("anvil_setChainId", 5)
        return forward()

    rpc.act = change
    with pytest.raises(ChainMismatch):
        send(replace(session, rpc=(rpc.url,)), folder)
    assert journal(session) == []
    assert anvil.nonce(address) == 0


def test_a_checkpoint_is_for_reading_and_says_nothing_of_what_is_final_now(
    anvil: Anvil, session: Session, folder: Path
) -> None:
    genesis = bytes.fromhex(anvil.call("eth_getBlockByNumber", "0x0", False)["hash"][2:])
    given = replace(session, checkpoint=genesis)
    link = send(given, folder).link
    anvil.mine(3)
    assert publish(given, folder, "tool", "1.0.0").final
    assert given.view(link).block.number == 0
