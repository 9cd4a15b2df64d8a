"""One node, as whoever writes to a chain asks it: the adapter around web3, which nothing else imports."""

from __future__ import annotations

import time
from typing import Any

from eth_typing import HexStr
from web3 import Web3
from web3.exceptions import BlockNotFound, TransactionNotFound, Web3Exception
from web3.middleware import ExtraDataToPOAMiddleware
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from integrity.chain.artifact import load_artifact
from integrity.chain.fees import Market
from integrity.chain.journal import Entry
from integrity.chain.refusals import Refusals, of_transaction
from integrity.chain.rpc import JsonRpc, RpcError
from integrity.chain.transactions import Call, Receipt
from integrity.errors import RpcAnswerInvalid, RpcUnavailable
from integrity.verifier.checks import check_chain

_RETRY_PAUSES = (0.25, 0.5, 1.0, 2.0)


def whole(value: object) -> int:
    """A number as a node should have sent it; web3 hands on what it does not understand."""
    if type(value) is not int or value < 0:
        raise ValueError("no whole number")
    return value


class Provider(JSONBaseProvider):
    """web3 over this package's own JSON-RPC: its limits, no redirects, and no secrets in messages.

    A call that got no answer is made again a few times; sending the same bytes again does no harm.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.rpc = JsonRpc(url)

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        for pause in _RETRY_PAUSES:
            try:
                return self._asked(method, params)
            except RpcError as error:
                if of_transaction(error):
                    raise
                time.sleep(pause)
            except RpcUnavailable:
                time.sleep(pause)
        return self._asked(method, params)

    def _asked(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        return {"jsonrpc": "2.0", "id": 0, "result": self.rpc.call(method, *params)}


class Translation:
    """Turns a node's refusals, and what web3 makes of a node's nonsense, into our own errors."""

    def __init__(self, node: str, refusals: Refusals, sender: str) -> None:
        self._node, self._refusals, self._sender = node, refusals, sender

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        if isinstance(error, RpcError):
            raise self._refusals.translated(error, self._sender) from None
        if isinstance(error, (Web3Exception, ValueError, TypeError, KeyError, AttributeError)):
            raise RpcAnswerInvalid(
                f"{self._node} answered something that is not Ethereum's",
                causes=[f"{self._node}: {type(error).__name__}"],
            ) from None


class Node:
    """What is asked of a node, in Python's own types. Every method raises RpcUnavailable or a kind of it,
    and what the registry or the chain refuses a transaction with.
    """

    def __init__(self, url: str, chain_id: int) -> None:
        self._chain_id = chain_id
        provider = Provider(url)
        self.name = provider.rpc.name
        # Polygon, BNB and other proof-of-authority chains have blocks that web3 alone refuses.
        self._w3 = Web3(provider, middleware=[ExtraDataToPOAMiddleware])
        self._refusals = Refusals(load_artifact().abi)

    def check_chain(self) -> None:
        """Raises ChainMismatch when the node serves another chain, now."""
        with self._translated():
            check_chain(self._chain_id, whole(self._w3.eth.chain_id))

    def gas(self, call: Call, sender: str) -> int:
        """What the call would use now; raises what it would be refused with."""
        asked: Any = {"from": sender, "to": call.to, "data": "0x" + call.data.hex()}
        with self._translated(sender):
            return whole(self._w3.eth.estimate_gas(asked))

    def balance(self, account: str) -> int:
        """In wei."""
        with self._translated():
            return whole(self._w3.eth.get_balance(account))  # type: ignore[arg-type]

    def market(self) -> Market:
        """What the chain asks for gas now."""
        with self._translated():
            base_fee = self._w3.eth.get_block("latest").get("baseFeePerGas")
            if base_fee is None:
                return Market(None, whole(self._w3.eth.gas_price))
            return Market(whole(base_fee), whole(self._w3.eth.max_priority_fee))

    def count(self, sender: str, tag: str = "latest") -> int:
        """How many transactions of the account are mined, or with ``pending`` known to the node."""
        with self._translated():
            return whole(self._w3.eth.get_transaction_count(sender, tag))  # type: ignore[arg-type]

    def send(self, entry: Entry) -> None:
        """Hand over the very bytes that were written down, to the chain they are for."""
        with self._translated(entry.sender):
            check_chain(entry.chain_id, whole(self._w3.eth.chain_id))
            self._w3.eth.send_raw_transaction(HexStr(entry.raw))

    def knows(self, tx_hash: str) -> bool:
        """Whether the node has the transaction, in a block or waiting for one."""
        with self._translated():
            try:
                self._w3.eth.get_transaction(HexStr(tx_hash))
            except TransactionNotFound:
                return False
            return True

    def receipt(self, tx_hash: str) -> Receipt | None:
        """None when the transaction is in no block."""
        with self._translated():
            try:
                found = self._w3.eth.get_transaction_receipt(HexStr(tx_hash))
            except TransactionNotFound:
                return None
            return Receipt(
                tx_hash,
                found["status"] == 1,
                whole(found["blockNumber"]),
                bytes(found["blockHash"]),
                whole(found["gasUsed"]),
                whole(found["effectiveGasPrice"]),
            )

    def newest(self) -> tuple[int, int | None]:
        """The newest block's number, and its base fee if the chain has one."""
        with self._translated():
            block = self._w3.eth.get_block("latest")
            base_fee = block.get("baseFeePerGas")
            return whole(block["number"]), None if base_fee is None else whole(base_fee)

    def finalized(self) -> int:
        """The number of the newest block that is final."""
        with self._translated():
            return whole(self._w3.eth.get_block("finalized")["number"])

    def time_of(self, receipt: Receipt) -> int | None:
        """The Unix time of a receipt's block; None when a reorganisation has dropped that block."""
        block = HexStr("0x" + receipt.block_hash.hex())
        with self._translated():
            try:
                return whole(self._w3.eth.get_block(block)["timestamp"])
            except BlockNotFound:
                again = self.receipt(receipt.transaction)
                if again is None or again.block_hash != receipt.block_hash:
                    return None
                raise RpcAnswerInvalid(
                    f"{self.name} has no block {block}, in which it says that the transaction "
                    f"{receipt.transaction} is"
                ) from None

    def _translated(self, sender: str = "") -> Translation:
        return Translation(self.name, self._refusals, sender)
