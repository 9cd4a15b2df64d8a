"""What is bid: no more than a limit that the person names, and without one no more than is believed of what
a node says of the market; else whoever runs the node decides what is paid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrity import publish
from integrity.chain.fees import (
    GWEI,
    PRICE_LIMIT,
    TIP_ALWAYS_BELIEVED,
    TIP_LIMIT,
    Fees,
    Market,
    first_bid,
    raised_bid,
)
from integrity.client.session import Session
from integrity.core.transactions import read_signed
from integrity.errors import TransactionRefused

from .anvils import Anvil
from .conftest import MakeRpc
from .ledger import count, journal, send
from .lying_rpc import Act, Call, Forward, of_method

SEND = "eth_sendRawTransaction"
TIP = "eth_maxPriorityFeePerGas"

BELIEVABLE = {
    "a development chain": Market(0, GWEI),
    "a rollup": Market(GWEI // 200, GWEI // 1000),
    "Ethereum": Market(GWEI, 2 * GWEI),
    "Ethereum at its peak": Market(4_000 * GWEI, 500 * GWEI),
    "Polygon": Market(30, 30 * GWEI),
    "Polygon when much is asked": Market(300 * GWEI, 700 * GWEI),
    "a cheap coin, no base fee": Market(None, 5_000 * GWEI),
}

UNBELIEVABLE = {
    "gas price": (Market(None, 10**6 * GWEI), {"gas_price": 10**6 * GWEI}),
    "gas price, just": (Market(None, PRICE_LIMIT + 1), {"gas_price": PRICE_LIMIT + 1}),
    "base fee": (Market(10**7 * GWEI, GWEI), {"base_fee": 10**7 * GWEI}),
    "base fee, just": (Market(PRICE_LIMIT + 1, 0), {"base_fee": PRICE_LIMIT + 1}),
    "tip": (Market(GWEI, 101 * GWEI), {"tip": 101 * GWEI, "base_fee": GWEI}),
    "tip and base fee": (Market(10**7 * GWEI, 10**8 * GWEI), {"base_fee": 10**7 * GWEI}),
    "tip beside a high base fee": (
        Market(PRICE_LIMIT, TIP_LIMIT + 1),
        {"tip": TIP_LIMIT + 1, "base_fee": PRICE_LIMIT},
    ),
}


def latest(change: Callable[[dict[str, Any]], object]) -> Callable[[Call, Any], Any]:
    """A change of what a node says is the newest block."""

    def changed(call: Call, block: Any) -> Any:
        if call["params"][0] == "latest":
            change(block)
        return block

    return changed


def without_base_fee(call: Call, forward: Forward) -> dict[str, Any]:
    """A node whose chain seems to be one of before EIP-1559, and a dear one."""
    if call["method"] == "eth_gasPrice":
        return {"jsonrpc": "2.0", "id": call["id"], "result": hex(10**6 * GWEI)}
    hide = latest(lambda block: block.pop("baseFeePerGas", None))
    return of_method("eth_getBlockByNumber", hide)(call, forward)


def with_base_fee(call: Call, forward: Forward) -> dict[str, Any]:
    """A node that makes the base fee so high that any tip seems small beside it."""
    if call["method"] == TIP:
        return {"jsonrpc": "2.0", "id": call["id"], "result": hex(10**7 * GWEI)}
    say = latest(lambda block: block.update(baseFeePerGas=hex(10**6 * GWEI)))
    return of_method("eth_getBlockByNumber", say)(call, forward)


# --- the bids themselves -----------------------------------------------------------------------


@pytest.mark.parametrize("market", BELIEVABLE.values(), ids=BELIEVABLE)
def test_what_chains_ask_is_bid_and_raised_without_a_limit(market: Market) -> None:
    bid = first_bid(market, None)
    assert bid.cap >= (market.base_fee or market.price)
    assert bid.tip == (None if market.base_fee is None else market.price)
    raised = raised_bid(bid, market, None)
    assert raised is not None
    assert raised.cap > bid.cap


@pytest.mark.parametrize(("market", "evidence"), UNBELIEVABLE.values(), ids=UNBELIEVABLE)
def test_what_no_chain_asks_is_refused_unless_a_limit_is_given(
    market: Market, evidence: dict[str, int]
) -> None:
    with pytest.raises(TransactionRefused, match="gwei") as caught:
        first_bid(market, None)
    assert "--max-fee" in caught.value.next
    assert caught.value.evidence == evidence
    bid = first_bid(market, 10**9 * GWEI)
    assert bid.cap >= (market.base_fee or market.price)
    assert bid.tip == (None if market.base_fee is None else market.price)


@pytest.mark.parametrize("old", [Fees(3 * GWEI, GWEI), Fees(3 * GWEI)], ids=["tip", "gas price"])
@pytest.mark.parametrize("market", [m for m, _ in UNBELIEVABLE.values()], ids=UNBELIEVABLE)
def test_nor_is_a_bid_raised_to_it(old: Fees, market: Market) -> None:
    assert raised_bid(old, market, None) is None
    raised = raised_bid(old, market, 10**9 * GWEI)
    assert raised is not None
    assert raised.cap >= (market.base_fee or market.price)


def test_a_gas_price_is_not_taken_for_a_tip() -> None:
    """A node may be honest about the base fee at first, and leave it out later."""
    assert raised_bid(Fees(3 * GWEI, GWEI), Market(None, PRICE_LIMIT), None) is None


@pytest.mark.parametrize(
    "market",
    [Market(PRICE_LIMIT, TIP_LIMIT), Market(None, PRICE_LIMIT), Market(0, 0)],
    ids=["all that is believed", "no base fee", "nothing"],
)
@pytest.mark.parametrize("bid", [Fees(3 * GWEI, GWEI), Fees(3 * GWEI)], ids=["tip", "gas price"])
def test_raises_end_at_the_same_limits(bid: Fees, market: Market) -> None:
    raised: Fees | None = bid
    while raised is not None:
        bid, raised = raised, raised_bid(raised, market, None)
        assert bid.cap <= PRICE_LIMIT
        assert (bid.tip or 0) <= TIP_LIMIT


wei = st.integers(1, 10**14)
limits = st.none() | wei
markets = st.builds(Market, st.none() | wei, wei)


@given(markets, limits)
def test_a_first_bid_can_be_mined_and_is_within_the_limit(
    market: Market, limit: int | None
) -> None:
    try:
        bid = first_bid(market, limit)
    except TransactionRefused:
        if limit is None:
            said = max(market.price, market.base_fee or 0)
            assert said > (PRICE_LIMIT if market.base_fee is None else TIP_ALWAYS_BELIEVED)
            return
        asked = market.base_fee or market.price
        assert limit < asked
        return
    assert bid.cap >= (market.base_fee or market.price)
    assert bid.cap <= (PRICE_LIMIT if limit is None else limit)
    assert limit is not None or (bid.tip or 0) <= TIP_LIMIT
    assert (bid.tip is None) == (market.base_fee is None)
    assert bid.tip is None or bid.tip <= bid.cap


def is_believed(old: Fees, market: Market) -> bool:
    """Whether a new transaction of the same kind would be bid for without a limit."""
    try:
        first_bid(
            market if old.tip is None else replace(market, base_fee=market.base_fee or 0), None
        )
    except TransactionRefused:
        return False
    return True


def is_at_the_caps(old: Fees) -> bool:
    return old.cap * 9 > PRICE_LIMIT * 8 or (old.tip or 0) * 9 > TIP_LIMIT * 8


@given(wei, wei, markets, limits)
def test_a_raised_bid_takes_the_place_of_the_old_one_and_can_be_mined(
    cap: int, tip: int, market: Market, limit: int | None
) -> None:
    for old in (Fees(cap), Fees(max(cap, tip), min(cap, tip))):
        new = raised_bid(old, market, limit)
        if new is None:
            assert limit is not None or not is_believed(old, market) or is_at_the_caps(old)
            continue
        assert new.cap <= (PRICE_LIMIT if limit is None else limit)
        assert limit is not None or (new.tip or 0) <= TIP_LIMIT
        assert new.cap * 8 >= old.cap * 9
        assert new.cap >= (market.base_fee or 0)
        assert (new.tip is None) == (old.tip is None)
        if new.tip is not None:
            assert new.tip * 8 >= (old.tip or 0) * 9
            assert new.tip > (old.tip or 0)
            assert new.tip <= new.cap


# --- a node that lies --------------------------------------------------------------------------


def test_a_tip_that_only_a_node_names_is_not_paid_unasked(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)
    rpc.act = of_method("eth_maxPriorityFeePerGas", lambda *_: hex(50_000 * GWEI))
    session = replace(session, rpc=(rpc.url,))
    for dry_run in (True, False):
        with pytest.raises(TransactionRefused, match="50000 gwei") as caught:
            publish(session, folder, "tool", "1.0.0", dry_run=dry_run, wait=False)
        assert "--max-fee" in caught.value.next
    assert anvil.nonce(address) == 0
    allowed = replace(session, max_fee=200 * GWEI)
    estimated = publish(allowed, folder, "tool", "1.0.0", dry_run=True)
    paid = publish(allowed, folder, "tool", "1.0.0", wait=False)
    assert estimated.fee is not None
    assert paid.fee is not None
    assert paid.gas_used is not None
    assert paid.fee <= 200 * GWEI * paid.gas_used
    assert estimated.fee >= paid.fee, "what is told beforehand is no less than what is paid"


@pytest.mark.parametrize("lie", [without_base_fee, with_base_fee])
def test_no_price_that_only_a_node_names_is_paid_unasked(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc, lie: Act
) -> None:
    rpc = lying_rpc(anvil.url)
    rpc.act = lie
    session = replace(session, rpc=(rpc.url,))
    before = anvil.balance(address)
    for dry_run in (True, False):
        with pytest.raises(TransactionRefused, match="1000000 gwei") as caught:
            publish(session, folder, "tool", "1.0.0", dry_run=dry_run, wait=False)
        assert "--max-fee" in caught.value.next
    assert not rpc.calls(SEND)
    assert journal(session) == []
    assert (anvil.balance(address), anvil.nonce(address)) == (before, 0)


def test_a_raise_that_only_a_node_asks_for_is_not_signed(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)
    before = anvil.balance(address)
    asked = 0

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        """Honest until it has a transaction, which it keeps for itself to have it signed for more."""
        nonlocal asked
        sent = rpc.calls(SEND)
        if call["method"] == SEND and len(sent) == 1:
            return {"jsonrpc": "2.0", "id": call["id"], "result": "0x" + "00" * 32}
        if sent and call["method"] == TIP:
            asked += 1
            if asked == 2:  # to no avail; another node has the transaction, too
                anvil.call(SEND, sent[0]["params"][0])
            return {"jsonrpc": "2.0", "id": call["id"], "result": hex(5 * 10**5 * GWEI)}
        if sent and anvil.nonce(address) == 0:
            say = latest(lambda block: block.update(baseFeePerGas=hex(100 * GWEI)))
            return of_method("eth_getBlockByNumber", say)(call, forward)
        return forward()

    rpc.act = act
    done = send(replace(session, rpc=(rpc.url,)), folder)
    (entry,) = journal(session)
    assert entry["replaced"] == []
    assert "0x" + (done.transaction or b"").hex() == entry["hash"]
    assert {call["params"][0] for call in rpc.calls(SEND)} == {entry["raw"]}
    first = read_signed(bytes.fromhex(entry["raw"][2:]))
    assert done.gas_used is not None
    assert before - anvil.balance(address) <= first.cap * done.gas_used
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)


@pytest.mark.parametrize("lie", [without_base_fee, with_base_fee])
def test_what_is_signed_is_kept_when_more_is_not_believed(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc, lie: Act
) -> None:
    rpc = lying_rpc(anvil.url)
    liar = replace(session, rpc=(rpc.url,))

    def low(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == SEND:
            error = {"code": -32000, "message": "transaction underpriced"}
            return {"jsonrpc": "2.0", "id": call["id"], "error": error}
        return lie(call, forward) if rpc.calls(SEND) else forward()

    rpc.act = low
    with pytest.raises(TransactionRefused, match="underpriced"):
        send(liar, folder)
    (entry,) = journal(session)
    with pytest.raises(TransactionRefused, match="1000000 gwei") as caught:
        send(liar, folder)
    assert "--max-fee" in caught.value.next
    assert journal(session) == [entry]
    assert {call["params"][0] for call in rpc.calls(SEND)} == {entry["raw"]}
    done = send(session, folder)
    assert "0x" + (done.transaction or b"").hex() == entry["hash"]
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)
