"""Blocks that the chain drops again: what was signed is kept and sent once more."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity import Draft, publish, publish_many, resolve
from integrity.client.session import Session
from integrity.errors import ReleaseNotFound, Unfinalized
from integrity.publishing.requesting import request
from integrity.publishing.submitting import submit

from .anvils import Anvil, with_registry
from .conftest import MakeAnvil, MakeRpc
from .ledger import count, journal, send
from .lying_rpc import Call, Forward, honest
from .processes import Publisher


@pytest.fixture
def anvil(bare_anvil: MakeAnvil) -> Anvil:
    """A chain whose blocks are final 24 blocks later, so that there is something to drop."""
    anvil = with_registry(bare_anvil("--slots-in-an-epoch", "12"))
    anvil.mine(30)
    return anvil


@pytest.mark.parametrize("depth", [3, 10])
def test_threat_07_a_publish_that_a_reorg_drops_is_pending_again_and_sent_again(
    anvil: Anvil, session: Session, address: str, folder: Path, depth: int
) -> None:
    first = send(session, folder)
    anvil.mine(depth - 1)
    (signed,) = journal(session)
    manifest = folder.with_name("tool.integrity").read_bytes()
    with pytest.raises(Unfinalized):
        resolve(session, first.link)
    anvil.call("anvil_reorg", depth, [])
    assert (count(anvil, address), anvil.nonce(address)) == (0, 0)
    with pytest.raises(ReleaseNotFound):
        resolve(session, first.link)
    assert journal(session) == [signed], "the signed transaction is kept"
    assert folder.with_name("tool.integrity").read_bytes() == manifest
    again = send(session, folder)
    assert again.transaction == first.transaction, "the very same, not a second one"
    assert again.block != first.block
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)
    anvil.mine(30)
    assert publish(session, folder, "tool", "1.0.0").block == again.block
    assert journal(session) == []
    assert resolve(session, first.link).manifest == first.manifest


def test_threat_07_a_reorg_that_moves_a_publish_to_another_block_is_followed(
    anvil: Anvil, session: Session, folder: Path
) -> None:
    first = send(session, folder)
    (signed,) = journal(session)
    anvil.call("anvil_reorg", 1, [[signed["raw"], 0]])
    anvil.mine(30)
    done = publish(session, folder, "tool", "1.0.0")
    assert done.transaction == first.transaction
    assert done.block != first.block


def test_threat_07_a_batch_and_a_request_that_a_reorg_drops_are_sent_again(
    anvil: Anvil, session: Session, address: str, folder: Path, tmp_path: Path
) -> None:
    drafts = [Draft(folder, name, "1.0.0") for name in ("tool", "other")]
    sponsor = anvil.publisher(tmp_path / "sponsor")
    first = publish_many(session, drafts, wait=False)
    made = request(session, Draft(folder, "third", "1.0.0")).request
    assert made is not None
    paid = submit(sponsor, made, wait=False)
    anvil.call("anvil_reorg", 2, [])
    assert (count(anvil, address), count(anvil, address, "third")) == (0, 0)
    again = publish_many(session, drafts, wait=False)
    assert again.transaction == first.transaction
    assert submit(sponsor, made, wait=False).transaction == paid.transaction
    assert (anvil.nonce(address), anvil.nonce(sponsor.key(None).address)) == (1, 1)
    anvil.mine(30)
    assert publish_many(session, drafts).final
    assert submit(sponsor, made).final
    assert journal(session) == journal(sponsor) == []


def test_threat_07_what_a_reorg_dropped_is_bid_more_for_when_the_chain_asks_more(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)
    publisher = Publisher(replace(session, rpc=(rpc.url,)), folder, wait=True)
    while not rpc.calls("eth_getBlockByNumber") or not count(anvil, address):
        assert publisher.running
    (first,) = journal(session)
    anvil.call("anvil_setNextBlockBaseFeePerGas", hex(10**11))
    anvil.call("anvil_reorg", 1, [])
    while publisher.running:
        anvil.mine()
        time.sleep(0.1)
    result = publisher.result()
    assert result["final"]
    assert result["transaction"] != first["hash"]
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)
    assert journal(session) == []


def test_threat_07_a_block_that_is_dropped_between_two_questions_is_followed(
    anvil: Anvil, session: Session, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getBlockByHash":
            rpc.act = honest
            (signed,) = journal(session)
            anvil.call("anvil_reorg", 1, [[signed["raw"], 0]])
        return forward()

    rpc.act = act
    done = send(replace(session, rpc=(rpc.url,)), folder)
    assert rpc.act is honest
    assert done.block is not None
    assert done.block.number == anvil.height()
    assert anvil.call("eth_getBlockByHash", "0x" + done.block.hash.hex(), False)


def test_threat_07_a_dropped_nonce_that_another_machine_took_is_signed_anew(
    anvil: Anvil, session: Session, address: str, folder: Path
) -> None:
    first = send(session, folder)
    anvil.call("anvil_reorg", 1, [])
    anvil.call("anvil_impersonateAccount", address)
    gift = {"from": address, "to": "0x" + "11" * 20, "value": "0x1"}
    anvil.receipt(anvil.call("eth_sendTransaction", gift))
    again = send(session, folder)
    assert again.transaction != first.transaction
    assert (count(anvil, address), anvil.nonce(address)) == (1, 2)
    assert [entry["hash"] for entry in journal(session)] == [
        "0x" + (again.transaction or b"").hex()
    ]


def test_threat_07_a_record_of_an_earlier_run_that_vanishes_while_it_is_waited_for_is_sent_again(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    first = send(session, folder)
    rpc = lying_rpc(anvil.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getBlockByNumber" and call["params"][0] == "finalized":
            rpc.act = honest
            anvil.call("anvil_reorg", 1, [])
        return forward()

    rpc.act = act
    waiting = Publisher(replace(session, rpc=(rpc.url,)), folder, wait=True)
    while waiting.running:
        anvil.mine()
    done = waiting.result()
    assert (done["final"], done["transaction"]) == (True, "0x" + (first.transaction or b"").hex())
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)


@pytest.mark.long
def test_threat_07_a_publish_that_waits_for_finality_sends_again_what_a_reorg_drops(
    anvil: Anvil, session: Session, address: str, folder: Path
) -> None:
    waiting = Publisher(session, folder, wait=True)
    while anvil.nonce(address) == 0:
        assert waiting.running
    (signed,) = journal(session)
    anvil.call("anvil_reorg", 1, [])
    assert anvil.nonce(address) == 0
    while anvil.nonce(address) == 0:
        assert waiting.running
    while waiting.running:
        anvil.mine()
    done = waiting.result()
    assert (done["final"], done["transaction"]) == (True, signed["hash"])
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)
    assert journal(session) == []


@pytest.mark.long
def test_a_transaction_that_the_mempool_drops_is_sent_again(
    anvil: Anvil, session: Session, address: str, folder: Path
) -> None:
    anvil.hold()
    waiting = Publisher(session, folder)
    while not journal(session) or not anvil.call("txpool_content")["pending"]:
        assert waiting.running
    (signed,) = journal(session)
    anvil.call("anvil_dropTransaction", signed["hash"])
    assert not anvil.call("txpool_content")["pending"]
    while waiting.running:
        anvil.mine()
    assert waiting.result()["transaction"] == signed["hash"]
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)
