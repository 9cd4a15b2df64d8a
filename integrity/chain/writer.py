"""Writing to a chain through web3, which nothing but this module and its node imports."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from eth_typing import HexStr
from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.exceptions import BlockNotFound, TransactionNotFound
from web3.middleware import ExtraDataToPOAMiddleware

from integrity.chain.artifact import load_artifact
from integrity.chain.journal import Entry, Journal
from integrity.chain.node import Provider, Translation, whole
from integrity.chain.refusals import Refusals, nonce_taken, sent_before
from integrity.chain.transactions import (
    Call,
    Estimate,
    Mined,
    Receipt,
    check_outrun,
    dropped,
    outrun,
    signed,
)
from integrity.core.registry import CREATE2_PROXY
from integrity.errors import RpcAnswerInvalid, TransactionRefused, Unfinalized
from integrity.ports import Signer
from integrity.verifier.record import check_chain

_GAS_MARGIN = 1.1
_TRIES = 5
_RESEND_AFTER = 12.0
_MINED_SECONDS = 600.0
_POLL_FIRST, _POLL_LONGEST = 0.1, 4.0


class ChainWriter:
    """Sends transactions to one node, each of them once."""

    def __init__(self, url: str, chain_id: int, journal: Journal) -> None:
        self._chain_id = chain_id
        self._journal = journal
        provider = Provider(url)
        self._name = provider.rpc.name
        # Polygon, BNB and other proof-of-authority chains have blocks that web3 alone refuses.
        self._w3 = Web3(provider, middleware=[ExtraDataToPOAMiddleware])
        artifact = load_artifact()
        self._registry = self._w3.eth.contract(
            address=to_checksum_address(artifact.address), abi=artifact.abi
        )
        self._refusals = Refusals(artifact.abi)

    # --- calls ---------------------------------------------------------------------------------

    def registry_call(self, function: str, args: Sequence[object], purpose: str) -> Call:
        """A function of the registry, as in contracts/IContentRegistry.sol."""
        data = self._registry.encode_abi(function, list(args))
        return Call(self._registry.address, bytes.fromhex(data[2:]), purpose)

    def deploy_call(self) -> Call:
        """The registry's deployment through the deterministic proxy."""
        artifact = load_artifact()
        return Call(CREATE2_PROXY, artifact.salt + artifact.init_code, f"deploy {self._chain_id}")

    # --- sending -------------------------------------------------------------------------------

    def estimate(self, make_call: Callable[[], Call], sender: str) -> Estimate:
        """What the call would cost now; raises what sending it would raise, but for want of funds."""
        for _ in range(_TRIES):
            call = make_call()
            try:
                with self._translated(sender):
                    used = whole(self._w3.eth.estimate_gas(self._bare(call, sender)))
                    gas = int(used * _GAS_MARGIN)
                    price = whole(self._w3.eth.gas_price)
                    balance = whole(self._w3.eth.get_balance(sender))  # type: ignore[arg-type]
                    return Estimate(gas, gas * price, balance)
            except TransactionRefused as error:
                check_outrun(error)
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
        for the very same nonce: at most one of the two can ever be mined.
        """
        if not self._can_still_be_mined(entry):
            self._journal.remove(entry.hash)
            return None
        with signed(entry):
            return self._deliver(entry, call, signer)

    def _deliver(self, entry: Entry, call: Call, signer: Signer) -> Mined | None:
        try:
            accepted = self._broadcast(entry)
        except TransactionRefused:
            replacement = self._sign(call, signer, entry.nonce)
            self._journal.add(replacement)
            self._journal.remove(entry.hash)
            entry = replacement
            accepted = self._broadcast(entry)
        return self._follow(entry, accepted=accepted)

    def _send_new(self, signer: Signer, make_call: Callable[[], Call]) -> Mined | None:
        """Sign and deliver; None when somebody else's transaction came in between."""
        self._wait_idle(signer.address)
        try:
            entry = self._sign(make_call(), signer)
        except TransactionRefused as error:
            check_outrun(error)
            return None
        self._journal.add(entry)
        with signed(entry):
            return self._follow(entry, accepted=self._broadcast(entry))

    def _follow(self, entry: Entry, *, accepted: bool) -> Mined | None:
        mined = self._wait_mined(entry) if accepted else None
        if mined is None:
            # The chain took another transaction with this nonce; this one can never be mined.
            self._journal.remove(entry.hash)
        return mined

    def _bare(self, call: Call, sender: str) -> Any:
        return {"from": sender, "to": call.to, "data": "0x" + call.data.hex()}

    def _sign(self, call: Call, signer: Signer, nonce: int | None = None) -> Entry:
        with self._translated(signer.address):
            gas = whole(self._w3.eth.estimate_gas(self._bare(call, signer.address)))
            if nonce is None:
                nonce = self._count(signer.address, "pending")
            transaction: dict[str, Any] = {
                "chainId": self._chain_id,
                "nonce": nonce,
                "to": call.to,
                "data": "0x" + call.data.hex(),
                "value": 0,
                "gas": int(gas * _GAS_MARGIN),
            }
            base_fee = self._w3.eth.get_block("latest").get("baseFeePerGas")
            if base_fee is None:
                transaction["gasPrice"] = whole(self._w3.eth.gas_price)
            else:
                tip = whole(self._w3.eth.max_priority_fee)
                transaction["maxPriorityFeePerGas"] = tip
                transaction["maxFeePerGas"] = 2 * whole(base_fee) + tip
            # Last of all, as near to the signature as can be.
            check_chain(self._chain_id, whole(self._w3.eth.chain_id))
        raw, tx_hash = signer.sign_transaction(transaction)
        return Entry(
            call.purpose, self._chain_id, signer.address, nonce,
            "0x" + tx_hash.hex(), "0x" + raw.hex(),
        )  # fmt: skip

    def _broadcast(self, entry: Entry) -> bool:
        """Send the very bytes written down; False when their nonce is another transaction's.

        They stay written down when the node refuses them: it may have taken them all the same.
        """
        try:
            with self._translated(entry.sender):
                check_chain(entry.chain_id, whole(self._w3.eth.chain_id))
                self._w3.eth.send_raw_transaction(HexStr(entry.raw))
        except TransactionRefused as error:
            if sent_before(error):
                return True
            if nonce_taken(error):
                return self._receipt(entry.hash) is not None
            raise
        return True

    def _can_still_be_mined(self, entry: Entry) -> bool:
        return self._count(entry.sender) <= entry.nonce or self._receipt(entry.hash) is not None

    def _count(self, sender: str, tag: str = "latest") -> int:
        with self._translated(sender):
            return whole(self._w3.eth.get_transaction_count(sender, tag))  # type: ignore[arg-type]

    def look_up(self, tx_hash: str) -> Mined | None:
        """Where a transaction is; None when it is in no block. Raises TransactionRefused if it failed."""
        return self._mined(tx_hash, self._receipt(tx_hash))

    # --- waiting -------------------------------------------------------------------------------

    def _wait_idle(self, sender: str) -> None:
        """Until every transaction of the key is mined: what comes next is to know what they did."""
        deadline = time.monotonic() + _MINED_SECONDS
        pause = _POLL_FIRST
        while self._count(sender, "pending") > self._count(sender):
            if time.monotonic() > deadline:
                raise Unfinalized(
                    f"another transaction of {sender} is under way and not in a block yet",
                    next="Run the same command again once it is; nothing was sent.",
                )
            time.sleep(pause)
            pause = min(pause * 1.5, _POLL_LONGEST)

    def _receipt(self, tx_hash: str) -> Receipt | None:
        with self._translated(""):
            try:
                found = self._w3.eth.get_transaction_receipt(HexStr(tx_hash))
            except TransactionNotFound:
                return None
            return Receipt(
                found["status"] == 1,
                whole(found["blockNumber"]),
                bytes(found["blockHash"]),
                whole(found["gasUsed"]),
                whole(found["effectiveGasPrice"]),
            )

    def _wait_mined(self, entry: Entry) -> Mined | None:
        """Until the transaction is in a block; None once its nonce is another's."""
        started = sent = time.monotonic()
        pause = _POLL_FIRST
        while (mined := self._mined(entry.hash, self._receipt(entry.hash))) is None:
            now = time.monotonic()
            if now - started > _MINED_SECONDS:
                raise Unfinalized(
                    f"the transaction {entry.hash} was sent and is not in a block yet",
                    next="Run the same command again: the same transaction is sent, never a second.",
                    evidence={"transaction": entry.hash},
                )
            if now - sent > _RESEND_AFTER:
                if not self._broadcast(entry):
                    return None
                sent = now
            time.sleep(pause)
            pause = min(pause * 1.5, _POLL_LONGEST)
        return mined

    def _mined(self, tx_hash: str, receipt: Receipt | None) -> Mined | None:
        """Where the transaction is; None when it is in no block, or its block was just dropped."""
        if receipt is None:
            return None
        if not receipt.succeeded:
            self._journal.remove(tx_hash)
            raise TransactionRefused(
                f"the transaction {tx_hash} is in block {receipt.block_number}, but failed: "
                "what it assumed changed while it was under way",
                next="Run the same command again; it looks at the registry's state anew.",
                evidence={"transaction": tx_hash},
            )
        with self._translated(""):
            try:
                block = self._w3.eth.get_block(HexStr("0x" + receipt.block_hash.hex()))
            except BlockNotFound:
                again = self._receipt(tx_hash)
                if again is None or again.block_hash != receipt.block_hash:
                    return None  # a reorganisation came in between
                raise RpcAnswerInvalid(
                    f"{self._name} has no block 0x{receipt.block_hash.hex()}, in which it says that "
                    f"the transaction {tx_hash} is"
                ) from None
            block_time = whole(block["timestamp"])
        return Mined(
            bytes.fromhex(tx_hash[2:]),
            receipt.block_number,
            receipt.block_hash,
            block_time,
            receipt.gas_used,
            receipt.gas_used * receipt.gas_price,
        )

    def wait_final(self, mined: Mined, timeout: float = 3600) -> Mined:
        """Wait until a finalized block holds the transaction -> where it stands by then. Only
        then is it taken out of the journal; when a reorganisation drops it, it is sent again.
        Raises Unfinalized after ``timeout`` seconds, TransactionRefused when it cannot be mined.
        """
        deadline = time.monotonic() + timeout
        pause = _POLL_FIRST
        tx_hash = "0x" + mined.hash.hex()
        entry = next((entry for entry in self._journal.all() if entry.hash == tx_hash), None)
        seen = time.monotonic()
        while True:
            with signed(entry):
                with self._translated(""):
                    final = whole(self._w3.eth.get_block("finalized")["number"])
                receipt = self._receipt(tx_hash)
                is_final = receipt is not None and receipt.block_number <= final
                found = self._mined(tx_hash, receipt) if is_final else None
            now = time.monotonic()
            if found is not None:
                self._journal.remove(tx_hash)
                return found
            if receipt is not None:
                seen = now
            elif entry is not None and now - seen > _RESEND_AFTER:
                if not self._broadcast(entry):
                    self._journal.remove(tx_hash)
                    raise dropped(tx_hash)
                seen = now
            if now > deadline:
                raise Unfinalized(
                    f"the transaction {tx_hash} is not final after {timeout:.0f} seconds",
                    next="Run the same command again: it goes on waiting, and sends nothing twice.",
                    evidence={"transaction": tx_hash},
                )
            time.sleep(pause)
            pause = min(pause * 1.5, _POLL_LONGEST)

    def _translated(self, sender: str) -> Translation:
        return Translation(self._name, self._refusals, sender)
