"""Killed at every point of a publish, and run again: one record, one fee, nothing lost."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity import publish
from integrity.chain import delivery
from integrity.client.session import Session
from integrity.errors import ReleaseExists, RpcUnavailable, TransactionRefused

from .anvils import Anvil
from .conftest import MakeRpc, both_at_length
from .ledger import count, journal, send
from .lying_rpc import Call, Forward, HangUp, LyingRpc
from .nodes import Node
from .processes import Publisher, killing

SEND = "eth_sendRawTransaction"


def calls_of_a_publish(node: Node, folder: Path, tmp_path: Path, lying_rpc: MakeRpc) -> list[str]:
    """What an undisturbed publish asks the node, in order."""
    rpc = lying_rpc(node.url)
    send(replace(node.publisher(tmp_path / "measured"), rpc=(rpc.url,)), folder)
    return rpc.methods()


def killed_at(
    point: int, rpc: LyingRpc, session: Session, folder: Path, *, after: bool
) -> Publisher:
    """A run that was killed at its call number ``point``, from 0."""
    rpc.act = killing(lambda: publisher, lambda _: len(rpc.asked) == point + 1, after=after)
    publisher = Publisher(replace(session, rpc=(rpc.url,)), folder)
    publisher.process.join()
    return publisher


@both_at_length
@pytest.mark.parametrize("after", [False, True], ids=["before the node hears", "before the answer"])
def test_a_publish_killed_at_any_call_is_done_once_by_the_next_run(
    node: Node, folder: Path, tmp_path: Path, lying_rpc: MakeRpc, after: bool
) -> None:
    methods = calls_of_a_publish(node, folder, tmp_path, lying_rpc)
    sent = methods.index(SEND)
    for point, method in enumerate(methods):
        session = node.publisher(tmp_path / f"home-{point}")
        address = session.key(None).address
        rpc = lying_rpc(node.url)
        publisher = killed_at(point, rpc, session, folder, after=after)
        if publisher.process.exitcode == 0 and len(rpc.asked) <= point:
            break  # it had to ask less often than when it was measured: how often is a matter of time
        assert publisher.process.exitcode == -9, f"not killed at {method}, call {point}"
        journaled = journal(session)
        assert len(journaled) == (point >= sent - 1), f"written down at {method}, call {point}"
        done = send(session, folder)
        assert (count(node, address), node.nonce(address)) == (1, 1), (method, point)
        assert done.sequence == 1
        if journaled and done.transaction is not None:
            assert "0x" + done.transaction.hex() == journaled[0]["hash"]


@pytest.mark.parametrize("after", [False, True], ids=["before the node hears", "before the answer"])
def test_a_publish_killed_with_its_transaction_in_the_mempool_goes_on_with_it(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc, after: bool
) -> None:
    anvil.hold()
    rpc = lying_rpc(anvil.url)
    rpc.act = killing(lambda: publisher, lambda call: call["method"] == SEND, after=after)
    publisher = Publisher(replace(session, rpc=(rpc.url,)), folder)
    publisher.process.join()
    (signed,) = journal(session)
    again = Publisher(session, folder)
    while again.running:
        anvil.mine()
    assert again.result()["transaction"] == signed["hash"]
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)
    anvil.mine(3)
    assert publish(session, folder, "tool", "1.0.0").already
    assert journal(session) == []


@both_at_length
def test_the_recorded_manifest_is_kept_when_the_folder_changes_after_a_kill(
    node: Node, session: Session, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(node.url)
    rpc.act = killing(lambda: publisher, lambda call: call["method"] == SEND, after=True)
    publisher = Publisher(replace(session, rpc=(rpc.url,)), folder)
    publisher.process.join()
    before = (folder / "README").read_text()
    (folder / "README").write_text("another\n")
    with pytest.raises(ReleaseExists) as caught:
        send(session, folder)
    (kept,) = session.home.journal.glob("*.integrity")
    assert str(kept) in caught.value.next
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == caught.value.evidence["recorded"]
    (folder / "README").write_text(before)
    assert send(session, folder).manifest == bytes.fromhex(caught.value.evidence["recorded"])
    assert not list(session.home.journal.glob("*.integrity")), "the store has it"


def test_the_manifest_is_kept_while_a_transaction_that_a_node_refused_may_yet_be_mined(
    anvil: Anvil, session: Session, folder: Path, lying_rpc: MakeRpc, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(delivery, "_RESEND_AFTER", 0.1)
    anvil.hold()
    rpc = lying_rpc(anvil.url)

    def fickle(call: Call, forward: Forward) -> dict[str, Any]:
        """It takes the transaction, and refuses it when it is sent again."""
        if call["method"] == SEND and len(rpc.calls(SEND)) > 1:
            error = {"code": -32000, "message": "transaction underpriced"}
            return {"jsonrpc": "2.0", "id": call["id"], "error": error}
        return forward()

    rpc.act = fickle
    with pytest.raises(TransactionRefused):
        send(replace(session, rpc=(rpc.url,), max_fee=3 * 10**9), folder)
    assert len(journal(session)) == 1
    anvil.mine(3)
    (folder / "README").write_text("another\n")
    with pytest.raises(ReleaseExists) as caught:
        send(session, folder)
    (kept,) = session.home.journal.glob("*.integrity")
    assert str(kept) in caught.value.next


def test_another_release_waits_for_the_transaction_that_a_killed_run_left(
    anvil: Anvil, session: Session, address: str, folder: Path, tmp_path: Path, lying_rpc: MakeRpc
) -> None:
    anvil.hold()
    rpc = lying_rpc(anvil.url)
    rpc.act = killing(lambda: publisher, lambda call: call["method"] == SEND, after=True)
    publisher = Publisher(replace(session, rpc=(rpc.url,)), folder)
    publisher.process.join()
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "README").write_text("newer\n")
    waiting = lying_rpc(anvil.url)
    second = Publisher(replace(session, rpc=(waiting.url,)), newer, "2.0.0")
    while len(waiting.calls("eth_getTransactionCount")) < 4:
        assert second.running
    assert not waiting.calls(SEND), "it would assume a number of releases that is about to change"
    while second.running:
        anvil.mine()
    assert second.result()["sequence"] == 2
    # No transaction failed, so no fee was paid for nothing.
    assert (count(anvil, address), anvil.nonce(address)) == (2, 2)


@both_at_length
def test_an_answer_lost_on_the_way_is_made_up_for_in_the_same_run(
    node: Node, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(node.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        answer = forward()
        if call["method"] == SEND and len(rpc.calls(SEND)) == 1:
            raise HangUp
        return answer

    rpc.act = act
    assert send(replace(session, rpc=(rpc.url,)), folder).sequence == 1
    first, *others = rpc.calls(SEND)
    assert others
    assert all(call["params"] == first["params"] for call in others), "the same bytes"
    assert (count(node, address), node.nonce(address)) == (1, 1)


@both_at_length
@pytest.mark.parametrize("heard", [False, True], ids=["before the sending", "after the sending"])
def test_a_node_that_dies_at_the_sending_is_could_not_check_and_the_same_bytes_go_out_later(
    node: Node, session: Session, address: str, folder: Path, lying_rpc: MakeRpc, heard: bool
) -> None:
    rpc = lying_rpc(node.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if not rpc.calls(SEND):
            return forward()
        if heard and call["method"] == SEND:
            forward()
        raise HangUp

    rpc.act = act
    with pytest.raises(RpcUnavailable) as caught:
        send(replace(session, rpc=(rpc.url,)), folder)
    assert caught.value.exit_code == 3
    (signed,) = journal(session)
    assert {call["params"][0] for call in rpc.calls(SEND)} == {signed["raw"]}
    done = send(session, folder)
    assert done.transaction is not None
    assert "0x" + done.transaction.hex() == signed["hash"]
    assert done.already == heard
    assert (count(node, address), node.nonce(address)) == (1, 1)


@pytest.mark.parametrize("taken", [True, False], ids=["taken all the same", "not taken"])
def test_a_node_that_refuses_for_reasons_of_its_own_is_never_sent_a_second_transaction(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc, taken: bool
) -> None:
    anvil.hold()
    rpc = lying_rpc(anvil.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] != SEND:
            return forward()
        if taken:
            forward()
        return {"id": call["id"], "error": {"code": -32603, "message": "internal error"}}

    rpc.act = act
    with pytest.raises(RpcUnavailable, match="internal error"):
        send(replace(session, rpc=(rpc.url,)), folder)
    (signed,) = journal(session)
    again = Publisher(session, folder)
    while again.running:
        anvil.mine()
    assert again.result()["transaction"] == signed["hash"]
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)


def test_bytes_that_a_node_keeps_refusing_are_replaced_under_the_same_nonce(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)
    refused: set[str] = set()

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        raw = call["params"][0] if call["method"] == SEND else None
        if raw and (not refused or raw in refused):
            refused.add(raw)
            error = {"code": -32000, "message": "max fee per gas less than block base fee"}
            return {"id": call["id"], "error": error}
        return forward()

    rpc.act = act
    unlucky = replace(session, rpc=(rpc.url,))
    with pytest.raises(TransactionRefused, match="base fee"):
        send(unlucky, folder)
    # The price went up meanwhile, so what is signed now has another fee.
    anvil.call("anvil_setNextBlockBaseFeePerGas", hex(10**10))
    anvil.mine()
    done = send(unlucky, folder)
    assert done.sequence == 1
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)
    (kept,) = journal(session)
    assert (kept["nonce"], kept["raw"] in refused) == (0, False)


@both_at_length
def test_a_journal_with_rubbish_in_it_does_no_harm(
    node: Node, session: Session, address: str, folder: Path
) -> None:
    session.home.journal.mkdir(parents=True)
    for name, text in {
        "0" * 64 + ".json": "{",
        "1" * 64 + ".json": "[]",
        "2" * 64 + ".json": '{"purpose":"x"}',
        "notes.txt": "mine",
    }.items():
        (session.home.journal / name).write_text(text)
    assert send(session, folder).sequence == 1
    assert (session.home.journal / "notes.txt").read_text() == "mine"
    assert node.nonce(address) == 1


@both_at_length
def test_the_journal_is_its_owners_only(node: Node, session: Session, folder: Path) -> None:
    send(session, folder)
    (path,) = session.home.journal.glob("*.json")
    assert path.stat().st_mode & 0o077 == 0
    assert session.home.journal.stat().st_mode & 0o077 == 0
