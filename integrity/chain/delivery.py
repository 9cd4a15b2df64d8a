"""A signed transaction on its way into a block: sent again when it got lost, and with a higher fee, under
the same nonce, when the chain has come to ask more than it bids.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from integrity.chain.fees import fees_of, raised_bid
from integrity.chain.journal import Entry, Journal
from integrity.chain.node import Node
from integrity.chain.refusals import nonce_taken, replacing, sent_before
from integrity.chain.transactions import Mined, Receipt, dropped
from integrity.core.registry import Block
from integrity.core.transactions import read_signed
from integrity.errors import KeyRefused, Locked, RpcUnavailable, TransactionRefused, Unfinalized
from integrity.ports import Signer

_MINED_SECONDS = 600.0
_POLL_FIRST, _POLL_LONGEST = 0.1, 4.0
_RESEND_AFTER = 12.0
_RESEND_SOONEST = 2.0
"""Seconds: so soon if a block was made without it."""

_RAISE_AFTER = 5
"""Blocks made without it: then what it leaves to their makers is too little."""

_LAG_SECONDS = 12.0
"""By how much one machine of a node may be behind another."""

_RAISES = 8
"""How often for that reason: 2.6 times the first bid; then something else must be wrong with it."""

_RAISES_IN_ALL = 24
"""Whatever a node says that the chain asks."""


class Pace:
    """Sleeps, longer from time to time, until ``seconds`` have passed."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._pause = _POLL_FIRST

    def wait(self) -> bool:
        """False, without a pause, once the time is up."""
        if time.monotonic() > self._deadline:
            return False
        time.sleep(self._pause)
        self._pause = min(self._pause * 1.5, _POLL_LONGEST)
        return True


