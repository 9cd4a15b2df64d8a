"""A transaction that bids too little is signed again for the same nonce: one record, one fee, no limit
exceeded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity import publish
from integrity.chain import delivery
from integrity.chain.fees import GWEI
from integrity.client.session import Session
from integrity.core.transactions import SignedTransaction, read_signed
from integrity.errors import TransactionRefused, Unfinalized

from .anvils import Anvil, with_registry
from .conftest import MakeAnvil, MakeRpc
from .ledger import count, journal, send
from .lying_rpc import Call
from .processes import Publisher, killing

SEND = "eth_sendRawTransaction"


def signed_by(call: Call) -> SignedTransaction:
    """The transaction that a node was handed."""
    return read_signed(bytes.fromhex(call["params"][0][2:]))


def base_fee(anvil: Anvil, wei: int) -> None:
    """Make it the base fee of the newest block, and of those to come."""
    anvil.call("anvil_setNextBlockBaseFeePerGas", hex(wei))
    anvil.mine()
    anvil.call("anvil_setNextBlockBaseFeePerGas", hex(wei))


@contextmanager
def beside(work: Any) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(60)


def stuck(session: Session, folder: Path, anvil: Anvil, rpc: Any) -> Publisher:
    """A publish that was sent and whose bid a base fee has risen above since."""
    anvil.hold()
    publisher = Publisher(replace(session, rpc=(rpc.url,)), folder)
    while not rpc.calls("eth_getTransactionReceipt"):
        assert publisher.running
        time.sleep(0.01)
    return publisher


def finish(publisher: Publisher, anvil: Anvil) -> dict[str, Any]:
    while publisher.running:
        anvil.mine()
        time.sleep(0.05)
    return publisher.result()


def test_a_base_fee_above_the_bid_is_met_under_the_same_nonce(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)
    publisher = stuck(session, folder, anvil, rpc)
    (first,) = journal(session)
    base_fee(anvil, 50 * GWEI)
    while len(rpc.calls(SEND)) < 2:
        assert publisher.running
        time.sleep(0.01)
    (entry,) = journal(session)
    assert entry["replaced"] == [first["hash"]]
    assert entry["hash"] not in entry["replaced"]
    result = finish(publisher, anvil)
    old, new = (signed_by(call) for call in rpc.calls(SEND)[:2])
    assert (new.nonce, new.call) == (old.nonce, old.call)
    assert new.cap >= 50 * GWEI > old.cap
    assert new.tip is not None
    assert old.tip is not None
    assert new.tip * 8 >= old.tip * 9
    assert result["transaction"] == entry["hash"]
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)
    anvil.mine(3)
    assert publish(session, folder, "tool", "1.0.0").already
    assert journal(session) == []


def test_whichever_of_the_two_is_mined_is_found(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)
    publisher = stuck(session, folder, anvil, rpc)
    (first,) = journal(session)
    # The second one never reaches the node, and the base fee falls again.
    rpc.act = lambda call, forward: (
        {"jsonrpc": "2.0", "id": call["id"], "result": first["hash"]}
        if call["method"] == SEND
        else forward()
    )
    base_fee(anvil, 50 * GWEI)
    while not journal(session)[0]["replaced"]:
        assert publisher.running
        time.sleep(0.01)
    anvil.call("anvil_setNextBlockBaseFeePerGas", hex(1))
    anvil.call(SEND, first["raw"])  # as another node may that still had it
    result = finish(publisher, anvil)
    assert result["transaction"] == first["hash"]
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)
    anvil.mine(3)
    assert publish(session, folder, "tool", "1.0.0").final
    assert journal(session) == []


def test_a_transaction_that_the_pool_dropped_is_sent_again_as_it_is(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)
    publisher = stuck(session, folder, anvil, rpc)
    (first,) = journal(session)
    anvil.call("anvil_dropTransaction", first["hash"])
    anvil.mine()
    assert anvil.nonce(address) == 0
    result = finish(publisher, anvil)
    assert result["transaction"] == first["hash"]
    sent = [call["params"] for call in rpc.calls(SEND)]
    assert len(sent) > 1
    assert all(params == sent[0] for params in sent)
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)


@pytest.mark.parametrize("after", [False, True], ids=["before the node hears", "before the answer"])
@pytest.mark.parametrize(
    "method",
    ["eth_maxPriorityFeePerGas", "eth_chainId", SEND],
    ids=["before the signature", "at the last look", "at the sending"],
)
def test_a_kill_around_the_second_signature_pays_once(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc, method: str,
    after: bool,
) -> None:  # fmt: skip
    rpc = lying_rpc(anvil.url)
    publisher = stuck(session, folder, anvil, rpc)
    (first,) = journal(session)
    rpc.act = killing(lambda: publisher, lambda call: call["method"] == method, after=after)
    base_fee(anvil, 50 * GWEI)
    publisher.process.join()
    (entry,) = journal(session)
    assert first["hash"] in {entry["hash"], *entry["replaced"]}
    assert bool(entry["replaced"]) == (method == SEND)
    again = Publisher(session, folder)
    result = finish(again, anvil)
    (known,) = journal(session)
    assert result["transaction"] in {known["hash"], *known["replaced"]}
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)
    anvil.mine(3)
    assert publish(session, folder, "tool", "1.0.0").already
    assert journal(session) == []


def test_a_next_run_raises_what_a_killed_one_had_bid(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)
    publisher = stuck(session, folder, anvil, rpc)
    publisher.kill()
    publisher.process.join()
    (first,) = journal(session)
    anvil.call("anvil_dropTransaction", first["hash"])
    base_fee(anvil, 50 * GWEI)
    result = finish(Publisher(session, folder), anvil)
    assert result["transaction"] != first["hash"]
    (entry,) = journal(session)
    assert entry["replaced"] == [first["hash"]]
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)


def test_no_bid_is_above_the_limit(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)
    limited = replace(session, max_fee=20 * GWEI)
    publisher = stuck(limited, folder, anvil, rpc)
    base_fee(anvil, 50 * GWEI)
    rpc.forget()
    while len(rpc.calls("eth_maxPriorityFeePerGas")) < 2:  # it wanted to
        assert publisher.running
        time.sleep(0.01)
    assert not rpc.calls(SEND)
    publisher.kill()
    publisher.process.join()
    (entry,) = journal(session)
    assert entry["replaced"] == []
    assert read_signed(bytes.fromhex(entry["raw"][2:])).cap <= 20 * GWEI
    # With a higher limit the next run goes on with it.
    result = finish(Publisher(replace(session, max_fee=200 * GWEI), folder), anvil)
    assert result["transaction"] != entry["hash"]
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)


def test_above_the_limit_nothing_is_signed(
    anvil: Anvil, session: Session, address: str, folder: Path
) -> None:
    base_fee(anvil, 50 * GWEI)
    with pytest.raises(
        TransactionRefused, match=r"asks 50 gwei .* your limit is 20 gwei"
    ) as caught:
        send(replace(session, max_fee=20 * GWEI), folder)
    assert caught.value.evidence == {"asked": 50 * GWEI, "max_fee": 20 * GWEI}
    assert journal(session) == []
    assert anvil.nonce(address) == 0


def test_a_chain_without_a_base_fee_is_bid_a_higher_price(
    bare_anvil: MakeAnvil, folder: Path, tmp_path: Path, lying_rpc: MakeRpc
) -> None:
    anvil = with_registry(bare_anvil("--hardfork", "berlin"))
    session = anvil.publisher(tmp_path / "home")
    address = session.key(None).address
    rpc = lying_rpc(anvil.url)
    publisher = stuck(session, folder, anvil, rpc)
    (first,) = journal(session)
    old = read_signed(bytes.fromhex(first["raw"][2:]))
    assert old.tip is None
    anvil.call("anvil_dropTransaction", first["hash"])
    low = {"code": -32000, "message": "transaction underpriced"}
    rpc.act = lambda call, forward: (
        {"jsonrpc": "2.0", "id": call["id"], "error": low}
        if call["method"] == SEND and call["params"] == [first["raw"]]
        else forward()
    )
    result = finish(publisher, anvil)
    (entry,) = journal(session)
    assert entry["replaced"] == [first["hash"]]
    assert result["transaction"] == entry["hash"]
    new = read_signed(bytes.fromhex(entry["raw"][2:]))
    assert (new.call, new.tip) == (old.call, None)
    assert new.cap * 8 >= old.cap * 9
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)


def test_blocks_that_go_by_without_it_raise_the_tip(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(delivery, "_RESEND_AFTER", 0.5)
    rpc = lying_rpc(anvil.url)

    def lost(call: Call, forward: Any) -> dict[str, Any]:
        """Miners that leave it out, until more is bid."""
        if call["method"] == SEND and len(rpc.calls(SEND)) == 1:
            return {"jsonrpc": "2.0", "id": call["id"], "result": "0x" + "00" * 32}
        if call["method"] == SEND and signed_by(call) == signed_by(rpc.calls(SEND)[0]):
            said = {"code": -32000, "message": "already known"}
            return {"jsonrpc": "2.0", "id": call["id"], "error": said}
        return dict(forward())

    rpc.act = lost
    done = threading.Event()

    def mine() -> None:
        while not done.wait(0.1):
            anvil.mine()

    with beside(mine):
        try:
            sent = send(replace(session, rpc=(rpc.url,)), folder)
        finally:
            done.set()
    (entry,) = journal(session)
    assert len(entry["replaced"]) == 1
    assert "0x" + (sent.transaction or b"").hex() == entry["hash"]
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)


def test_a_bid_that_nobody_takes_is_not_raised_for_ever(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(delivery, "_RESEND_AFTER", 0.1)
    monkeypatch.setattr(delivery, "_RAISES", 2)
    monkeypatch.setattr(delivery, "_MINED_SECONDS", 12.0)
    rpc = lying_rpc(anvil.url)

    def lost(call: Call, forward: Any) -> dict[str, Any]:
        if call["method"] == SEND:
            return {"jsonrpc": "2.0", "id": call["id"], "result": "0x" + "00" * 32}
        if call["method"] == "eth_getBlockByNumber":
            anvil.mine(3)
        return dict(forward())

    rpc.act = lost
    with pytest.raises(Unfinalized):
        send(replace(session, rpc=(rpc.url,)), folder)
    (entry,) = journal(session)
    assert len(entry["replaced"]) == 2
    assert send(session, folder).sequence == 1
    assert anvil.nonce(address) == 1


def test_another_machines_transaction_with_the_nonce_is_not_bid_against(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(delivery, "_MINED_SECONDS", 1.0)
    anvil.hold()
    rpc = lying_rpc(anvil.url)

    def first(call: Call, forward: Any) -> dict[str, Any]:
        if call["method"] == SEND and len(rpc.calls(SEND)) == 1:
            anvil.call("anvil_impersonateAccount", address)
            gift = {"from": address, "to": "0x" + "11" * 20, "value": "0x1", "nonce": "0x0"}
            anvil.call(
                "eth_sendTransaction",
                gift | {"maxFeePerGas": hex(10**13), "maxPriorityFeePerGas": hex(10**12)},
            )
        return dict(forward())

    rpc.act = first
    with pytest.raises(Unfinalized):
        send(replace(session, rpc=(rpc.url,)), folder)
    (entry,) = journal(session)
    assert entry["replaced"] == []
    assert len({call["params"][0] for call in rpc.calls(SEND)}) == 1
    anvil.call("evm_setAutomine", True)
    anvil.mine()
    assert send(session, folder).sequence == 1
    assert (count(anvil, address), anvil.nonce(address)) == (1, 2)
