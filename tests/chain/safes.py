"""Safes as their users have them: the contracts that Safe publishes, deployed on a test's chain."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3

from .anvils import Anvil

ARTIFACTS = (
    Path(__file__).parents[2]
    / "tools/safe/node_modules/@safe-global/safe-smart-account/build/artifacts/contracts"
)
ZERO = "0x" + "00" * 20


def artifact(name: str) -> Any:
    """The ABI and the bytecode of one of Safe's contracts."""
    return json.loads((ARTIFACTS / name).read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Safe:
    """A Safe whose owners are plain keys, ``threshold`` of which have to sign."""

    web3: Web3
    address: str
    owners: tuple[LocalAccount, ...]
    threshold: int

    @classmethod
    def deployed(cls, anvil: Anvil, owners: int, threshold: int) -> Safe:
        """Through Safe's own factory, with its own fallback handler."""
        web3 = Web3(Web3.HTTPProvider(anvil.url))
        sender = web3.eth.accounts[0]

        def deploy(name: str) -> Any:
            made = artifact(name)
            contract = web3.eth.contract(abi=made["abi"], bytecode=made["bytecode"])
            sent = contract.constructor().transact({"from": sender})
            receipt = web3.eth.wait_for_transaction_receipt(sent)
            return web3.eth.contract(address=receipt["contractAddress"], abi=made["abi"])

        singleton = deploy("Safe.sol/Safe.json")
        factory = deploy("proxies/SafeProxyFactory.sol/SafeProxyFactory.json")
        handler = deploy(
            "handler/CompatibilityFallbackHandler.sol/CompatibilityFallbackHandler.json"
        )
        keys = tuple(Account.create() for _ in range(owners))
        setup = singleton.encode_abi("setup", [
            [key.address for key in keys], threshold, ZERO, b"", handler.address, ZERO, 0, ZERO,
        ])  # fmt: skip
        make = factory.functions.createProxyWithNonce(
            singleton.address, bytes.fromhex(setup[2:]), 0
        )
        address = make.call({"from": sender})
        web3.eth.wait_for_transaction_receipt(make.transact({"from": sender}))
        return cls(web3, address, keys, threshold)

    @property
    def _contract(self) -> Any:
        return self.web3.eth.contract(
            address=Web3.to_checksum_address(self.address),
            abi=artifact("Safe.sol/Safe.json")["abi"],
        )

    def sign_message(self, digest: bytes, number: int | None = None) -> bytes:
        """What Safe's apps make of a message of 32 bytes: each owner signs a SafeMessage."""
        typed = {
            "types": {
                "EIP712Domain": [
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "SafeMessage": [{"name": "message", "type": "bytes"}],
            },
            "primaryType": "SafeMessage",
            "domain": {"chainId": self.web3.eth.chain_id, "verifyingContract": self.address},
            "message": {"message": digest},
        }
        return self._signed(
            lambda key: bytes(Account.sign_typed_data(key.key, full_message=typed).signature),
            number,
        )

    def execute(self, to: str, data: str) -> None:
        """A transaction that the owners agreed to, sent by somebody else."""
        safe, sender = self._contract, self.web3.eth.accounts[0]
        plain: list[Any] = [
            Web3.to_checksum_address(to),
            0,
            bytes.fromhex(data[2:]),
            0,
            0,
            0,
            0,
            ZERO,
            ZERO,
        ]
        digest = safe.functions.getTransactionHash(*plain, safe.functions.nonce().call()).call()
        signatures = self._signed(
            lambda key: bytes(Account.unsafe_sign_hash(digest, key.key).signature), None
        )
        sent = safe.functions.execTransaction(*plain, signatures).transact({"from": sender})
        assert self.web3.eth.wait_for_transaction_receipt(sent)["status"] == 1

    def _signed(self, sign: Any, number: int | None) -> bytes:
        """The signatures of as many owners as it takes, in the order of their addresses."""
        some = sorted(self.owners[: self.threshold if number is None else number], key=_value)
        return b"".join(map(sign, some))


def _value(key: LocalAccount) -> int:
    return int(key.address, 16)
