"""Writing to a chain: each thing once, whatever happens to a transaction on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from integrity.chain.delivery import Delivery, Pace, not_the_sender
from integrity.chain.fees import expected, fees_of, first_bid, raised_bid
from integrity.chain.journal import Entry, Journal
from integrity.chain.node import Node
from integrity.chain.transactions import Call, Estimate, Mined, check_outrun, outrun
from integrity.core.transactions import read_signed
from integrity.errors import TransactionRefused, Unfinalized
from integrity.ports import Signer

_GAS_MARGIN = 1.1
_TRIES = 5
_IDLE_SECONDS = 600.0


class ChainWriter:
    """Sends transactions to one node, each of them once. ``max_fee`` is the most that is bid, in wei for
    each unit of gas; without one that is what a node is believed (:mod:`integrity.chain.fees`).
    """

    def __init__(
        self, url: str, chain_id: int, journal: Journal, max_fee: int | None = None
    ) -> None:
        self._chain_id = chain_id
        self._journal = journal
        self._max_fee = max_fee
        self._node = Node(url, chain_id)

    def estimate(self, make_call: Callable[[], Call], sender: str) -> Estimate:
        """What the call would cost now; raises what sending it would raise, but for want of funds."""
        for _ in range(_TRIES):
            call = make_call()
            try:
                gas = int(self._node.gas(call, sender) * _GAS_MARGIN)
            except TransactionRefused as error:
                check_outrun(error)
                continue
            market = self._node.market()
            price = expected(first_bid(market, self._max_fee), market)
            return Estimate(gas, gas * price, self._node.balance(sender))
        raise outrun(sender)

    def send(self, signer: Signer, make_call: Callable[[], Call]) -> Mined:
        """Sign, write down, send, and wait until the transaction is in a block.

        ``make_call`` is asked once no other transaction of this key is under way. Raises
        ReleaseExists, TransactionRefused, ChainMismatch, Unfinalized or RpcUnavailable.
        """
        with self._journal.sending(self._chain_id, signer.address):
            call = make_call()
            entry = self._journal.find(call.purpose)
            mined = self._go_on(entry, call, signer) if entry else None
            for _ in range(_TRIES):
                if mined is None:
                    mined = self._send_new(signer, make_call)
                if mined is not None:
                    return mined
        raise outrun(signer.address)

    def _go_on(self, entry: Entry, call: Call, signer: Signer) -> Mined | None:
        """Deliver what an earlier run signed. When the node will not have those bytes, sign anew
        for the very same nonce: at most one of all that were signed for it can ever be mined.
        """
        delivery = self._delivery(entry, signer)
        if not delivery.can_still_be_mined():
            self._journal.remove(entry)
            return None
        with delivery.signed():
            try:
                accepted = delivery.offer()
            except TransactionRefused:
                if entry.sender != signer.address:
                    raise not_the_sender(entry, signer) from None
                delivery.sign_again(self._transaction(call, signer, entry), signer)
                accepted = delivery.offer()
            return self._follow(delivery, accepted=accepted)

    def _send_new(self, signer: Signer, make_call: Callable[[], Call]) -> Mined | None:
        """Sign and deliver; None when somebody else's transaction came in between."""
        self._wait_idle(signer.address)
        call = make_call()
        try:
            transaction = self._transaction(call, signer)
        except TransactionRefused as error:
            check_outrun(error)
            return None
        raw, tx_hash = signer.sign_transaction(transaction)
        entry = Entry(
            call.purpose, self._chain_id, signer.address, transaction["nonce"],
            "0x" + tx_hash.hex(), "0x" + raw.hex(),
        )  # fmt: skip
        self._journal.add(entry)
        delivery = self._delivery(entry, signer)
        with delivery.signed():
            return self._follow(delivery, accepted=delivery.offer())

    def _follow(self, delivery: Delivery, *, accepted: bool) -> Mined | None:
        if accepted:
            return delivery.until_mined()
        # The chain took another transaction with this nonce; this one can never be mined.
        self._journal.remove(delivery.entry)
        return None

    def _transaction(
        self, call: Call, signer: Signer, earlier: Entry | None = None
    ) -> dict[str, Any]:
        """What is to be signed, for the place of an earlier one if there is one."""
        gas = int(self._node.gas(call, signer.address) * _GAS_MARGIN)
        nonce = earlier.nonce if earlier else self._node.count(signer.address, "pending")
        market = self._node.market()
        fees = None
        if earlier is not None:
            old = fees_of(read_signed(bytes.fromhex(earlier.raw[2:])))
            fees = raised_bid(old, market, self._max_fee)
        fees = fees or first_bid(market, self._max_fee)
        # Last of all, as near to the signature as can be.
        self._node.check_chain()
        return {
            "chainId": self._chain_id, "nonce": nonce, "to": call.to, "value": 0,
            "data": "0x" + call.data.hex(), "gas": gas, **fees.fields,
        }  # fmt: skip

    def _wait_idle(self, sender: str) -> None:
        """Until every transaction of the key is mined: what comes next is to know what they did."""
        pace = Pace(_IDLE_SECONDS)
        while self._node.count(sender, "pending") > self._node.count(sender):
            if not pace.wait():
                raise Unfinalized(
                    f"another transaction of {sender} is under way and not in a block yet",
                    next="Run the same command again once it is; nothing was sent.",
                )

    def look_up(self, entry: Entry) -> Mined | None:
        """Where a transaction is; None when it is in no block. Raises TransactionRefused if it failed."""
        return self._delivery(entry, None).find()

    def wait_final(self, mined: Mined, signer: Signer, timeout: float = 3600) -> Mined:
        """Wait until a finalized block holds the transaction -> where it stands by then. Only
        then is it taken out of the journal; when a reorganisation drops it, it is sent again.
        Raises Unfinalized after ``timeout`` seconds, TransactionRefused when it cannot be mined.
        """
        tx_hash = "0x" + mined.hash.hex()
        entry = self._journal.find_hash(tx_hash)
        if entry is None:  # another process has seen it final
            entry = Entry("", self._chain_id, signer.address, 0, tx_hash, "")
        delivery = self._delivery(entry, signer)
        with delivery.signed():
            return delivery.until_final(timeout)

    def _delivery(self, entry: Entry, signer: Signer | None) -> Delivery:
        return Delivery(self._node, self._journal, entry, signer, self._max_fee)