class Delivery:
    """One entry of the journal. ``signer`` is its sender, without whom fees stay as they are; they are
    never raised above ``max_fee`` wei for each unit of gas, nor without one above what is believed of a node.
    """

    def __init__(
        self, node: Node, journal: Journal, entry: Entry, signer: Signer | None, max_fee: int | None
    ) -> None:
        self.entry = entry
        self._node = node
        self._journal = journal
        self._signer = signer if signer and signer.address == entry.sender else None
        self._max_fee = max_fee
        self._sent = self._signed = time.monotonic()
        self._sent_at: int | None = None
        self._signed_at: int | None = None
        self._is_contested = False

    @contextlib.contextmanager
    def signed(self) -> Iterator[None]:
        """Around what follows a signature: when a node fails then, nobody knows whether it passed the
        transaction on, and the error says what to do about that.
        """
        try:
            yield
        except RpcUnavailable as error:
            error.evidence.setdefault("transaction", self.entry.hash)
            error.next = (
                f"The transaction {self.entry.hash} is signed and may be recorded all the same. Run "
                "the same command again, with the same files: it goes on with that one."
            )
            raise

    # --- sending -------------------------------------------------------------------------------

    def offer(self) -> bool:
        """Send the very bytes written down; False when their nonce is another transaction's for good.

        They stay written down when the node refuses them: it may have taken them all the same.
        """
        self._sent, self._sent_at = time.monotonic(), None
        self._is_contested = False
        try:
            self._node.send(self.entry)
        except TransactionRefused as error:
            if replacing(error):
                # Another machine's with this nonce, if it is none of ours: one of them will be mined, and
                # bidding against each other would help nobody but the chain.
                self._is_contested = not any(map(self._node.knows, self.entry.replaced))
            elif nonce_taken(error):
                return self._comes_to_light()
            elif not sent_before(error):
                raise
        return True

    def can_still_be_mined(self) -> bool:
        """Whether its nonce is free, or taken by itself."""
        free = self._node.count(self.entry.sender) <= self.entry.nonce
        return free or self._comes_to_light()

    def _comes_to_light(self) -> bool:
        """Whether it is in a block, now that its nonce is taken. Of the machines behind one address, the one
        that knows receipts may be behind the one that counts: so it is looked for until it must be known.
        """
        pace = Pace(_LAG_SECONDS)
        while self.receipt() is None:
            if not pace.wait():
                return False
        return True

    def sign_again(self, transaction: dict[str, object], signer: Signer) -> None:
        """Put another transaction with the same nonce in the place of this one."""
        self._node.check_chain()
        raw, tx_hash = signer.sign_transaction(transaction)
        self.entry = self.entry.signed_again("0x" + tx_hash.hex(), "0x" + raw.hex())
        self._journal.add(self.entry)
        self._signed, self._signed_at = time.monotonic(), None

    def _raise_fees(self, *, alone: bool) -> bool:
        """Sign the same call with the same nonce for what the chain asks now, and at least what nodes want
        for a place that is taken; False when that is above the limit or not believed, or another process
        may do so.
        """
        if alone:
            return self._raise()
        lock = self._journal.sending(self.entry.chain_id, self.entry.sender, timeout=0)
        with contextlib.suppress(Locked), lock:
            if self._journal.find_hash(self.entry.hash) == self.entry:
                return self._raise()
        return False

    def _raise(self) -> bool:
        if self._signer is None:
            return False
        old = read_signed(bytes.fromhex(self.entry.raw[2:]))
        fees = raised_bid(fees_of(old), self._node.market(), self._max_fee)
        if fees is None:
            return False
        self.sign_again(old.call | fees.fields, self._signer)
        return True

    def _tend(self, *, alone: bool = True) -> bool:
        """What is to be done while it is in no block; False when its nonce is another's for good."""
        number, base_fee = self._node.newest()
        if self._sent_at is None:
            self._sent_at = number
        if self._signed_at is None:
            self._signed_at = number
        now = time.monotonic()
        if self._is_outbid(number, base_fee, now) and self._raise_fees(alone=alone):
            return self.offer()
        age = now - self._sent
        if age < (_RESEND_SOONEST if number > self._sent_at else _RESEND_AFTER):
            return True
        try:
            return self.offer()
        except TransactionRefused:
            if self._is_contested or not self._raise_fees(alone=alone):
                raise
            return self.offer()

    def _is_outbid(self, number: int, base_fee: int | None, now: float) -> bool:
        if self._is_contested:
            return False
        if base_fee is not None and self._cap() < base_fee:
            return len(self.entry.replaced) < _RAISES_IN_ALL
        if self._signed_at is None or len(self.entry.replaced) >= _RAISES:
            return False
        passed = number - self._signed_at
        return passed >= _RAISE_AFTER and now - self._signed > _RESEND_AFTER

    def _cap(self) -> int:
        return read_signed(bytes.fromhex(self.entry.raw[2:])).cap

    # --- waiting -------------------------------------------------------------------------------

    def receipt(self) -> Receipt | None:
        """That of whichever of its transactions is in a block."""
        receipts = (self._node.receipt(tx_hash) for tx_hash in self.entry.hashes)
        return next((receipt for receipt in receipts if receipt is not None), None)

    def find(self) -> Mined | None:
        """As :meth:`look`; where its nonce is taken, the receipt is waited for as long as it may be late."""
        found = self.look()
        if found is None and self._node.count(self.entry.sender) > self.entry.nonce:
            found = self.look() if self._comes_to_light() else None
        return found

    def look(self) -> Mined | None:
        """Where it is; None when it is in no block. Raises TransactionRefused if it failed."""
        return self._mined(self.receipt())

    def _mined(self, receipt: Receipt | None) -> Mined | None:
        """The same of a receipt; None also when its block was just dropped."""
        if receipt is None:
            return None
        if not receipt.succeeded:
            self._journal.remove(self.entry)
            raise TransactionRefused(
                f"the transaction {receipt.transaction} is in block {receipt.block_number}, but failed: "
                "what it assumed changed while it was under way",
                next="Run the same command again; it looks at the registry's state anew.",
                evidence={"transaction": receipt.transaction},
            )
        block_time = self._node.time_of(receipt)
        if block_time is None:
            return None  # a reorganisation came in between
        return Mined(
            bytes.fromhex(receipt.transaction[2:]),
            Block(receipt.block_number, receipt.block_hash, block_time),
            receipt.gas_used,
            receipt.gas_used * receipt.gas_price,
        )

    def until_mined(self) -> Mined | None:
        """Until it is in a block; None once its nonce is another's, and it is forgotten then. Raises
        Unfinalized. Whoever calls it holds the journal's lock of the key.
        """
        pace = Pace(_MINED_SECONDS)
        while (mined := self.look()) is None:
            if not self._tend():
                self._journal.remove(self.entry)
                return None
            if not pace.wait():
                raise Unfinalized(
                    f"the transaction {self.entry.hash} was sent and is not in a block yet",
                    next="Run the same command again: it goes on with that one, never with a second. "
                    "If the chain asks more than it bids, say with --max-fee what you will pay.",
                    evidence={"transaction": self.entry.hash},
                )
        return mined

    def until_final(self, seconds: float) -> Mined:
        """Until a finalized block holds it, then forget it; when a reorganisation drops it, it is sent
        again. Raises Unfinalized after ``seconds``, TransactionRefused when it cannot be mined any more.
        """
        pace = Pace(seconds)
        while True:
            final, receipt = self._node.finalized(), self.receipt()
            is_final = receipt is not None and receipt.block_number <= final
            found = self._mined(receipt) if is_final else None
            if found is not None:
                self._journal.remove(self.entry)
                return found
            if receipt is not None:
                self._sent, self._sent_at = time.monotonic(), None
            elif not self._tend_alone():
                self._journal.remove(self.entry)
                raise dropped(self.entry.hash)
            if not pace.wait():
                raise Unfinalized(
                    f"the transaction {self.entry.hash} is not final after {seconds:.0f} seconds",
                    next="Run the same command again: it goes on waiting, and sends nothing twice.",
                    evidence={"transaction": self.entry.hash},
                )

    def _tend_alone(self) -> bool:
        """As :meth:`_tend`, for whoever does not hold the key's lock: other processes may be at the same, and
        one of them may have signed again, or be done with it.
        """
        known = self._journal.find_hash(self.entry.hash)
        if known is None:
            return True
        self.entry = known
        return self._tend(alone=False)


def not_the_sender(entry: Entry, signer: Signer) -> KeyRefused:
    """The error for a transaction that another key signed, and that no node takes as it is."""
    return KeyRefused(
        f"what the key {entry.sender} signed for this is under way and has to be signed again, and "
        f"{signer.address} is another key",
        next=f"Run the same command with --key {entry.sender}.",
        evidence={"transaction": entry.hash},
    )
