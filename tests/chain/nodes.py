"""What a test asks of the node behind its chain, whoever made that node."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from integrity.chain.artifact import load_artifact
from integrity.chain.rpc import JsonRpc
from integrity.client.session import Session
from integrity.core.registry import REVOCATION_REASONS
from integrity.home import Home
from integrity.testing.people import equip

RICH = 10**21


class Node(ABC):
    """A node on loopback that mines a block for each transaction at once, and further ones when told to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._rpc = JsonRpc(url)

    @abstractmethod
    def mine(self, blocks: int = 1) -> None:
        """Add blocks with no transaction in them."""

    @abstractmethod
    def settle(self) -> None:
        """Add blocks until what is on the chain now is final."""

    @abstractmethod
    def fund(self, address: str, wei: int = RICH) -> None:
        """Let an account that has next to nothing have that much."""

    def call(self, method: str, *params: object) -> Any:
        return self._rpc.call(method, *params)

    def height(self) -> int:
        return int(self.call("eth_blockNumber"), 16)

    def finalized(self) -> int:
        return int(self.call("eth_getBlockByNumber", "finalized", False)["number"], 16)

    def nonce(self, address: str) -> int:
        """How many transactions of the account are mined."""
        return int(self.call("eth_getTransactionCount", address, "latest"), 16)

    def balance(self, address: str) -> int:
        return int(self.call("eth_getBalance", address, "latest"), 16)

    def publisher(self, place: Path) -> Session:
        """The session of a new home with a funded development key, set up for this chain."""
        session = Session(Home.at(place))
        equip(session.home, self.url, lambda _, address, wei: self.fund(address, wei))
        return session

    def send(self, session: Session, to: str | None, data: bytes) -> Any:
        """Send a transaction signed by the session's key, and wait for it -> its receipt."""
        key = session.key(None)
        transaction: dict[str, Any] = {
            "chainId": int(self.call("eth_chainId"), 16),
            "nonce": self.nonce(key.address),
            "data": "0x" + data.hex(),
            "value": 0,
            # Not estimated: what is written in the same second as before costs less than a second later.
            "gas": 5_000_000,
            "maxPriorityFeePerGas": 10**9,
            "maxFeePerGas": 10**10,
        }
        if to is not None:
            transaction["to"] = to
        raw, _ = session.signer(key).sign_transaction(transaction)
        return self.receipt(str(self.call("eth_sendRawTransaction", "0x" + raw.hex())))

    def act(self, session: Session, function: str, *args: object) -> str:
        """Call a function of the registry by the session's key, and wait for it -> the transaction's
        hash.
        """
        data = registry_call(function, *args)
        receipt = self.send(session, load_artifact().address, data)
        assert receipt["status"] == "0x1", f"{function} was reverted"
        return str(receipt["transactionHash"])

    def receipt(self, sent: str) -> Any:
        """The receipt of a transaction, once there is one."""
        while (receipt := self.call("eth_getTransactionReceipt", sent)) is None:
            time.sleep(0.01)
        return receipt


def registry_call(function: str, *args: object) -> bytes:
    """The data of a call of the registry."""
    from web3 import Web3

    data = Web3().eth.contract(abi=load_artifact().abi).encode_abi(function, list(args))
    return bytes.fromhex(data[2:])


def reason_code(name: str) -> int:
    """The registry's number of a reason for a revocation."""
    return next(code for code, text in REVOCATION_REASONS.items() if text == name)
